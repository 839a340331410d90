"""An S3 server on the loopback device (moto's), with faults to order; who uses it is skipped where it is missing."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BUCKET = "bucket"
# A fault is asked with method and key; it says "fail" (503), "cut" (the connection), "flip" (a bit), "slow" or None.
Fault = Callable[[str, str], str | None]


class Store:
    """What was asked of it, and what goes wrong."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.fault: Fault = lambda method, key: None
        self.done: Counter[tuple[str, str]] = Counter()
        self.address = ""

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        """One request, as WSGI has it."""
        method, key = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
        fault = self.fault(method, key)
        if fault == "slow":
            time.sleep(0.5)
        if fault == "fail":
            start("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        if fault == "cut" and method == "PUT":
            environ["wsgi.input"].read(1000)
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return [b""]
        body = b"".join(self._application(environ, start))
        self.done[method, key] += 1
        if fault == "flip":
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        return self._half(body, environ["werkzeug.socket"]) if fault == "cut" else [body]

    @staticmethod
    def _half(body: bytes, connection: socket.socket) -> Iterator[bytes]:
        yield body[: len(body) // 2]
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A server with an empty bucket; URLs that begin with s3:// lead to it meanwhile, and patience is short."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: it is in the extra dev")
    pytest.importorskip("moto", reason="moto is not installed: it is in the extra dev")
    pytest.importorskip("flask_cors", reason="flask-cors is not installed: it is in the extra dev")
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *_: Any) -> None:
            pass

    store = Store(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, store, threaded=True, request_handler=Silent)
    store.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings = {
        "AWS_ENDPOINT_URL": store.address,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(BUCKET, "us-east-1")
    try:
        yield store
    finally:
        backend.reset()
        s3fs.S3FileSystem.clear_instance_cache()
        server.shutdown()
        server.server_close()
        thread.join()
