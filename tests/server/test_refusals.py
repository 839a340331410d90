"""What is refused, and how: a status, the field, and never a stack trace."""

import asyncio
import io
import json

import pytest

from bertsmith.errors import ConfigError, ModelFolderError
from bertsmith.serve_config import ServeConfig
from bertsmith.server.models import load_models
from server.asking import ask, post

JSON = {"content-type": "application/json"}


def send(models, content, path="/v1/embed", headers=JSON, **options):
    return ask(models, lambda client, service: client.post(path, content=content, headers=headers), **options)


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("embed", {"texts": ["a", 3]}, 422, "texts[1]"),
        ("embed", {"texts": ["a", "b" * 21]}, 422, "texts[1]"),
        ("embed", {"text": "b" * 21}, 422, "text"),
        ("embed", {"texts": ["a"] * 4}, 422, "texts"),
        ("embed", {"texts": []}, 422, "texts"),
        ("embed", {"text": "a", "texts": ["a"]}, 422, None),
        ("embed", {}, 422, None),
        ("embed", {"text": "a", "txet": "b"}, 422, "txet"),
        ("embed", {"text": "a", "pooling": "max"}, 422, "pooling"),
        ("embed", {"text": "a", "model": "../../etc/passwd"}, 404, "model"),
        ("embed", {"text": "a", "model": "classify/../bert"}, 404, "model"),
        ("fill", {"text": "a [MASK]", "model": "tag"}, 422, "model"),
        ("fill", {"texts": ["a [MASK]", "nothing"]}, 422, "texts[1]"),
        ("fill", {"text": "a [MASK]", "top_k": 0}, 422, "top_k"),
        ("fill", {"text": "a [MASK]", "top_k": 10**30}, 422, "top_k"),
        ("fill", {"text": "a [MASK]", "candidates": ["qqqq zzzz"]}, 422, "text"),
        ("classify", {"text": "a", "pair": ["b"]}, 422, None),
        ("classify", {"texts": ["a", "b"], "pair": ["b"]}, 422, None),
        ("answer", {"question": "who?"}, 422, "context"),
        ("answer", {"question": "who " * 5, "context": "a"}, 422, "question"),
        ("choose", {"text": "a", "choices": ["b"]}, 422, "choices"),
        ("embeddings", {"input": [1, 2]}, 422, "input"),
        ("embeddings", {"input": "a", "dimensions": 3}, 422, "dimensions"),
        ("explain", {"text": "pain " * 4, "top_k": 0}, 422, "top_k"),
        ("nothing", {"text": "a"}, 404, None),
    ],
)
def test_the_field_is_named(models, path, body, status, field):
    if path == "answer" and "context" in body:
        body["question"] = "who saw " * 12  # fills the window
        response = post(models, f"/v1/{path}", body)
    else:
        response = post(models, f"/v1/{path}", body, max_characters=20, max_texts=3)
    assert response.status_code == status, response.text
    assert (response.json()["error"]["field"] or "").startswith(field or "")
    assert (field is None) == (response.json()["error"]["field"] is None)


@pytest.mark.parametrize(
    ("content", "statuses"),
    [
        (b"", {400}),
        (b"{", {400}),
        (b"null", {422}),
        (b'"a"', {422}),
        (b"[" * 100_000, {400}),
        (b'{"text":' * 50_000, {400}),
        (b'{"texts": ' + b"[" * 5000 + b"]" * 5000 + b"}", {400, 422}),
        (b'{"text": 1e999999}', {400, 422}),
        (b'{"text": ' + b"9" * 100_000 + b"}", {400, 422}),
        (b'{"text": "\\ud800"}', {400}),
        (b'{"text": "\xed\xa0\x80"}', {400}),
        (b'{"text": "\xff"}', {400}),
        (b'{"text": "a", "text": 3}', {422}),
        (b'{"text": NaN}', {400, 422}),
        (b'{"text": true}', {422}),
        (b'{"model": "a\\u0000b", "text": "a"}', {404}),
        (b'{"text": "' + b"a" * 10_000_000 + b'"}', {413}),
        (json.dumps({"text": "a" * 1_000_000}).encode(), {422}),
    ],
    ids=range(18),
)
def test_a_fuzzer_s_bodies_are_refused_in_words(models, content, statuses):
    response = send(models, content)
    assert response.status_code in statuses, response.text[:300]
    problem = response.json()["error"]
    assert problem["message"]
    assert len(response.content) < 700
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "text", ["a\0b", "\0", "\u202eward\u202c", "\u200f\u200e", "😀" * 50, "\ufeff", "a" * 5000, " " * 999]
)
@pytest.mark.parametrize("path", ["embed", "classify", "tag"])
def test_odd_texts_are_answered(models, path, text):
    assert post(models, f"/v1/{path}", {"text": text}).status_code == 200


def test_a_body_is_counted_as_it_comes(models):
    async def parts():
        for _ in range(100):
            yield b'{"text": "' + b"a" * 100

    response = send(models, parts(), max_body_bytes=2000)
    assert response.status_code == 413
    assert "2,000 bytes" in response.json()["error"]["message"]


def test_other_kinds_of_bodies_are_refused(models):
    assert send(models, b'{"text": "a"}', headers={"content-type": "text/plain"}).status_code == 415
    assert ask(models, lambda client, service: client.get("/v1/embed")).status_code == 405


