"""`compare` of /v1/explain: other models that are served, and the steps of runs."""

import json
import shutil

import numpy as np
import pytest

import bertsmith.explain.drift
from bertsmith.explain.opening import open_step
from bertsmith.explain.packing import unpack
from bertsmith.explain.predictor import load
from bertsmith.server.models import load_models, named_folders
from bertsmith.server.others import MOST_OPEN, Others
from bertsmith.server.runs import Runs
from explain.folders import words_for
from server.asking import ask, post

TEXT = "The [MASK] saw a medicine in the wards."
QUICK = {"evidence": False, "hidden_words": False}


def explained(models, names, text=TEXT, model="bert", **more):
    response = post(models, "/v1/explain", {"model": model, "text": text, "compare": names, **QUICK, **more})
    assert response.status_code == 200, response.text
    return response.json()["explanation"]


def cards(models, **options):
    response = ask(models, lambda client, service: client.get("/v1/models"), **options)
    return {card["id"]: card["compares"] for card in response.json()["data"]}


def test_another_model_is_laid_beside_it(several):
    data = explained(several, ["moved"])
    bert = several["bert"]
    wanted = bert.compare(bert.explain(TEXT, evidence=False, hidden_words=False), several["moved"]).as_json()
    assert data["beside"] == json.loads(json.dumps(wanted["beside"]))
    assert [each["model"] for each in data["beside"]] == ["moved"]
    ours, theirs = unpack(data["arrays"]), unpack(wanted["arrays"])
    assert set(ours) == set(theirs)
    np.testing.assert_array_equal(ours["beside.0.weights"], theirs["beside.0.weights"])


def test_a_fine_tuned_model_beside_its_source_and_the_other_way_round(several):
    words = words_for("classify")
    data = explained(several, ["bert", "moved"], model="classify", **words)
    assert [each["model"] for each in data["beside"]] == ["bert", "moved"]
    assert {each["change"] for each in data["beside"][0]["weights"]} == {0}
    answer = several["classify"].explain(**words, evidence=False).recording.task.answer
    assert tuple(data["task"]["answer"]["labels"]) == answer.labels
    assert explained(several, ["classify"])["beside"][0]["task"] is None


def test_of_each_model_those_alike_are_listed(several):
    assert cards(several) == {
        "bert": ["classify", "moved"],
        "classify": ["bert", "moved"],
        "moved": ["bert", "classify"],
        "modern": [],
        "foreign": [],
    }


class Exported:
    """What is known of a model that was exported."""

    exported, name = True, "graph"


@pytest.mark.parametrize(
    ("names", "status", "field", "message"),
    [
        (["nobody"], 404, "compare[0]", "/v1/models lists what bert compares with"),
        (["moved", "../bert"], 404, "compare[1]", "no model or step of that name"),
        (["bert/step-0"], 404, "compare[0]", "no model or step of that name"),
        (["bert"], 422, "compare[0]", "the model itself"),
        (["modern"], 422, "compare[0]", "modern has another shape than bert"),
        (["foreign"], 422, "compare[0]", "foreign has another vocabulary than bert"),
        (["graph"], 422, "compare[0]", "graph was exported"),
        ([], 422, "compare", ""),
        (["moved"] * 7, 422, "compare", ""),
        ("moved", 422, "compare", ""),
        ([3], 422, "compare[0]", ""),
    ],
)
def test_what_cannot_be_compared_is_refused_by_its_field(several, names, status, field, message):
    models = {**several, "graph": Exported()} if names == ["graph"] else several
    response = post(models, "/v1/explain", {"model": "bert", "text": TEXT, "compare": names, **QUICK})
    assert response.status_code == status, response.text
    problem = response.json()["error"]
    assert problem["field"] == field
    assert message in problem["message"]


def test_a_text_that_the_model_cannot_read_is_still_the_texts_fault(several):
    response = post(several, "/v1/explain", {"model": "bert", "text": "pain " * 40, "compare": ["moved"], **QUICK})
    assert (response.status_code, response.json()["error"]["field"]) == (422, "text")


