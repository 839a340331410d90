"""bertsmith's side: the command `bertsmith pretrain`, with the user's words: `python -m time_to_quality.ours JOB`.

Its clock is the run's own, on which checkpoints and evaluations count; so it evaluates at its end only, and the
checkpoints that the judge wants (about one every half minute) are at its own cost.
"""

from __future__ import annotations

import sys
from itertools import pairwise

from bertsmith.cli.main import main
from bertsmith.training import loop
from time_to_quality.job import Job, told

LEAST_GAP_S = 10.0


def words_of(job: Job) -> list[str]:
    """The command line; what the user has said wins."""
    usual = {
        "--size": job.size,
        "--minutes": f"{job.minutes:g}",
        "--seed": str(job.seed),
        "--keep-checkpoints": "100000",
        "--evaluate-every-steps": "1000000000",
    }
    given = {word.split("=")[0] for word in job.words}
    asked = [word for name, value in usual.items() if name not in given for word in (name, value)]
    return ["pretrain", job.corpus, "--out", job.out, *asked, *job.words, "--json"]


def checkpoint_gap_s(job: Job) -> float:
    """Half the shortest way from one mark to the next."""
    return max(LEAST_GAP_S, 30 * min(after - before for before, after in pairwise((0.0, *job.marks))))


def run(job: Job) -> int:
    """Pretrain; the exit status."""
    assert hasattr(loop, "CHECKPOINT_EVERY_S")
    loop.CHECKPOINT_EVERY_S = checkpoint_gap_s(job)
    return main(words_of(job))


if __name__ == "__main__":
    sys.exit(run(told()))
