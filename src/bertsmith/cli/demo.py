"""`bertsmith demo`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertsmith.cli.common import ConfigFile, Json, answer, reporter, stdout

if TYPE_CHECKING:
    from bertsmith.demo import Comparison, DemoResult

# Not so far under the word-frequency loss, a model answers with the commonest words.
LITTLE_NATS = 1.0


def demo(
    *,
    out: Annotated[Path, Parameter(help="The folder for texts and models.")] = Path("demo-bert"),
    minutes: Annotated[float, Parameter(help="Minutes of pretraining.")] = 2.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.demo import run_demo

    result = run_demo(out, minutes=minutes, reporter=reporter())
    if as_json:
        answer({"out": result.model, "metrics": result.metrics, "classifier": _figures(result.parts)})
        return
    _print_pretraining(result)
    _print_comparison(result.parts)
    _print_next(result)


def _figures(parts: Comparison) -> dict[str, object]:
    """The comparison, for `--json`."""
    return {
        "out": parts.pretrained.out,
        "metrics": parts.pretrained.metrics,
        "never_pretrained_metrics": parts.never_pretrained.metrics,
        "majority_share": parts.guessing,
        "gain": parts.gain,
        "noise": parts.noise,
        "train_examples": parts.train,
        "dev_examples": parts.dev,
    }


def _say(text: str) -> None:
    stdout().print(text, markup=False, soft_wrap=True)


def _print_pretraining(result: DemoResult) -> None:
    from bertsmith.cli.fill import print_masks

    for text, masks in result.fills.items():
        print_masks(text, masks)
    loss, guessing = result.metrics["mlm_loss"], result.metrics["frequency_loss"]
    _say(f"\nheld-out loss {loss:.2f} nats; always guessing by word frequency has {guessing:.2f}")
    if guessing - loss < LITTLE_NATS:
        _say("The answers are mostly the commonest words: so short a run taught little. Longer ones teach context.")
    else:
        _say("The answers fit the words beside them: that much is learned in two minutes. Longer runs read further.")


def _print_comparison(parts: Comparison) -> None:
    """What pretraining buys, or that it bought nothing that could be told from chance."""
    rows = (
        ("on the pretrained encoder", parts.pretrained.metrics["accuracy"]),
        ("on the same encoder, never pretrained", parts.never_pretrained.metrics["accuracy"]),
        ("always saying the commonest part", parts.guessing),
    )
    _say(
        f"\nWhich part of Python's library is a docstring of? Learned from {parts.train:,} docstrings, measured on "
        f"{parts.dev:,} that no model had read:"
    )
    for name, share in rows:
        _say(f"  {share:6.1%}  {name}")
    _say(verdict(parts))


def verdict(parts: Comparison) -> str:
    """One sentence on the difference, no stronger than the figures."""
    points, noise = f"{abs(parts.gain) * 100:.1f}", f"{parts.noise * 100:.1f}"
    if abs(parts.gain) <= parts.noise:
        return (
            f"The difference of {points} points is within the noise ({noise} points on so few docstrings): so short a "
            "pretraining bought nothing that can be told from chance. More may: bertsmith demo --minutes 5 "
            "--out longer-demo"
        )
    if parts.gain < 0:
        return f"Pretraining cost {points} points (noise: {noise}): it was too short to help. Give it more --minutes."
    return (
        f"Pretraining bought {points} points, from text without labels: examples, recipe, seed and first head are the "
        f"same. So few docstrings leave {noise} points of noise, and one run each may differ by more with another seed."
    )


def _print_next(result: DemoResult) -> None:
    from bertsmith.cli.pretrain import what_next

    classifier, corpus = quote(str(result.parts.pretrained.out)), quote(str(result.corpus))
    _say(f"\n{result.corpus}  the text it was made from; train.csv and dev.csv beside it: yours to look at")
    _say(what_next(result.model, "The [MASK] is sorted in place."))
    _say(f'  bertsmith predict {classifier} "Return the width of the widget in pixels."')
    _say(f"  bertsmith pretrain {corpus} --out better-bert --size mini --minutes 30    # larger, and longer")
