"""Routes of run folders: their curves while they train, and their newest weights."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request

from bertsmith.server import schemas

if TYPE_CHECKING:
    from bertsmith.server.app import Service


def add_training(app: FastAPI, service: Service) -> None:
    """Add them."""
    runs, models = service.runs, service.models
    reading = asyncio.Lock()  # a model at a time: each takes its memory twice while the old one is in use
    missing: dict[int | str, dict[str, Any]] = {404: {"model": schemas.Problem}}

    def card(name: str) -> schemas.RunCard:
        return runs.card(name, loaded=name in models)

    # Those without `async` are computed by threads of the framework's, since they wait for a disk.
    @app.get("/v1/runs", operation_id="runs", summary="The run folders that are served")
    def list_runs() -> schemas.RunList:
        return schemas.RunList(data=[card(name) for name in runs.names])

    @app.get("/v1/training", operation_id="training", summary="What a run has written since", responses=missing)
    def training(model: str = "", part: str = "", of: str = "metrics", since: str = "") -> schemas.TrainingAnswer:
        known = card(model)
        lines = runs.lines(model, part, of, since)
        return schemas.TrainingAnswer(run=known, **vars(lines))

    @app.post("/v1/reload", operation_id="reload", summary="Read a run's newest weights", responses=missing)
    async def reload(request: Request) -> schemas.ModelCard:
        body = await service.reader.read(request, schemas.ReloadBody)
        async with reading:
            found = await asyncio.to_thread(runs.newer, body.model, loaded=body.model in models)
            if found is not None:
                models[body.model] = found
        return service.card(body.model)
