"""The routes, and the application that they make."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from bertsmith import __version__
from bertsmith.errors import InputError
from bertsmith.explain.predictor import Predictor
from bertsmith.model.memory import Gaps
from bertsmith.serve_config import ServeConfig
from bertsmith.server import schemas
from bertsmith.server.bodies import BodyReader, off_loop, to_json
from bertsmith.server.guard import FAULT, Guard, Way
from bertsmith.server.logs import Log
from bertsmith.server.metrics import CONTENT_TYPE, Metrics
from bertsmith.server.models import Models, find_model
from bertsmith.server.operations import OPERATIONS, Asked, Operation, ThreadName, cost_of
from bertsmith.server.others import Others
from bertsmith.server.page import add_page, page_files
from bertsmith.server.refusals import BadRequestError, NotFoundError, Refusal
from bertsmith.server.runs import Runs
from bertsmith.server.training import add_training
from bertsmith.server.worker import Group, Worker

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": schemas.Problem, "description": "The body is no JSON."},
    401: {"model": schemas.Problem, "description": "A key is needed."},
    404: {"model": schemas.Problem, "description": "No such model."},
    408: {"model": schemas.Problem, "description": "The body did not come in time."},
    413: {"model": schemas.Problem, "description": "The body is too large."},
    415: {"model": schemas.Problem, "description": "The body has another type than application/json."},
    422: {"model": schemas.Problem, "description": "The body is not what is taken; the field is named."},
    503: {"model": schemas.Problem, "description": "Too much waits already; Retry-After says when to come back."},
    504: {"model": schemas.Problem, "description": "Not answered in time."},
}
ANSWER_BYTES = 400  # of an item's answer but vectors, about, and of a number: what is larger is written off the loop
NUMBER_BYTES = 20
SLOW_QUEUE = 8  # explanations that may wait, of either kind


class Service:
    """What the routes share.

    Args:
        models: by name.
        runs: those of them, and others, that are run folders.
        config: limits.
        log: where events go.
    """

    def __init__(self, models: Models, runs: Runs, config: ServeConfig, log: Log) -> None:
        self.models, self.runs, self.config, self.log = models, runs, config, log
        self.others = Others(models, runs)
        self.operations = {operation.name: operation for operation in OPERATIONS}
        self.reader = BodyReader(schemas.Limits(config.max_texts, config.max_characters), config.max_body_bytes)
        self._workers: dict[ThreadName, Worker] = {
            "texts": self._worker(config.queue),
            "reading": self._worker(min(config.queue, SLOW_QUEUE), together=False),
            "evidence": self._worker(min(config.queue, SLOW_QUEUE), together=False),
        }
        self.metrics = Metrics(lambda: self.waiting)
        self._gaps = Gaps()
        self.began = int(time.time())

    def _worker(self, queue: int, *, together: bool = True) -> Worker:
        return Worker(
            self._run,
            queue=queue,
            together=together,
            timeout_s=self.config.timeout_s,
            wait_s=self.config.batch_wait_ms / 1000,
            seen=lambda made: self.metrics.computed(made),
            failed=self.log.error,
        )

    def worker(self, name: str, body: Any = None) -> Worker:
        """The one that computes an operation; without a body the one that is asked at the door."""
        return self._workers[self.operations[name].thread(body)]

    def start(self) -> None:
        """Begin to compute, for the event loop that is running."""
        for worker in self._workers.values():
            worker.start()

    def drain(self) -> None:
        """Take nothing more."""
        for worker in self._workers.values():
            worker.draining = True

    async def stop(self) -> None:
        """Compute what still waits, and end."""
        for worker in self._workers.values():
            await worker.stop()

    @property
    def waiting(self) -> int:
        """Requests that wait or are computed."""
        return sum(worker.waiting for worker in self._workers.values())

    def _run(self, group: Group, items: Any) -> Any:
        asked = Asked(self.models[group.model], items, group.options, self.others)
        answers = self.operations[group.operation].run(asked)
        self._gaps.after_step()
        return answers

    async def respond(self, operation: Operation, scope: Scope, receive: Receive, send: Send) -> None:
        """`answer` as an ASGI application."""
        response = await self.answer(operation, Request(scope, receive))
        await response(scope, receive, send)

    async def answer(self, operation: Operation, request: Request) -> Response:
        """One request, from its body to its answer."""
        body: Any = await self.reader.read(request, operation.body)
        name, predictor = find_model(self.models, body.model, operation.able, operation.name)
        items = operation.items(body)
        group = Group(name, operation.name, operation.options(body))
        costs = [cost_of(item) for item in items]
        answers = await self.worker(operation.name, body).ask(group, items, costs, partial(_gone, request))
        for index, each in enumerate(answers):
            if isinstance(each, BaseException):
                raise _refusal_of(each, operation.field(body, index))
        size = len(answers) * (ANSWER_BYTES + NUMBER_BYTES * predictor.config.hidden_size)
        made = await off_loop(lambda: to_json(operation.reply(name, body, answers)), size=size)
        return Response(made, media_type="application/json")

    def card(self, name: str) -> schemas.ModelCard:
        """What clients may know of a model."""
        predictor: Predictor = self.models[name]
        head = predictor.head
        return schemas.ModelCard(
            id=name,
            created=self.began,
            operations=[operation.name for operation in OPERATIONS if operation.able(predictor)],
            task=predictor.task_name,
            labels=list(head.labels) if head else [],
            hidden_size=predictor.config.hidden_size,
            max_length_tokens=predictor.max_length_tokens,
            compares=self.others.names(name),
        )

    def health(self) -> schemas.Health:
        """How it is."""
        alive = all(worker.alive for worker in self._workers.values())
        draining = any(worker.draining for worker in self._workers.values())
        return schemas.Health(status="dead" if not alive else "ending" if draining else "ok", waiting=self.waiting)


def build_app(models: Models, config: ServeConfig, log: Log, runs: Runs | None = None) -> tuple[ASGIApp, Service]:
    """The application, its door included, and what its routes share."""
    service = Service(models, runs or Runs(), config, log)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="bertsmith",
        version=__version__,
        description="BERT models over HTTP. "
        f"A body has at most {config.max_body_bytes:,} bytes and {config.max_texts:,} texts, "
        f"a text {config.max_characters:,} characters.",
        lifespan=lifespan,
        docs_url=None,  # the page would come from elsewhere
        redoc_url=None,
        exception_handlers={HTTPException: _as_problem, Refusal: _refused, Exception: _fault},
    )
    for operation in OPERATIONS:
        _add_operation(app, service, operation)
    _add_models(app, service)
    add_training(app, service)
    _add_health(app, service)
    page = page_files()
    add_page(app, page)
    ways = {
        f"/v1/{name}": Way(name, service.worker(name), partial(service.respond, operation))
        for name, operation in service.operations.items()
    }
    guarded = Guard(app, config=config, ways=ways, page=page.keys(), metrics=service.metrics, log=log)
    return guarded, service


def _add_operation(app: FastAPI, service: Service, operation: Operation) -> None:
    """Its route, for OpenAPI and for methods that are not taken: the guard goes straight to `respond`."""

    async def answer(request: Request) -> Response:
        return await service.answer(operation, request)

    app.add_api_route(
        f"/v1/{operation.name}",
        answer,
        methods=["POST"],
        name=operation.name,
        operation_id=operation.name,
        summary=operation.summary,
        response_class=Response,
        responses={200: {"model": operation.answer, "description": "The answer."}, **PROBLEMS},
        openapi_extra=schemas.json_body(operation.body),
    )


def _add_models(app: FastAPI, service: Service) -> None:
    # Without `async`: the steps of runs are looked up on a disk.
    @app.get("/v1/models", operation_id="models", summary="The models that are served")
    def models() -> schemas.ModelList:
        return schemas.ModelList(data=[service.card(name) for name in list(service.models)])

    @app.get(
        "/v1/models/{name}", operation_id="model", summary="One of them", responses={404: {"model": schemas.Problem}}
    )
    def model(name: str) -> schemas.ModelCard:
        if name not in service.models:
            raise NotFoundError(f"no model of that name; there are {', '.join(service.models)}")
        return service.card(name)


def _add_health(app: FastAPI, service: Service) -> None:
    dead: dict[int | str, dict[str, Any]] = {503: {"model": schemas.Health, "description": "It does not."}}

    @app.get("/health/live", operation_id="live", summary="Whether the server computes", responses=dead)
    async def live(response: Response) -> schemas.Health:
        health = service.health()
        response.status_code = 503 if health.status == "dead" else 200
        return health

    @app.get("/health/ready", operation_id="ready", summary="Whether it takes requests", responses=dead)
    @app.get("/health", operation_id="health", summary="The same", responses=dead)
    async def ready(response: Response) -> schemas.Health:
        health = service.health()
        response.status_code = 200 if health.status == "ok" else 503
        return health

    @app.get(
        "/metrics",
        operation_id="metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


async def _gone(request: Request) -> None:
    """Returns when the client has."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, refusal: Refusal) -> Response:
    return Response(refusal.body, refusal.status, refusal.headers, "application/json")


def _refusal_of(error: BaseException, field: str) -> BaseException:
    """What the predictor says of a text that it cannot read; what is no client's fault stays what it is."""
    return BadRequestError(str(error)[:500], field=field) if isinstance(error, InputError) else error


async def _as_problem(request: Request, error: HTTPException) -> Response:
    """What the framework refuses: paths and methods that are not there."""
    refusal = (NotFoundError if error.status_code == 404 else BadRequestError)(
        f"{error.detail}; /openapi.json says what there is", status=error.status_code
    )
    refusal.headers |= error.headers or {}
    return await _refused(request, refusal)


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours: the door writes it down."""
    return await _refused(request, Refusal(FAULT))
