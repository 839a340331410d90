"""Folders of fine-tuned models and of a ModernBERT, on the encoder or tokenizer of a small BERT."""

from pathlib import Path

import torch

from bertsmith.config import HeadConfig, ModelConfig
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_for_task, read_model_folder, write_model_folder
from bertsmith.text.wordpiece import WordPiece

HEADS = {
    "classify": HeadConfig(task="classify", labels=("bad", "good", "so-so")),
    "multi": HeadConfig(task="classify", labels=("bad", "good"), multi_label=True),
    "features": HeadConfig(task="classify", labels=("bad", "good"), feature_layers=2),
    "regress": HeadConfig(task="regress"),
    "tag": HeadConfig(task="tag", labels=("O", "B-PER", "I-PER")),
    "answer": HeadConfig(task="answer", max_length_tokens=32),
    "choose": HeadConfig(task="choose"),
}
WORDS = {
    "answer": {"text": "The nurse saw the doctor in a ward.", "question": "who was seen?"},
    "choose": {"text": "The nurse saw", "choices": ["the doctor", "a medicine", "in"]},
    "regress": {"text": "The nurse saw", "pair": "the doctor"},
}


def words_for(name: str) -> dict[str, object]:
    """What a task is asked."""
    return WORDS.get(name, {"text": "The nurse saw the doctor in a ward."})


def task_folder(encoder: Path, name: str, out: Path) -> Path:
    """The encoder under a head with large random weights; the tagger finds some names, and not everywhere."""
    bert, _ = read_for_task(encoder, HEADS[name], generator=torch.Generator().manual_seed(7))
    write_model_folder(bert, out)
    WordPiece.load(encoder).save(out)
    return out


def modern_folder(encoder: Path, out: Path) -> Path:
    """A small ModernBERT whose local layers see two tokens to either side."""
    tokenizer = WordPiece.load(encoder)
    tokenizer.segments = False
    tokenizer.save(out)
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 24}
    modern = {"architecture": "modernbert", "local_attention": 4, "global_rope_theta": 500.0, "local_rope_theta": 30.0}
    config = ModelConfig(vocab_size=tokenizer.vocab_size, initializer_range=0.3, **shape, **modern)
    write_model_folder(Bert(config, generator=torch.Generator().manual_seed(5)), out)
    return out


def moved_folder(source: Path, out: Path) -> Path:
    """The same model with every weight moved a little."""
    bert, _ = read_model_folder(source)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for weight in bert.parameters():
            weight += 0.15 * torch.randn(weight.shape, generator=generator)
    write_model_folder(bert, out)
    WordPiece.load(source).save(out)
    return out
