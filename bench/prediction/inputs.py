"""What all sides are given: texts of mixed length, and a model folder for each thing that is measured."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from bertsmith.benchmarks.infer_job import Job, What, with_masks
from bertsmith.config import HeadConfig, ModelConfig, Size
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_folder, write_model_folder
from bertsmith.text.wordpiece import WordPiece

SHORT = "The patient was given a strong medicine against the pain."
LABELS = ("one", "two", "three", "four")


def cut_texts(file: Path, tokenizer: WordPiece, count: int, words: tuple[int, int], longest: int) -> list[str]:
    """Runs of words from a file, as many as `count`, of evenly distributed lengths; none beyond `longest` tokens.

    Raises:
        SystemExit: the file is too short.
    """
    all_words = file.read_text(encoding="utf-8").split()
    rng, texts, at = random.Random(0), [], 0
    while len(texts) < count:
        length = rng.randint(*words)
        if at + length > len(all_words):
            raise SystemExit(f"{file} has too few words for {count} texts: give a longer file, or fewer --count")
        text = " ".join(all_words[at : at + length])
        at += length
        if tokenizer.encode_sentences([text])[1][0] <= longest - 2:
            texts.append(text)
    return texts


def make_job(what: What, model: Path, texts: list[str], home: Path) -> Job:
    """The texts, and a folder with the head that is needed: the model's own, or one of random weights.

    Random heads answer nothing, but at full cost, and tell how far two sides' numbers are apart.
    """
    bert, _ = read_model_folder(model)
    tokenizer = WordPiece.load(model)
    folder = home / what
    write_model_folder(_with_head(bert, what), folder)
    tokenizer.save(folder)
    short = SHORT
    if what == "fill":
        texts, short = with_masks(texts), SHORT.replace("medicine", "[MASK]")
    lengths = [len(tokenizer.encode(text).input_ids) for text in texts]
    return Job(what, str(folder), texts, short, lengths)


def _with_head(bert: Bert, what: str) -> Bert:
    if what == "classify" and bert.head is not None and bert.head.task == "classify":
        return bert
    head = HeadConfig(task="classify", labels=LABELS) if what == "classify" else None
    parts = ("masked_lm",) if what == "fill" else ()
    made = Bert(bert.config, parts, head=head, generator=torch.Generator().manual_seed(0))
    made.encoder = bert.encoder
    if what == "fill" and bert.masked_lm is not None:
        made.masked_lm = bert.masked_lm
    return made


def random_model(size: Size, tokenizer_of: Path, home: Path) -> Path:
    """A folder with a BERT of this size and random weights, and another model's tokenizer."""
    tokenizer = WordPiece.load(tokenizer_of)
    config = ModelConfig.preset(size, vocab_size=tokenizer.vocab_size)
    bert = Bert(config, generator=torch.Generator().manual_seed(0))
    write_model_folder(bert, home / size)
    tokenizer.save(home / size)
    return home / size
