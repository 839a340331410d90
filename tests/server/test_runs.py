"""Run folders behind a server: their journals as they grow, and a model that comes later; the page's files."""

import io
import json
import shutil
import socket
import subprocess
import sys

import pytest

from bertsmith.explain.self_contained import modules_from, read_asset
from bertsmith.server.models import load_models, named_folders
from bertsmith.server.runs import Runs, read_since
from bertsmith.training.journal import Journal
from bertsmith.training.run_folder import RunFolder
from server.asking import ask

LINES = [{"kind": "train", "step": step, "loss": 1 / step} for step in range(1, 6)]


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def asked(folder, doing, **options):
    """What `doing` returns of a server of one folder."""
    words = [str(folder)]
    return ask(load_models(words), doing, runs=Runs(named_folders(words)), **options)


def test_a_journal_is_read_on_from_where_it_was_left(tmp_path):
    path = write(tmp_path / "metrics.jsonl", LINES[:2])
    first = read_since(path, "")
    assert (first.records, first.anew, first.more) == (LINES[:2], False, False)
    with path.open("a") as file:
        file.write(json.dumps(LINES[2]) + "\n" + '{"kind": "tr')
    second = read_since(path, first.cursor)
    assert (second.records, second.anew) == (LINES[2:3], False), "a line that is not whole comes later"
    assert read_since(path, second.cursor).records == []


def test_a_journal_that_went_back_is_read_anew(tmp_path):
    path = write(tmp_path / "metrics.jsonl", LINES)
    journal, cursor = Journal(path), read_since(path, "").cursor
    journal.rewind(3)
    journal.write({"kind": "train", "step": 4, "loss": 9.0, "more": "as long as what went or longer, so that it fits"})
    again = read_since(path, cursor)
    assert again.anew
    assert [record["step"] for record in again.records] == [1, 2, 3, 4]
    path.unlink()
    assert read_since(path, cursor).anew


@pytest.mark.parametrize("cursor", ["x", "5", "3-00000000", "999999-00000000", "-1-00000000", "9" * 40, "1-1\n"])
def test_a_cursor_that_is_none_gives_all(tmp_path, cursor):
    lines = read_since(write(tmp_path / "metrics.jsonl", LINES), cursor)
    assert (lines.records, lines.anew) == (LINES, True)


def test_long_journals_come_in_parts_and_damaged_lines_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("bertsmith.server.runs.MOST_BYTES", 100)
    path = write(tmp_path / "metrics.jsonl", LINES)
    path.write_text(
        path.read_text().replace('{"kind": "train", "step": 2,', "{") + '{"step": 6, "loss": Infinity}\n[]\n'
    )
    found, cursor, more = [], "", True
    while more:
        lines = read_since(path, cursor)
        found, cursor, more = found + lines.records, lines.cursor, lines.more
        assert len(lines.records) <= 2
    assert [record.get("step") for record in found] == [1, None, 3, 4, 5, 6]
    assert found[-1]["loss"] is None, "JSON has no infinity"


def test_a_run_without_a_model_is_served_and_its_model_when_it_comes(tiny_bert, tmp_path):
    folder = tmp_path / "my-run"
    write(folder / "training/metrics.jsonl", LINES)

    async def doing(client, service):
        seen = {
            "runs": (await client.get("/v1/runs")).json()["data"],
            "models": (await client.get("/v1/models")).json(),
        }
        seen["explained"] = await client.post("/v1/explain", json={"text": "a [MASK]"})
        seen["early"] = await client.post("/v1/reload", json={"model": "my-run"})
        for path in tiny_bert.iterdir():
            shutil.copy(path, folder)
        seen["weights"] = [(await client.get("/v1/training?model=my-run")).json()["run"]["weights"]]
        seen["read"] = await client.post("/v1/reload", json={"model": "my-run"})
        predictor = service.models["my-run"]
        await client.post("/v1/reload", json={"model": "my-run"})
        assert service.models["my-run"] is predictor, "read once"
        seen["weights"].append((await client.get("/v1/runs")).json()["data"][0]["weights"])
        shutil.copy(tiny_bert / "model.safetensors", folder / "beside")
        (folder / "beside").replace(folder / "model.safetensors")
        seen["weights"].append((await client.get("/v1/runs")).json()["data"][0]["weights"])
        seen["filled"] = await client.post("/v1/fill", json={"text": "a [MASK]", "model": "my-run"})
        return seen

    seen = asked(folder, doing)
    assert [(run["id"], run["weights"], run["finished"]) for run in seen["runs"]] == [("my-run", "none", False)]
    assert seen["models"]["data"] == []
    assert (seen["explained"].status_code, seen["early"].status_code) == (422, 422)
    assert "has written no model yet" in seen["early"].json()["error"]["message"]
    assert seen["weights"] == ["newer", "read", "newer"]
    assert seen["read"].json()["id"] == "my-run"
    assert seen["filled"].json()["model"] == "my-run"