def test_keys(models):
    keys = {"key": ("first-key", "second-key")}

    def status(path, key=None):
        headers = {} if key is None else {"authorization": key}
        send = lambda client, service: client.get(path, headers=headers)  # noqa: E731
        return ask(models, send, **keys).status_code

    for wrong in (None, "Bearer", "Bearer first-ke", "first-key", "Bearer first-key2", b"Bearer \xe9"):
        assert status("/v1/models", wrong) == 401
    for right in ("Bearer first-key", "Bearer second-key"):
        assert status("/v1/models", right) == 200
    assert status("/metrics") == status("/openapi.json") == 401
    assert status("/health") == status("/health/live") == status("/health/ready") == 200


def test_without_a_key_only_names_of_loopback_are_answered(models):
    def status(host, **options):
        send = lambda client, service: client.get("/v1/models", headers={"host": host})  # noqa: E731
        return ask(models, send, **options).status_code

    assert status("evil.example:8000") == 421
    assert status("localhost:8000") == status("[::1]:8000") == status("127.0.0.1") == 200
    assert status("models.example", key=("k",)) == 401


def test_the_host_that_it_was_told_to_listen_on_is_a_name_of_it(models):
    """Of 127.0.0.2, which is loopback too, everything was refused."""
    send = lambda client, service: client.get("/v1/models", headers={"host": "127.0.0.2:8000"})  # noqa: E731
    assert ask(models, send, host="127.0.0.2").status_code == 200
    refused = ask(models, send, host="127.0.0.3")
    assert refused.status_code == 421
    assert "127.0.0.3" in refused.text
    assert ServeConfig(host="::1").address == "[::1]"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_beyond_loopback_a_key_is_needed_unless_it_is_said_that_none_is(host):
    with pytest.raises(ConfigError, match="give --key"):
        ServeConfig(host=host)
    assert not ServeConfig(host=host, no_key_needed=True).is_loopback
    assert ServeConfig(host=host, key=("secret",)).key == ("secret",)
    assert "secret" not in repr(ServeConfig(key=("secret",)))


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "a\n"])
def test_a_key_that_cannot_be_sent_is_none(key):
    with pytest.raises(ConfigError, match="a key is"):
        ServeConfig(key=(key,))


def test_every_answer_has_the_security_headers(models):
    for path in ("/health", "/v1/models", "/nothing"):
        response = ask(models, lambda client, service, path=path: client.get(path))
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_a_full_queue_says_when_to_come_back_before_it_reads(models):
    async def never_read():
        yield b'{"text"'
        pytest.fail("a refused body was read")

    async def doing(client, service):
        service.worker("embed").waiting = 256
        refused = await client.post("/v1/embed", content=never_read(), headers=JSON)
        service.worker("embed").waiting = 0
        return refused

    response = ask(models, doing)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1


def test_a_fault_of_ours_is_told_to_the_log_alone(models, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("secret words of a client")

    monkeypatch.setattr(models["bert"], "embed", fail)
    log = io.StringIO()
    response = post(models, "/v1/embed", {"text": "secret words of a client"}, log=log)
    assert (response.status_code, response.json()["error"]["type"]) == (500, "internal_error")
    assert "RuntimeError" not in response.text
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {"error", "request"} <= {event["event"] for event in events}
    assert any("in fail" in frame or frame.endswith("fail") for event in events for frame in event.get("stack", ()))
    assert "secret" not in log.getvalue()


def test_logs_and_figures_hold_no_text_of_a_client(models):
    log = io.StringIO()

    async def doing(client, service):
        for path, body in (("/v1/embed", {"text": "private"}), ("/v1/fill", {"text": "private"}), ("/private", {})):
            await client.post(path, json=body)
        await asyncio.sleep(0.05)
        return (await client.get("/metrics")).text

    figures = ask(models, doing, log=log)
    assert "private" not in log.getvalue() + figures
    assert 'bertsmith_requests_total{operation="embed",status="200"} 1.0' in figures
    assert 'bertsmith_requests_total{operation="fill",status="422"} 1.0' in figures
    assert "bertsmith_round_texts_count 2.0" in figures
    assert [json.loads(line)["status"] for line in log.getvalue().splitlines()] == [200, 422, 404]


def test_readiness_ends_with_the_server(models):
    async def doing(client, service):
        before = (await client.get("/health/ready")).status_code
        service.drain()
        after = [(await client.get(f"/health/{kind}")).status_code for kind in ("ready", "live")]
        return before, *after, (await client.post("/v1/embed", json={"text": "a"})).status_code

    assert ask(models, doing) == (200, 503, 200, 503)


def test_models_have_their_folders_names_or_given_ones(tiny_bert, tmp_path):
    (tmp_path / "tiny-bert").symlink_to(tiny_bert)
    assert list(load_models([str(tiny_bert), f"other={tiny_bert}"])) == ["tiny-bert", "other"]
    with pytest.raises(ConfigError, match='the name "tiny-bert"'):
        load_models([str(tiny_bert), str(tmp_path / "tiny-bert")])
    with pytest.raises(ConfigError, match="at least one"):
        load_models([])
    with pytest.raises(ModelFolderError):
        load_models([str(tmp_path / "gone")])
