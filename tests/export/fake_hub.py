"""As much of the Hugging Face Hub as a push speaks with, on loopback: repositories, LFS uploads, commits."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

LARGE = (".safetensors", ".onnx")


class Hub(ThreadingHTTPServer):
    """What has been sent: `files` by name, `private` by repository, `messages` of commits; `asked` has each request,
    those for other hosts too where it is the proxy. `spoil` changes what is kept of a file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.private: dict[str, bool] = {}
        self.spoil: str | None = None
        self.asked: list[str] = []
        self.messages: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *words: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        siblings = []
        for name, data in self.server.files.items():
            sibling: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": "0" * 40}
            if name.endswith(LARGE):
                sha = hashlib.sha256(data).hexdigest()
                sibling["lfs"] = {"sha256": sha, "size": len(data), "pointerSize": 100}
            siblings.append(sibling)
        self._answer({"id": "me/model", "sha": "1" * 40, "private": True, "tags": [], "siblings": siblings})

    def do_HEAD(self) -> None:
        self.server.asked.append(f"HEAD {self.path}")
        self._answer({})

    def do_CONNECT(self) -> None:
        self.server.asked.append(f"CONNECT {self.path}")
        self._answer({}, 403)

    def do_PUT(self) -> None:
        self.server.asked.append(f"PUT {self.path}")
        self.server.objects[self.path.rsplit("/", 1)[1]] = self._body()
        self._answer({})

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = self._body()
        if self.path == "/api/repos/create":
            told = json.loads(body)
            self.server.private[f"{told.get('organization')}/{told['name']}"] = (
                told.get("private") or told.get("visibility") == "private"
            )
            self._answer({"url": f"{self.server.url}/me/model"})
        elif "/preupload/" in self.path:
            files = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.server.url}/objects/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                self._keep(json.loads(line))
            self._answer({"commitUrl": f"{self.server.url}/me/model/commit/{'1' * 40}", "commitOid": "1" * 40})
        else:
            self._answer({"error": self.path}, 404)

    def _keep(self, line: dict[str, Any]) -> None:
        value = line["value"]
        if line["key"] == "header":
            self.server.messages.append(value["summary"])
        elif line["key"] == "file":
            self.server.files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            self.server.files[value["path"]] = self.server.objects[value["oid"]]
        if value.get("path") is not None and value["path"] == self.server.spoil:
            data = self.server.files[value["path"]]
            self.server.files[value["path"]] = data[:-1] + bytes([data[-1] ^ 1])

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def fake_hub() -> Iterator[Hub]:
    """A hub that listens until the block ends."""
    with Hub() as hub:
        Thread(target=hub.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            hub.shutdown()
