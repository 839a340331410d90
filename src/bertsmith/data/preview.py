"""What a model will read of a corpus: some rows of it, cut, paired, masked and packed as in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bertsmith.config import CorpusConfig, PretrainConfig
from bertsmith.data.batch import Masking, PretrainingBatch, build_batch
from bertsmith.data.masking import vocabulary_of
from bertsmith.data.packing import pack
from bertsmith.data.pairs import draw_pairs
from bertsmith.data.random_bits import generator, stream_key
from bertsmith.data.sample import sample_documents
from bertsmith.data.shards import Shard, shard_of
from bertsmith.data.tokenize_unit import tokenize_unit
from bertsmith.errors import CorpusError
from bertsmith.text.wordpiece import WordPiece

_NAME = "preview"


@dataclass(frozen=True)
class PreviewToken:
    """One place of a sequence.

    Attributes:
        shown: the WordPiece that the model reads.
        hidden: the one that it is to guess there; None where it is not asked.
        segment: 0 in A, 1 in B.
    """

    shown: str
    hidden: str | None
    segment: int


@dataclass(frozen=True)
class PreviewSequence:
    """One sequence of a row.

    Attributes:
        tokens: [CLS] and [SEP] included.
        is_next: whether B follows A in the text; None where there is no B.
    """

    tokens: tuple[PreviewToken, ...]
    is_next: bool | None


@dataclass(frozen=True)
class RowsPreview:
    """Rows as the model will read them, and figures of all rows of the sample.

    Attributes:
        rows: some rows, each of one sequence or several.
        figures: tokens_per_sentence, sequences_per_row, fill_share (of the places, no padding), unknown_share (of the
            tokens), masked_share (of all tokens, [CLS] and [SEP] counted), mask_token_share, random_share, kept_share
            (of what is to be guessed), is_next_share (of the pairs; None without pairs).
        documents: of the sample.
    """

    rows: tuple[tuple[PreviewSequence, ...], ...]
    figures: dict[str, float | None]
    documents: int

    def values(self) -> dict[str, Any]:
        """JSON's types."""
        return asdict(self)


def preview_rows(
    corpus: Sequence[str],
    tokenizer: WordPiece,
    *,
    reading: CorpusConfig,
    training: PretrainConfig,
    documents: int,
    rows: int,
) -> RowsPreview:
    """Make the rows of a sample as training makes those of a shard.

    Args:
        corpus: files, globs, folders, URLs.
        tokenizer: cuts the sentences.
        reading: how files become documents and sentences.
        training: what a row is: length, objective, masks, seed.
        documents: of the sample.
        rows: to show.

    Raises:
        CorpusError: a broken input, or no document with a token.
    """
    sample = sample_documents(corpus, reading, documents)
    batch = tokenize_unit(
        sample.texts, sample.sources, tokenizer=tokenizer, language=reading.language, seed=training.seed
    )
    if not len(batch):
        raise CorpusError(f"{', '.join(corpus[:3])}: the tokenizer leaves nothing of the text. Is it the right one?")
    shard = shard_of(batch, _NAME)
    made = _every_row(shard, tokenizer, training)
    shown = tuple(_sequences(made, row, tokenizer, training) for row in range(min(rows, made.rows)))
    tokens_per_sentence = len(shard.tokens) / (len(shard.sentence_starts) - 1)
    figures = {"tokens_per_sentence": tokens_per_sentence, **_figures(made, tokenizer, training)}
    return RowsPreview(shown, figures, len(batch))


def _every_row(shard: Shard, tokenizer: WordPiece, training: PretrainConfig) -> PretrainingBatch:
    """The rows of a shard in the first epoch, as `RowSampler` makes them."""
    length = training.max_length_tokens
    rng = generator("pairs", training.seed, 0, _NAME, length)
    pairs = draw_pairs(
        shard,
        row_length=length,
        next_sentence=training.objective == "mlm+nsp",
        short_share=training.short_sequence_share,
        rng=rng,
    )
    packed = pack(pairs.lengths, length).shuffled(rng)
    return build_batch(
        shard,
        pairs,
        packed,
        rows=(0, len(packed)),
        row_length=length,
        masking=Masking(vocabulary_of(tokenizer), training.mask_share, training.whole_word),
        key=stream_key("masks", training.seed, 0, _NAME, length),
    )


def _sequences(
    made: PretrainingBatch, row: int, tokenizer: WordPiece, training: PretrainConfig
) -> tuple[PreviewSequence, ...]:
    length = made.input_ids.shape[1]
    one = made.slice(row, row + 1)
    hidden = {int(place): int(label) for place, label in zip(one.masked_places, one.masked_labels, strict=True)}
    ends = [*one.cls_places[1:], int(np.count_nonzero(one.sequence_ids))]
    found = []
    for start, end, elsewhere in zip(one.cls_places, ends, one.next_sentence_labels, strict=True):
        tokens = tuple(
            PreviewToken(
                tokenizer.tokens[one.input_ids[0, place]],
                tokenizer.tokens[hidden[place]] if place in hidden else None,
                int(one.token_type_ids[0, place]),
            )
            for place in range(start, min(end, length))
        )
        found.append(PreviewSequence(tokens, not elsewhere if training.objective == "mlm+nsp" else None))
    return tuple(found)


def _figures(made: PretrainingBatch, tokenizer: WordPiece, training: PretrainConfig) -> dict[str, float | None]:
    tokens = made.tokens
    shown = made.input_ids.flat[made.masked_places]
    masks, kept = shown == tokenizer.mask_id, shown == made.masked_labels
    original = made.input_ids.copy()
    original.flat[made.masked_places] = made.masked_labels
    pairs = training.objective == "mlm+nsp"
    return {
        "sequences_per_row": len(made.cls_places) / made.rows,
        "fill_share": tokens / made.input_ids.size,
        "unknown_share": float((original == tokenizer.unk_id).sum() / tokens),
        "masked_share": len(shown) / tokens,
        "mask_token_share": float(masks.mean()),
        "random_share": float((~masks & ~kept).mean()),
        "kept_share": float(kept.mean()),
        "is_next_share": float(1 - made.next_sentence_labels.mean()) if pairs else None,
    }
