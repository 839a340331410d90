"""`bertsmith` that tells which rows it was fed: `rows_told.py FILE WORDS…`, a line of JSON for each step and rank."""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bertsmith.cli.main import main
from bertsmith.training.loop import Loop

trained = Loop._train


def train(self: Any, fed: Any, share: float) -> None:
    """The step, then the line: a step that was cut short is told of by nobody."""
    trained(self, fed, share)
    parts = [np.stack([batch.input_ids, batch.token_type_ids], axis=1) for batch in fed.batches]
    rows = [hashlib.sha256(row.tobytes()).hexdigest() for part in parts for row in part]
    line = {"step": self.progress.step, "rank": int(os.environ.get("RANK", "0")), "rows": rows}
    with told.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    told = Path(sys.argv[1])
    Loop._train = train  # type: ignore[method-assign]
    sys.exit(main(sys.argv[2:]))
