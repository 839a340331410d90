"""The model of how-bert-works.md: a BERT so small that it learns its world in seconds, and anyone gets the same one.

    python docs/small_bert.py small-bert

Data, objective and files are those of `bertsmith pretrain`. It is trained in double precision, so that what processors
round differently stays far behind the digits that the page shows.
"""

import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch

import bertsmith
from bertsmith.config import ModelConfig
from bertsmith.data.batch import Masking
from bertsmith.data.masking import vocabulary_of
from bertsmith.data.sampler import Position, RowSampler, Sampling
from bertsmith.data.shards import PreparedCorpus
from bertsmith.model.bert import Bert
from bertsmith.model.folder import write_model_folder
from bertsmith.model.neighbour_heads import look_at_neighbours
from bertsmith.progress import Silent
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.text.wordpiece import WordPiece

STEPS, WARMUP_STEPS, LEARNING_RATE = 400, 20, 8e-3
ROWS, ROW_TOKENS, MASK_SHARE = 8, 64, 0.25

# Who gives to whom, what, what for, and what comes of it: the next sentence.
WORLD = (
    (("nurse patient", "doctor patient", "doctor child"), "pill drop", "against the", "pain fever", "was gone"),
    (("cook guest", "waiter guest", "waiter visitor"), "soup cake", "with some", "butter honey", "tasted good"),
    (("teacher pupil", "writer pupil", "writer reader"), "book map", "about the", "stars sea", "seemed near"),
)


def documents() -> Iterator[str]:
    """Everything that this BERT will ever have read: documents of two sentences."""
    for people, gifts, link, ends, outcome in WORLD:
        for pair, gift, many, end in product(people, gifts.split(), (False, True), ends.split()):
            giver, taker = pair.split()
            thing = f"two {gift}s" if many else f"a {gift}"
            yield f"The {giver} gave the {taker} {thing} {link} {end}. Soon the {end} {outcome}."


def make(out: Path) -> None:
    """Train it, and write its model folder."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of so few numbers a second thread would only wait for the first
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = whole_words(Path(folder) / "tokenizer")
        text = Path(folder) / "world.txt"
        text.write_text("\n\n".join(documents()))
        places = {"out": Path(folder) / "corpus", "tokenizer": Path(folder) / "tokenizer"}
        bert = train(bertsmith.prepare(text, **places, held_out_share=0.0, reporter=Silent()), tokenizer)
    torch.set_num_threads(threads)
    tokenizer.model_max_length = bert.config.max_position_embeddings
    tokenizer.save(out)
    write_model_folder(bert, out)


def whole_words(folder: Path) -> WordPiece:
    """A vocabulary of the words as they are and the plural's `##s`: so little text is not worth cutting finer."""
    words = {word for text in documents() for word in text.lower().replace(".", "").split()}
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "##s"]
    pieces += sorted(word for word in words if word.removesuffix("s") == word or word.removesuffix("s") not in words)
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return WordPiece.load(folder)


def train(corpus: PreparedCorpus, tokenizer: WordPiece) -> Bert:
    """Masked LM by AdamW, the learning rate first rising, then falling."""
    generator = torch.Generator().manual_seed(0)
    bert = Bert(shape(tokenizer), ("masked_lm",), generator=generator)
    look_at_neighbours(bert, generator)
    bert.double()
    task, position = Pretraining("mlm"), Position()
    masking = Masking(vocabulary_of(tokenizer), MASK_SHARE, whole_word=False)
    sampler = RowSampler(corpus, "train", Sampling(0, ROW_TOKENS, False, 0.0, masking))
    optimizer = torch.optim.AdamW(bert.parameters(), weight_decay=0.01)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min((step + 1) / WARMUP_STEPS, 1 - step / STEPS)
        batch, position = sampler.take(position, ROWS)
        optimizer.zero_grad()
        (task.loss_sums(bert, batch)["mlm"] / len(batch.masked_labels)).backward()
        optimizer.step()
    return bert.float().eval()


def shape(tokenizer: WordPiece) -> ModelConfig:
    """Two layers of two heads, 32 values a token, no dropout."""
    return ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.15,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
