"""Routes of run folders: their curves while they train, and their newest weights."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request

from bertsmith.server import schemas
from bertsmith.server.run_schemas import ReloadBody, RunCard, RunList, TrainingAnswer

if TYPE_CHECKING:
    from bertsmith.server.app import Service


PROBLEM: dict[str, Any] = {"model": schemas.Problem}


def add_training(app: FastAPI, service: Service) -> None:
    """Add them."""
    runs, models = service.runs, service.models
    reading = asyncio.Lock()  # a model at a time: each takes its memory twice while the old one is in use

    def card(name: str) -> RunCard:
        return runs.card(name, loaded=name in models)

    # Those without `async` are computed by threads of the framework's, since they wait for a disk.
    @app.get("/v1/runs", operation_id="runs", summary="The run folders that are served")
    def list_runs() -> RunList:
        return RunList(data=[card(name) for name in runs.names])

    @app.get("/v1/training", operation_id="training", summary="What a run has written since", responses={404: PROBLEM})
    def training(model: str = "", part: str = "", of: str = "metrics", since: str = "") -> TrainingAnswer:
        known = card(model)
        lines = runs.lines(model, part, of, since)
        return TrainingAnswer(run=known, **vars(lines))

    @app.post(
        "/v1/reload",
        operation_id="reload",
        summary="Read a run's newest weights",
        responses=dict.fromkeys((400, 401, 404, 408, 413, 415, 422), PROBLEM),
        openapi_extra=schemas.json_body(ReloadBody),
    )
    async def reload(request: Request) -> schemas.ModelCard:
        body = await service.reader.read(request, ReloadBody)
        async with reading:
            found = await asyncio.to_thread(runs.newer, body.model, loaded=body.model in models)
            if found is not None:
                models[body.model] = found
        return await asyncio.to_thread(service.card, body.model)
