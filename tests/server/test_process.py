"""The real process on loopback: load, slow and vanishing clients, SIGTERM."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings


class Process:
    """`bertsmith serve`, its address and what it says."""

    def __init__(self, *words):
        command = [sys.executable, "-m", "bertsmith", "serve", *map(str, words), "--port", "0", "--json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes)
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.port = int(self.url.rpartition(":")[2])

    def post(self, path, body):
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def end(self):
        """SIGTERM: the exit status, and the events of its log."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, [json.loads(line) for line in err.splitlines()]


@pytest.fixture(scope="module")
def served(tiny_bert):
    process = Process(tiny_bert, f"again={tiny_bert}", "--queue", "64", "--precision", "float32")
    yield process
    if process.process.poll() is None:
        process.process.kill()
        process.process.communicate()


def test_under_load_every_answer_belongs_to_its_request(served, models):
    texts = [f"{first} the {second}" for first in ("nurse", "pain", "ward") for second in ("doctor", "nurse saw", "a")]
    wanted = models["bert"].embed(texts)
    asked = [(index % len(texts), ("again", "tiny-bert")[index % 2]) for index in range(240)]
    with ThreadPoolExecutor(16) as clients:
        made = list(
            clients.map(lambda each: served.post("/v1/embed", {"text": texts[each[0]], "model": each[1]}), asked)
        )
    for (index, name), (status, answer) in zip(asked, made, strict=True):
        assert (status, answer["model"]) == (200, name)
        np.testing.assert_allclose(answer["embeddings"][0], wanted[index], atol=1e-5)


def test_slow_and_vanishing_clients_hold_nobody_up(served):
    head = (
        b"POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(100)]  # more than the queue holds
    for number, each in enumerate(slow):
        each.sendall(head if number % 2 else head[:30])
    for each in slow[:50]:
        each.close()
    assert served.post("/v1/embed", {"text": "the pain"})[0] == 200
    for each in slow[50:]:
        each.close()


def test_schemathesis_finds_no_5xx_and_no_answer_that_the_schema_has_not(served):
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    seen = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=6,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(case=operation.as_strategy())
        def ask(case):
            if isinstance(case.body, dict):
                case.body.pop("model", None)  # a name that is made up ends it too soon
            response = case.call_and_validate(checks=wanted)
            seen.add((case.path, response.status_code))

        ask()
    assert {("/v1/models", 200), ("/metrics", 200)} <= seen
    assert len({path for path, _ in seen}) == 18


def test_what_was_taken_is_answered_after_sigterm(served):
    body = json.dumps({"texts": ["the nurse saw the doctor in a ward"] * 256}).encode()
    head = (
        "POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    clients = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(6)]
    for client in clients:
        client.sendall(head.encode() + body)
    for _ in range(100):
        with urllib.request.urlopen(f"{served.url}/health", timeout=60) as health:
            if json.loads(health.read())["waiting"] == len(clients):
                break
        time.sleep(0.005)
    with ThreadPoolExecutor() as readers:
        answers = [readers.submit(_read_all, client) for client in clients]
        status, events = served.end()
    assert status == 0
    assert {answer.result()[:15] for answer in answers} == {b"HTTP/1.1 200 OK"}
    assert all(answer.result().endswith(b"]]}") for answer in answers)
    assert [event["event"] for event in events if event["event"] != "request"] == ["listening", "ending", "ended"]


def _read_all(client):
    with client:
        parts = []
        while part := client.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def test_a_port_that_is_taken_is_told(tiny_bert, capsys):
    from bertsmith.cli.main import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(tiny_bert), "--port", str(port)]) == 1
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone"], "gone"),
        (["gone", "--host", "0.0.0.0"], "give --key"),
        (["gone", "--host", "no..name", "--key", "k"], "host no..name: no address is known by this name"),
        (["gone", "--key", "a b"], "a key is"),
        (["gone", "--queue", "0"], "queue"),
    ],
)
def test_wrong_words_are_explained(words, message, capsys):
    from bertsmith.cli.main import main

    assert main(["serve", *words]) == 2
    assert message in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    from bertsmith.cli import serve
    from bertsmith.cli.main import main

    monkeypatch.setattr(serve, "NEEDED", ("not_there_at_all",))
    assert main(["serve", "gone"]) == 2
    assert "pip install 'bertsmith[serve]'" in capsys.readouterr().err


def test_its_help_loads_neither_torch_nor_fastapi():
    code = (
        "import sys; from bertsmith.cli.main import main; main(['serve', '--help']);"
        "print(sorted({'torch', 'fastapi', 'uvicorn', 'numpy'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert shown.stdout.splitlines()[-1] == "[]"
