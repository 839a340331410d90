"""BERT's WordPiece tokenizer: train, load, save, encode; the Rust library `tokenizers` does the work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer

from bertsmith.config import TokenizerConfig
from bertsmith.errors import TokenizerError
from bertsmith.files import write_json, write_text
from bertsmith.text.chunks import ChunkEncoder, encodable
from bertsmith.text.tokenizer_files import (
    bert_normalizer,
    build_tokenizer,
    check_bert,
    configured,
    parse_tokenizer,
    read_config,
    read_vocab,
)
from bertsmith.text.vocabulary import SPECIAL_TOKENS, train_vocabulary


@dataclass(frozen=True)
class Encoding:
    """A text, or a pair, as tokens; all lists have T entries.

    Attributes:
        input_ids: ids in [0, V).
        token_type_ids: 0 for the text, 1 for the pair.
        offsets: (start, end) in characters of the text, or of the pair where the type is 1; (0, 0) for
            special tokens that were added.
        word_ids: number of the word that a token is part of, from 0 in each text; None for special tokens
            that were added.
        special_tokens_mask: 1 where a special token was added.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]
    special_tokens_mask: list[int]


class WordPiece:
    """A BERT tokenizer. Make one with `train` or `load`.

    Attributes:
        tokenizer: the `tokenizers.Tokenizer` that does the work; special tokens in a text are special to it.
        model_max_length: longest sequence of the model it belongs to, in tokens, [CLS] and [SEP] included.
        segments: whether that model takes `token_type_ids`; ModernBERT does not.
    """

    def __init__(self, tokenizer: Tokenizer, *, model_max_length: int = 512, place: str = "tokenizer") -> None:
        check_bert(tokenizer, place)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.model_max_length = model_max_length
        self.segments = True

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> WordPiece:
        """Train a vocabulary; the same texts and config give the same tokenizer, on any machine.

        The vocabulary is smaller than `config.vocab_size` where the texts have no more pieces that are
        frequent enough: `vocab_size` tells.

        Raises:
            TokenizerError: the texts hold no word.
        """
        normalizer = bert_normalizer(lowercase=not config.cased, strip_accents=config.strip_accents)
        vocab = train_vocabulary(
            texts, normalizer=normalizer, vocab_size=config.vocab_size, min_frequency=config.min_frequency
        )
        return cls(build_tokenizer(vocab, normalizer))

    @classmethod
    def load(cls, folder: str | Path) -> WordPiece:
        """The tokenizer of a model folder: `tokenizer.json`, or else `vocab.txt`.

        What `tokenizer_config.json` says of case, accents and ideographs wins, as it does in `transformers`.

        Raises:
            TokenizerError: neither file is there, or it is no BERT tokenizer.
        """
        folder = Path(folder)
        config = read_config(folder / "tokenizer_config.json")
        path = folder / "tokenizer.json"
        if path.is_file():
            tokenizer = parse_tokenizer(path)
            check_bert(tokenizer, str(path))
            if str(config.get("tokenizer_class", "Bert")).startswith("Bert"):
                tokenizer.normalizer = configured(tokenizer.normalizer, config)
        elif (folder / "vocab.txt").is_file():
            path = folder / "vocab.txt"
            tokenizer = build_tokenizer(read_vocab(path), configured(BertNormalizer(), config))
        else:
            found = "holds neither tokenizer.json nor vocab.txt" if folder.is_dir() else "does not exist"
            raise TokenizerError(f"{folder}: this folder {found}. Name the folder of a model or a tokenizer.")
        longest = config.get("model_max_length") or 512
        # "No limit" is written as a number of thirty digits.
        loaded = cls(tokenizer, model_max_length=int(longest) if longest < 1e6 else 512, place=str(path))
        loaded.segments = "token_type_ids" in (config.get("model_input_names") or ["token_type_ids"])
        return loaded

    def save(self, folder: str | Path) -> None:
        """Write the files that `AutoTokenizer.from_pretrained(folder)` opens, each atomically."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL_TOKENS, strict=True))
        special = {f"{name}_token": token for name, token in names.items()}
        inputs = ["input_ids", *(["token_type_ids"] if self.segments else []), "attention_mask"]
        settings = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.lowercase,
            "strip_accents": self._normalizer.strip_accents,
            "tokenize_chinese_chars": self._normalizer.handle_chinese_chars,
            "model_max_length": self.model_max_length,
            "model_input_names": inputs,
            **special,
        }
        write_text(folder / "vocab.txt", "".join(f"{token}\n" for token in self.tokens))
        write_json(folder / "special_tokens_map.json", special)
        write_json(folder / "tokenizer_config.json", settings)
        write_text(folder / "tokenizer.json", self.tokenizer.to_str(pretty=True))

    def encode(self, text: str, pair: str | None = None, *, add_special_tokens: bool = True) -> Encoding:
        """One text, or a pair, whole: [CLS] text [SEP], or [CLS] text [SEP] pair [SEP]. Nothing is cut off.

        Special tokens that stand in the text, such as [MASK], are special.
        """
        made = self.tokenizer.encode(
            encodable(text),
            None if pair is None else encodable(pair),
            add_special_tokens=add_special_tokens,
        )
        return Encoding(made.ids, made.type_ids, made.offsets, made.word_ids, made.special_tokens_mask)

    @cached_property
    def reading_masks(self) -> WordPiece:
        """The same, but [MASK] in a text is one everywhere; of other special tokens nothing changes."""
        content = json.loads(self.tokenizer.to_str())
        others = [token for token in content["added_tokens"] if token["id"] != self.mask_id]
        # Not "special", since those are plain text where many sentences are encoded; and it takes no space beside it.
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        mask = {"id": self.mask_id, "content": self.tokens[self.mask_id], **flags}
        content["added_tokens"] = sorted([*others, mask], key=lambda token: int(token["id"]))
        made = WordPiece(Tokenizer.from_str(json.dumps(content)), model_max_length=self.model_max_length)
        made.segments = self.segments
        return made

    def __getstate__(self) -> dict[str, Any]:
        # The cache of the fast path is made anew in each process.
        return {key: value for key, value in self.__dict__.items() if key != "_encoder"}

    def encode_sentences(self, sentences: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Many sentences, fast: no special tokens are added, and those in the text are plain text.

        Args:
            sentences: S texts.

        Returns:
            ids: (sum of the lengths,) int32, all sentences in a row.
            lengths: (S,) int32, in tokens; 0 for a sentence of which the normaliser leaves nothing.
        """
        return self._encoder.encode(sentences)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """A text that has these tokens; white space and dropped accents do not come back."""
        return str(self.tokenizer.decode(list(map(int, ids)), skip_special_tokens=skip_special_tokens))

    def token_to_id(self, token: str) -> int | None:
        """Id of a token as it stands in the vocabulary; None where it does not."""
        return self.tokenizer.token_to_id(token)

    @cached_property
    def vocab_size(self) -> int:
        """V: one more than the largest id, added tokens included."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def tokens(self) -> list[str]:
        """The token of each id; an id without a token gives an empty text."""
        ids = self.tokenizer.get_vocab(with_added_tokens=True)
        tokens = [""] * self.vocab_size
        for token, index in ids.items():
            tokens[index] = token
        return tokens

    @cached_property
    def continuation(self) -> npt.NDArray[np.bool_]:
        """(V,) bool: True for pieces that continue a word ("##ing")."""
        return np.array([len(token) > 2 and token.startswith("##") for token in self.tokens], bool)

    @cached_property
    def special_ids(self) -> npt.NDArray[np.int64]:
        """Ids of the special tokens, in order."""
        added = self.tokenizer.get_added_tokens_decoder()
        ids = {index for index, token in added.items() if token.special}
        return np.array(sorted(ids | {self._id(token) for token in SPECIAL_TOKENS}), np.int64)

    @property
    def pad_id(self) -> int:
        """Id of [PAD]."""
        return self._id("[PAD]")

    @property
    def unk_id(self) -> int:
        """Id of [UNK]."""
        return self._id("[UNK]")

    @property
    def cls_id(self) -> int:
        """Id of [CLS]."""
        return self._id("[CLS]")

    @property
    def sep_id(self) -> int:
        """Id of [SEP]."""
        return self._id("[SEP]")

    @property
    def mask_id(self) -> int:
        """Id of [MASK]."""
        return self._id("[MASK]")

    @property
    def lowercase(self) -> bool:
        """True for an uncased tokenizer."""
        return bool(self._normalizer.lowercase)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the ids: `tokenizer.json` without truncation and padding, keys sorted."""
        content = json.loads(self.tokenizer.to_str())
        content = {key: value for key, value in content.items() if key not in ("truncation", "padding")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _id(self, token: str) -> int:
        index = self.tokenizer.token_to_id(token)
        assert index is not None, token  # _check has seen it
        return int(index)

    @property
    def _normalizer(self) -> Any:
        return self.tokenizer.normalizer

    @cached_property
    def _encoder(self) -> ChunkEncoder:
        return ChunkEncoder(self.tokenizer)
