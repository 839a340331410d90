"""A server on loopback in a thread of this process, for browsers."""

import io
import socket
import threading
from contextlib import contextmanager

import uvicorn

from bertsmith.serve_config import ServeConfig
from bertsmith.server.app import build_app
from bertsmith.server.logs import Log


@contextmanager
def serving(models, *, runs=None, **options):
    """Its address and what its routes share, until the block ends."""
    log = Log(io.StringIO())
    app, service = build_app(models, ServeConfig(**options), log, runs)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", service
        finally:
            server.should_exit = True
            thread.join()
            log.close()
