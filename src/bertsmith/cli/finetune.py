"""`bertsmith finetune TASK --model my-bert --train train.csv --out my-task`."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from bertsmith.cli.common import ConfigFile, Json, LabelledOptions, answer, reporter, stdout
from bertsmith.finetune_config import FinetuneConfig, FinetuneName, LabelledConfig

FinetuneOptions = Annotated[FinetuneConfig, Parameter(name="*", group=Group("Fine-tuning", sort_key=20))]


def finetune(
    task: Annotated[
        FinetuneName,
        Parameter(
            help="classify (a label or several a text or pair), sentiment (its preset), regress (a number), "
            "tag (entities, parts of speech), answer (questions to a text), choose (multiple choice)."
        ),
    ],
    *,
    model: Annotated[
        Path, Parameter(help="The model to begin with: a run folder, or any Hugging Face BERT or ModernBERT folder.")
    ],
    train: Annotated[
        list[str],
        Parameter(
            consume_multiple=True,
            help="Labelled examples: .csv, .tsv, .jsonl, .parquet; CoNLL, CoNLL-U; SQuAD .json; a folder a class.",
        ),
    ],
    dev: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True, help="Examples to evaluate on; if not given, a share of --train is kept back."
        ),
    ] = None,
    out: Annotated[Path, Parameter(help="The run folder: a Hugging Face model folder when it is done.")],
    training: FinetuneOptions = FinetuneConfig(),
    reading: LabelledOptions = LabelledConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.training.finetune import finetune as run
    from bertsmith.training.ranks import is_first_process

    result = run(task, train, out, model=model, dev=dev, config=training, reading=reading, reporter=reporter())
    summary = result.summary
    if not is_first_process():
        return
    if as_json:
        seeds = {"seeds": dict(summary.seeds)} if len(summary.seeds) > 1 else {}
        answer({"out": result.out, "metrics": summary.metrics, **seeds})
        return
    from bertsmith.cli.evaluate import print_figures

    print_figures(summary.metrics, f"on {summary.counts['dev']:,} development examples")
    if len(summary.seeds) > 1:
        mean, deviation = summary.spread(summary.headline)
        stdout().print(f"{summary.headline} over {len(summary.seeds)} seeds: {mean:.4f} ± {deviation:.4f}")
    stdout().print(what_next(result.out, summary.task), markup=False, soft_wrap=True)


def what_next(out: Path, task: str) -> str:
    """Where things lie in the run folder, and what to try with them."""
    folder = shlex.quote(str(out))
    tries = {
        "answer": f'bertsmith predict {folder} "A text that holds the answer." --question "What does it hold?"',
        "choose": f'bertsmith predict {folder} "She opened the door" --choices "and went in." "and flew away."',
    }
    usual = f'bertsmith predict {folder} "A text of yours."'
    return f"""
{out}  is your model; transformers opens it as it is
  README.md  the model card, with the figures
  training/report.html  curves, tables, and the examples it got most wrong

Try next:
  {tries.get(task, usual)}
  bertsmith evaluate {folder} test-file"""