def test_whether_a_run_is_under_way_is_known_by_the_process_in_its_lock(tmp_path):
    run = RunFolder(tmp_path)
    write(run.journal, LINES)
    runs = Runs({"my-run": tmp_path})
    running = lambda: runs.card("my-run", loaded=False).running  # noqa: E731
    assert running() is None, "a folder that was copied without its lock"
    with run.locked():
        assert running() is True
        with run.lock.open() as held:
            words = held.read()
    assert running() is False
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run.lock.write_text(f"process {ended.pid} on {socket.gethostname()}, since 2026-01-01 00:00:00 +0000")
    assert running() is False, "it was killed"
    run.lock.write_text(words.replace(socket.gethostname(), "elsewhere"))
    assert running() is None


def test_a_runs_parts_are_its_seeds_and_nothing_else(tmp_path, tiny_bert):
    folder = tmp_path / "run"
    shutil.copytree(tiny_bert, folder)
    (folder / "training").mkdir()
    (folder / "training/run.toml").write_text('size = "tiny"\ntrain = "/home/secret.csv"\nsteps = 20\n')
    write(folder / "training/seeds/3/training/metrics.jsonl", LINES)
    write(tmp_path / "metrics.jsonl", [{"secret": 1}])

    async def doing(client, service):
        get = lambda words: client.get(f"/v1/training?model=run&{words}")  # noqa: E731
        words = ("part=seeds/3", "", "part=../..", "part=seeds/../seeds/3", "part=seeds/3&of=../../x", "part=seeds/4")
        return [await get(each) for each in words]

    found, own, *refused = asked(folder, doing)
    assert found.json()["records"] == LINES
    assert found.json()["run"]["parts"] == ["seeds/3"]
    assert found.json()["run"]["settings"] == {"size": "tiny", "steps": 20}, "where its data lie is not told"
    assert own.json()["records"] == []
    assert own.json()["run"]["parts"] == ["seeds/3"], "so that who asked before there were seeds hears of them"
    assert [each.status_code for each in refused] == [404] * 4
    assert "secret" not in "".join(each.text for each in refused)


def test_folders_that_are_no_runs_have_no_curves(models):
    async def doing(client, service):
        return [
            await client.get("/v1/runs"),
            await client.get("/v1/training?model=bert"),
            await client.get("/v1/training"),
        ]

    runs, *missing = ask(models, doing)
    assert runs.json()["data"] == []
    assert [each.status_code for each in missing] == [404, 404]


def test_the_page_and_its_files_are_open_and_nothing_beside_them(models):
    paths = ["/", "/page/page.css", *(f"/page/{name}" for name in modules_from("live.js"))]
    closed = [
        "/v1/models",
        "/v1/runs",
        "/v1/training",
        "/page/../v1/models",
        "/page/",
        "/page/nothing.js",
        "/page/file.js",
    ]
    closed += ["/page/..%2f..%2fserver%2fapp.py", "/page/%2e%2e/page.js", "/page//etc/passwd", "/page/page.css/"]

    async def doing(client, service):
        return [await client.get(path) for path in paths], [await client.get(path) for path in closed]

    given, refused = ask(models, doing, key=("k",))
    for path, response in zip(paths, given, strict=True):
        assert response.status_code == 200, path
        (policy,) = response.headers.get_list("content-security-policy")
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        if path.endswith(".js"):
            assert response.headers["content-type"].startswith("text/javascript")
            assert response.text == read_asset(path.removeprefix("/page/"))
    assert {response.status_code for response in refused} == {401}
    ends = ask(models, lambda client, service: client.get("/page/..%2f..%2fserver%2fapp.py"))
    assert ends.status_code == 404
    assert ask(models, lambda client, service: client.post("/")).status_code == 405


def test_the_page_too_is_given_under_names_of_loopback_only(models):
    def status(path):
        return ask(models, lambda client, service: client.get(path, headers={"host": "evil.example"})).status_code

    assert status("/") == status("/page/live.js") == 421


def test_a_reload_is_no_simple_request_that_another_site_could_send(models):
    send = lambda client, service: client.post("/v1/reload", content=b'{"model": "bert"}')  # noqa: E731
    assert ask(models, send, log=io.StringIO()).status_code == 415
