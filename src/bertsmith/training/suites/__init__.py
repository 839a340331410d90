"""Suites: a model is fine-tuned on every task of a folder and measured beside the figures that BERT's paper reports.

Each suite is a file here: GLUE, SQuAD, CoNLL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from bertsmith.errors import ConfigError, CorpusError
from bertsmith.files import make_folder
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.progress import Reporter, Silent
from bertsmith.training.suites.common import Suite, SuiteResult
from bertsmith.training.suites.conll import run_conll
from bertsmith.training.suites.glue import run_glue
from bertsmith.training.suites.squad import run_squad

__all__ = ["SuiteName", "SuiteResult", "run_suite"]

SuiteName = Literal["glue", "squad", "conll"]


def run_suite(
    name: SuiteName,
    model: Path,
    folder: Path,
    out: Path,
    *,
    config: FinetuneConfig = FinetuneConfig(),
    reading: LabelledConfig = LabelledConfig(),
    reporter: Reporter = Silent(),
) -> SuiteResult:
    """Fine-tune a model on each task of a folder, measure it, and write what a server or an official script takes.

    The same call again goes on where it stopped.

    Args:
        name: of the suite.
        model: the folder to begin with.
        folder: the suite's files, under their official names.
        out: a run folder for each task, `results.json`, and the files to hand in.
        config: the recipe, the same for every task.
        reading: how examples are read; of GLUE the columns are known.
        reporter: told which task of how many, and of the progress in each.

    Raises:
        ConfigError: there is no such suite, options that have no use in it, or other settings than those that `out`
            was begun with.
        CorpusError: nothing of the suite is in the folder (it says what was looked for), or a file is broken.
        ModelFolderError, TokenizerError: `model` is no model folder, or has no tokenizer.
        StoppedError: the user stopped a run; it was saved.
    """
    suites = {"glue": run_glue, "squad": run_squad, "conll": run_conll}
    if name not in suites:
        raise ConfigError(f'suite "{name}" is not known; there are {", ".join(get_args(SuiteName))}')
    if not folder.is_dir():
        raise CorpusError(f"{folder}: there is no such folder. Give the one that holds the files of {name}.")
    make_folder(out)
    if out.resolve() == folder.resolve():
        raise ConfigError(f"{out}: the data are here. Choose another folder for --out.")
    return suites[name](Suite(name, model, folder, out, config, reading, reporter))
