"""The side of `transformers`: `python -m time_to_quality.peer JOB`, as its example `run_mlm.py` has it.

`Trainer`, `DataCollatorForLanguageModeling` (15%, masks drawn anew) and `BertForMaskedLM` on the same training
documents, concatenated and cut every T tokens. The schedule is ours: a warm-up over 5% of the time, then linear to 0 at
its end, by a clock that stands still while weights are saved for the judge. Nothing is evaluated or logged.

Reference:
    huggingface/transformers, `examples/pytorch/language-modeling/run_mlm.py`.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.utils.data import Dataset
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from bertsmith.config import ModelConfig
from bertsmith.files import write_json
from bertsmith.training.budget import learning_rate
from time_to_quality.job import POINTS, Job, Point, told

WARMUP_SHARE, WEIGHT_DECAY = 0.05, 0.01  # bertsmith's own


class Clock:
    """Seconds of training; it stands still while it is stopped."""

    def __init__(self, minutes: float) -> None:
        self.minutes_in_all = minutes
        self._before, self._since = 0.0, 0.0

    def start(self) -> None:
        self._since = time.monotonic()

    def stop(self) -> None:
        self._before, self._since = self.seconds, 0.0

    @property
    def seconds(self) -> float:
        return self._before + (time.monotonic() - self._since if self._since else 0.0)

    @property
    def share(self) -> float:
        return self.seconds / 60 / self.minutes_in_all


class Blocks(Dataset[dict[str, torch.Tensor]]):
    """Rows of T ids, with what stands in the way of masking."""

    def __init__(self, path: Path, special_ids: list[int]) -> None:
        self.rows = np.load(path, mmap_mode="r", allow_pickle=False)
        self.special = np.array(special_ids)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = self.rows[index].astype(np.int64)
        special = np.isin(ids, self.special).astype(np.int64)
        return {"input_ids": torch.from_numpy(ids), "special_tokens_mask": torch.from_numpy(special)}


class ByTheClock(Trainer):
    """`Trainer` whose learning rate follows a clock."""

    clock: Clock  # given before it trains

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        def share(step: int) -> float:
            return learning_rate(1.0, self.clock.share, warmup_share=WARMUP_SHARE)

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, share)
        return self.lr_scheduler


class Marks(TrainerCallback):
    """Saves the weights at the marks, and ends the run when its time is up."""

    def __init__(self, job: Job, clock: Clock, tokens_a_step: int) -> None:
        self.job, self.clock, self.tokens = job, clock, tokens_a_step
        self.left, self.points = list(job.marks), list[Point]()

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.clock.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        minutes = self.clock.seconds / 60
        if minutes < self.left[0]:
            return
        self.clock.stop()
        while self.left and minutes >= self.left[0]:
            mark = self.left.pop(0)
        folder = Path(self.job.out) / f"step-{state.global_step:08d}"
        model = getattr(rest["model"], "_orig_mod", rest["model"])  # of a compiled one
        model.save_pretrained(folder)
        weights = str(folder / "model.safetensors")
        self.points.append(Point(minutes, state.global_step, state.global_step * self.tokens, weights, mark))
        print(f"  {minutes:.2f} minutes, {state.global_step:,} steps", flush=True)
        control.should_training_stop = not self.left
        self.clock.start()


def arguments_of(job: Job) -> TrainingArguments:
    """The recipe, as `Trainer` is told it."""
    precision, *options = job.precision.split("+")
    return TrainingArguments(
        output_dir=job.out,
        per_device_train_batch_size=job.batch_size,
        max_steps=10**9,  # the clock ends it
        learning_rate=job.learning_rate,
        weight_decay=WEIGHT_DECAY,
        bf16=precision == "bfloat16",
        torch_compile="compile" in options,
        seed=job.seed,
        use_cpu=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def run(job: Job) -> None:
    """Train; what can be judged is listed in the run's folder at the end."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    set_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(Path(job.corpus) / "tokenizer")
    blocks = Blocks(Path(job.blocks), tokenizer.all_special_ids)
    shape = ModelConfig.preset(job.size, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id).model_dump()
    dropouts = {"hidden_dropout_prob": job.dropout, "attention_probs_dropout_prob": job.dropout}
    clock = Clock(job.minutes)
    marks = Marks(job, clock, job.batch_size * blocks.rows.shape[1])
    trainer = ByTheClock(
        BertForMaskedLM(BertConfig(**{**shape, **dropouts})),
        arguments_of(job),
        train_dataset=blocks,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
        callbacks=[marks],
    )
    trainer.clock = clock
    trainer.train()
    write_json(Path(job.out) / POINTS, [asdict(point) for point in marks.points])


if __name__ == "__main__":
    run(told())
