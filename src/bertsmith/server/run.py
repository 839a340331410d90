"""The process: a socket, the loop, the end on a signal."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from bertsmith.errors import ConfigError
from bertsmith.serve_config import ServeConfig
from bertsmith.server.app import Service, build_app
from bertsmith.server.logs import Log
from bertsmith.server.models import Models
from bertsmith.server.runs import Runs

SWITCH_S = 0.005
KEEP_ALIVE_S = 75  # longer than proxies keep an idle connection, so that none asks on one that was just closed
ENDING_S = 5.0  # beyond the time of a request, until connections are cut


def serve(
    models: Models,
    config: ServeConfig,
    *,
    runs: Runs | None = None,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Answer until SIGTERM or Ctrl-C; then finish what was taken, and end.

    Args:
        models: by name.
        config: where, for whom, how much.
        runs: run folders whose curves are shown.
        ready: told the address once requests are taken.

    Raises:
        ConfigError: no address is known by the name of the host.
        OSError: the address is taken, or not ours.
    """
    listening = _listen(config)
    sys.setswitchinterval(SWITCH_S)
    log = Log()
    app, service = build_app(models, config, log, runs)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # requests and errors are told by the log
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(config.timeout_s + ENDING_S),
    )
    url = _url(listening, config)
    log.event("listening", url=url, models=list(models))
    _Server(settings, service, lambda: ready(url)).run(sockets=[listening])
    log.event("ended")
    log.close()


def address_of(config: ServeConfig) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """What `--host` stands for here, as sockets take it.

    Raises:
        ConfigError: no address is known by that name.
    """
    try:
        ((family, _, _, _, address), *_) = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(
            f"host {config.host}: no address is known by this name ({error}). Give one of this machine's, such as "
            "127.0.0.1."
        ) from None
    return family, address[:2]


def _listen(config: ServeConfig) -> socket.socket:
    family, address = address_of(config)
    return socket.create_server(address, family=family, backlog=2048)


def _url(listening: socket.socket, config: ServeConfig) -> str:
    return f"http://{config.address}:{listening.getsockname()[1]}"


class _Server(uvicorn.Server):
    """uvicorn's, that ends in good order: the exit status is 0, and clients hear that it ends."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._ready = service, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.drain()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.log.event("ending", waiting=self._service.waiting)
        await super().shutdown(sockets)
