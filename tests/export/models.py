"""Model folders with random heads, and Python that runs with few packages."""

import subprocess
import sys

from bertsmith.config import HeadConfig

LABELS = ("calm", "glad", "sad")
TAGS = ("O", "B-DRUG", "I-DRUG")
HEADS = {
    "fill": None,
    "classify": HeadConfig(task="classify", labels=LABELS),
    "multi": HeadConfig(task="classify", labels=LABELS, multi_label=True),
    "features": HeadConfig(task="classify", labels=LABELS, feature_layers=2),
    "multi-features": HeadConfig(task="classify", labels=LABELS, multi_label=True, feature_layers=2),
    "regress": HeadConfig(task="regress"),
    "tag": HeadConfig(task="tag", labels=TAGS),
    "answer": HeadConfig(task="answer", no_answer_threshold=0.0),
    "choose": HeadConfig(task="choose"),
}


def alone(code, folder, packages):
    """Run Python in a folder where of all installed packages only some are to be had."""
    guard = (
        "import sys\n"
        "class Guard:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {packages!r}: raise ImportError(name + ' is not installed')\n"
        "sys.meta_path.insert(0, Guard())\n"
    )
    run = subprocess.run([sys.executable, "-c", guard + code], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout
