"""`bertsmith export MODEL --to onnx --out FOLDER`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bertsmith.cli.common import ConfigFile, Json, LabelledOptions, Model, answer, print_table, reporter, stdout
from bertsmith.errors import ConfigError
from bertsmith.finetune_config import LabelledConfig

if TYPE_CHECKING:
    from bertsmith.export.run import Exported


def export(
    model: Model,
    *,
    to: Annotated[
        Literal["onnx", "onnx-int8", "sentence-transformers", "hub"],
        Parameter(
            help="onnx: a graph for ONNX Runtime, without torch. onnx-int8: the same with weights of eight bits. "
            "sentence-transformers: a folder that it opens. hub: MODEL itself, exported or not, to Hugging Face's Hub."
        ),
    ],
    out: Annotated[Path | None, Parameter(help="The folder to make.")] = None,
    repo: Annotated[str | None, Parameter(help="With --to hub: the repository, name/model.")] = None,
    public: Annotated[
        bool, Parameter(negative="", help="With --to hub: let everyone see it, if the repository is new.")
    ] = False,
    dev: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            help="Data to measure the loss on: labelled examples of the model's task, or text if it fills masks. "
            "Without it only outputs are compared, on a few sentences.",
        ),
    ] = None,
    max_loss: Annotated[
        float, Parameter(help="Refuse a larger loss of the task's figure; 0.01 is a point of 100.")
    ] = 0.01,
    calibration: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            help="With onnx-int8: text files of what it will read; numbers on the way are then scaled once for all, "
            "not anew for each text.",
        ),
    ] = None,
    reading: LabelledOptions = LabelledConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    if to == "hub":
        if dev or calibration:
            raise ConfigError("--dev and --calibration have no use with --to hub, which sends MODEL as it is")
        _push(model, repo, public, out, as_json)
        return
    if repo is not None or public:
        raise ConfigError("--repo and --public are for --to hub")
    if out is None:
        raise ConfigError(f"--to {to} needs --out, the folder to make")
    from bertsmith.export.run import export as run

    made = run(
        model,
        to,
        out,
        dev=dev or (),
        calibration=calibration or (),
        reading=reading,
        max_loss=max_loss,
        reporter=reporter(),
    )
    _tell(made, as_json)


def _tell(made: "Exported", as_json: bool) -> None:
    verdict = made.verdict
    if as_json:
        metrics = {"before": verdict.before, "after": verdict.after, "loss": verdict.loss, "largest": verdict.largest}
        answer(
            {"out": made.out, "bytes": made.bytes, "files": made.files, "metrics": metrics, "verdict": asdict(verdict)}
        )
        return
    names = verdict.metrics[0] or {verdict.figure: verdict.before}
    after = verdict.metrics[1] or {verdict.figure: verdict.after}
    rows = [(name, f"{names[name]:.4f}", f"{after[name]:.4f}") for name in names]
    print_table(f"on {verdict.scored_on:,}", ("", "before", "after"), rows)
    said = f"{made.out}  {made.bytes / 1e6:,.1f} MB; outputs differ by at most {verdict.largest:.2g}"
    stdout().print(said, markup=False, soft_wrap=True)


def _push(model: Path, repo: str | None, public: bool, out: Path | None, as_json: bool) -> None:
    if repo is None or out is not None:
        raise ConfigError("--to hub needs --repo name/model, and makes no folder: leave --out out")
    from bertsmith.export.hub import push

    pushed = push(model, repo, public=public, reporter=reporter())
    if as_json:
        answer({"url": pushed.url, "files": pushed.files})
        return
    stdout().print(f"{pushed.url}  {len(pushed.files)} files", markup=False, soft_wrap=True)
