"""What the cleaning bench plants and how it judges; the measurement itself is no test."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from bertsmith.cleaning_config import CleaningConfig
from cleaning import judge, made_up, measure, plant

NEAR = CleaningConfig(drop_duplicates="near")


def test_copies_are_planted_beside_their_originals():
    base = made_up(np.random.default_rng(0), 50)
    texts, originals = plant(base, 0.2, 0.05, seed=1)
    assert len(texts) == 60
    assert sorted(set(originals)) == list(range(50))
    copies = [text for text in texts if text not in base]
    assert len(copies) == 10
    for copy in copies:
        words, was = copy.split(), base[originals[texts.index(copy)]].split()
        changed = sum(a != b for a, b in zip(words, was, strict=True))
        assert 1 <= changed <= round(0.05 * len(was))  # a word may be replaced by itself


def test_what_is_dropped_is_judged_by_what_was_planted(tmp_path):
    base = made_up(np.random.default_rng(0), 40)
    base.append(base[0] + " end")  # alike before anything was planted: dropped, and no mistake
    texts, originals = plant(base, 0.2, 0.02, seed=1)
    figures, batches = measure(texts, tmp_path, NEAR, 1)
    assert figures["seconds"] > 0
    found = judge(texts, originals, batches, NEAR)
    assert (found["documents"], found["planted"], found["found_share"]) == (49, 8, 1.0)
    assert (found["others_dropped_share"], found["false_share"]) == (1 / 41, 0.0)
