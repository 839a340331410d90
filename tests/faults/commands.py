"""The small run of `training.runs` as a command line."""

from pathlib import Path

from training.runs import SMALL


def small_run(corpus: Path, out: Path, *, prepared: bool = False) -> list[str]:
    """What follows the interpreter; of raw text it ends with the weights of `training.runs.run`."""
    options = dict(SMALL) if prepared else {**SMALL, "workers": 1, "held_out_share": 0.1, "vocab_size": 200}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return ["-m", "bertsmith", "pretrain", *words, str(corpus), "--out", str(out)]
