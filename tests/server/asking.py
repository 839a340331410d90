"""A server in this process, and how tests ask it."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2

from bertsmith.explain.predictor import Predictor, load
from bertsmith.serve_config import ServeConfig
from bertsmith.server.app import Service, build_app
from bertsmith.server.logs import Log
from bertsmith.server.runs import Runs
from explain.folders import task_folder

TASKS = ("classify", "regress", "tag", "answer", "choose")


def models_of(tiny_bert: Path, home: Path) -> dict[str, Predictor]:
    """A pretrained model, and one fine-tuned for each task."""
    folders = {name: task_folder(tiny_bert, name, home / name) for name in TASKS}
    models = {name: load(folder) for name, folder in {"bert": tiny_bert, **folders}.items()}
    for name, predictor in models.items():
        predictor.name = name
    return models


def ask(
    models: dict[str, Predictor],
    doing: Callable[[httpx2.AsyncClient, Service], Awaitable[Any]],
    log: io.StringIO | None = None,
    runs: Runs | None = None,
    **options: Any,
) -> Any:
    """What `doing` returns, which gets a client of a running application."""
    config, lines = ServeConfig(**options), Log(log or io.StringIO())

    async def run() -> Any:
        app, service = build_app(models, config, lines, runs)
        service.start()
        transport = httpx2.ASGITransport(app=app)
        try:
            async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await doing(client, service)
        finally:
            await service.stop()
            lines.close()

    return asyncio.run(run())


def post(models: dict[str, Predictor], path: str, body: Any, **options: Any) -> httpx2.Response:
    """The response to one request."""
    return ask(models, lambda client, service: client.post(path, json=body), **options)
