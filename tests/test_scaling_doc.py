"""docs/scaling.md: its plans run, and what it gives `torchrun`, `pretrain` and Kubernetes are words that they know."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import get_args_parser

from bertsmith.cli.main import build_app, main

PAGE = (Path(__file__).parents[1] / "docs/scaling.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def lines_with(word: str) -> list[list[str]]:
    """The words of each command that begins with a word, whatever stands before it; broken lines put together."""
    text = "\n".join(blocks("sh") + blocks("bash")).replace("\\\n", " ").replace('\' > "$node.log" 2>&1 &', "")
    found = [line[line.index(word) :] for line in text.splitlines() if f"{word} " in line]
    return [shlex.split(line) for line in found]


def torchruns() -> list[list[str]]:
    manifests = [manifest for block in blocks("yaml") for manifest in yaml.safe_load_all(block)]
    pods = [manifest["spec"]["template"]["spec"] for manifest in manifests if manifest["kind"] == "Job"]
    for manifest in manifests:
        replicas = manifest["spec"].get("pytorchReplicaSpecs", {}).values()
        pods += [each["template"]["spec"] for each in replicas]
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]} == volumes
    return lines_with("torchrun") + [each["command"] for pod in pods for each in pod["containers"]]


def test_there_is_a_recipe_for_each_place():
    assert len(torchruns()) == 7  # the first, one machine, two by ssh, SLURM, two for Kubernetes
    assert len([words for words in torchruns() if any("rdzv-endpoint" in word for word in words)]) == 4


def test_torchrun_and_pretrain_know_what_they_are_told():
    for words in torchruns():
        given = get_args_parser().parse_args([word.replace("$SLURM_NNODES", "8") for word in words[1:]])
        assert (given.module, given.training_script) == (True, "bertsmith"), words
        command, bound, _ = build_app().parse_args(given.training_script_args)
        assert command.__name__ == "pretrain"
        options = bound.arguments["pretraining"]
        assert (options.size, options.steps) == ("base", 100_000)
        ranks = int(given.nproc_per_node) * int(given.nnodes.rpartition(":")[2])
        assert options.batch_size % ranks == 0


def test_the_plans_run(capsys: pytest.CaptureFixture[str]) -> None:
    plans = lines_with("bertsmith plan")
    assert len(plans) == 3
    for words in plans:
        assert main(words[1:]) == 0, words
    shown = capsys.readouterr().out
    assert "64 x H100 GPU" in shown


def test_the_table_of_cards_is_the_code_s():
    from bertsmith.benchmarks.plan_inputs import CARDS

    rows = re.findall(r"^\| `(\w+)`.*\| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert {name: (float(tflops), float(memory)) for name, tflops, memory in rows} == dict(CARDS)