def test_how_far_weights_went_is_computed_once_and_for_no_model_that_is_gone(several, tiny_bert, monkeypatch):
    computed = []
    real = bertsmith.explain.drift.weight_drift
    monkeypatch.setattr("bertsmith.explain.drift.weight_drift", lambda *pair: computed.append(pair) or real(*pair))
    models = dict(several)

    async def doing(client, service):
        async def asked(text, name):
            body = {"model": "bert", "text": text, "compare": [name], **QUICK}
            return (await client.post("/v1/explain", json=body)).json()["explanation"]["beside"][0]["weights"]

        first = [await asked(text, "moved") for text in (TEXT, "A [MASK].")]
        await asked(TEXT, "classify")
        known = len(computed)
        models["moved"] = load(tiny_bert)  # as a reload does
        return first, known, await asked(TEXT, "moved")

    (one, two), known, anew = ask(models, doing)
    assert one == two
    assert any(each["change"] > 0.01 for each in one)
    assert (known, len(computed)) == (2, 3)
    assert {each["change"] for each in anew} == {0}, "weights that were read anew are compared anew"


def test_a_run_is_laid_beside_its_steps(pretrained):
    words = [f"mine={pretrained}"]
    models, runs = load_models(words), Runs(named_folders(words))
    names = ["mine/step-0", "mine/step-2", "mine/step-4"]
    assert cards(models, runs=runs) == {"mine": names}
    body = {"text": "a [MASK]", "compare": names, **QUICK}
    response = ask(models, lambda client, service: client.post("/v1/explain", json=body), runs=runs)
    beside = response.json()["explanation"]["beside"]
    assert [each["model"] for each in beside] == names
    bert = models["mine"]
    wanted = bert.compare(bert.explain("a [MASK]", evidence=False), pretrained / "training/checkpoints").beside
    for found, other in zip(beside, wanted, strict=True):
        wanted_changes = {each.name: pytest.approx(each.change) for each in other.weights}
        assert {each["name"]: each["change"] for each in found["weights"]} == wanted_changes


def test_a_step_that_a_run_removes_is_no_longer_there(pretrained, tmp_path):
    shutil.copytree(pretrained, tmp_path / "my-bert")
    words = [str(tmp_path / "my-bert")]
    models, runs = load_models(words), Runs(named_folders(words))
    step = tmp_path / "my-bert/training/checkpoints/step-00000002"

    async def doing(client, service):
        body = {"text": "a [MASK]", "compare": ["my-bert/step-2"], **QUICK}
        seen = [await client.post("/v1/explain", json=body)]
        (step / "model.safetensors").write_bytes(b"rotten")
        step.touch()
        service.others._steps.clear()
        seen.append(await client.post("/v1/explain", json=body))
        shutil.rmtree(step)
        return [*seen, await client.post("/v1/explain", json=body)]

    good, damaged, gone = ask(models, doing, runs=runs)
    assert good.status_code == 200
    assert (damaged.status_code, damaged.json()["error"]["field"]) == (422, "compare[0]")
    assert (gone.status_code, gone.json()["error"]["field"]) == (404, "compare[0]")
    for refused in (damaged, gone):
        assert str(tmp_path) not in refused.text, "where it lies is not told"


def test_steps_in_memory_are_bounded_and_read_again_where_they_were_written_anew(pretrained, tmp_path, monkeypatch):
    shutil.copytree(pretrained, tmp_path / "my-bert")
    words = [str(tmp_path / "my-bert")]
    models, runs, opened = load_models(words), Runs(named_folders(words)), []
    others, real = Others(models, runs), open_step
    monkeypatch.setattr("bertsmith.explain.opening.open_step", lambda path: opened.append(path) or real(path))
    checkpoints = tmp_path / "my-bert/training/checkpoints"
    for step in range(10, 10 + 2 * MOST_OPEN):
        shutil.copytree(checkpoints / "step-00000002", checkpoints / f"step-{step:08}")
        for _ in range(2):
            others.open(models["my-bert"], f"my-bert/step-{step}", field="compare[0]")
    assert len(opened) == 2 * MOST_OPEN, "each was read once"
    assert len(others._steps) == MOST_OPEN
    last = opened[-1]
    shutil.rmtree(last)
    shutil.copytree(checkpoints / "step-00000004", last)
    others.open(models["my-bert"], f"my-bert/step-{int(last.name[5:])}", field="compare[0]")
    assert opened[-2:] == [last, last]


def test_a_run_with_damaged_settings_has_no_steps_and_the_rest_is_served(pretrained, tmp_path):
    shutil.copytree(pretrained, tmp_path / "my-bert")
    (tmp_path / "my-bert/training/run.toml").write_text("size = ")
    words = [str(tmp_path / "my-bert")]
    assert cards(load_models(words), runs=Runs(named_folders(words))) == {"my-bert": []}
