"""BERT tokenizers from files: `tokenizer.json`, or `vocab.txt`; and what makes one a BERT tokenizer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece as WordPieceModel
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from bertsmith.errors import TokenizerError
from bertsmith.text.vocabulary import MAX_WORD_CHARS, SPECIAL_TOKENS


def bert_normalizer(*, lowercase: bool, strip_accents: bool | None, chinese: bool = True) -> BertNormalizer:
    """BERT\'s normaliser: cleans, sets ideographs apart, drops accents (if uncased, unless told), lower-cases."""
    return BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=strip_accents, lowercase=lowercase
    )


def configured(normalizer: BertNormalizer, config: dict[str, Any]) -> BertNormalizer:
    """The normaliser with what a `tokenizer_config.json` says of it."""
    lowercase, chinese = config.get("do_lower_case"), config.get("tokenize_chinese_chars")
    return BertNormalizer(
        clean_text=normalizer.clean_text,
        handle_chinese_chars=normalizer.handle_chinese_chars if chinese is None else bool(chinese),
        strip_accents=config.get("strip_accents", normalizer.strip_accents),
        lowercase=normalizer.lowercase if lowercase is None else bool(lowercase),
    )


def build_tokenizer(vocab: list[str], normalizer: BertNormalizer) -> Tokenizer:
    """A tokenizer that `transformers` would build from the same vocabulary."""
    ids = {token: index for index, token in enumerate(vocab)}
    tokenizer = Tokenizer(
        WordPieceModel(ids, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD_CHARS, continuing_subword_prefix="##")
    )
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder(prefix="##", cleanup=True)
    known = [token for token in SPECIAL_TOKENS if token in ids]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in known])
    if "[CLS]" in ids and "[SEP]" in ids:
        tokenizer.post_processor = TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
        )
    return tokenizer


def check_bert(tokenizer: Tokenizer, place: str) -> None:
    """Raise a TokenizerError that names `place` unless the tokenizer cuts as BERT does."""
    kinds = (tokenizer.model, tokenizer.normalizer, tokenizer.pre_tokenizer)
    wanted = (WordPieceModel, BertNormalizer, BertPreTokenizer)
    for part, kind in zip(kinds, wanted, strict=True):
        if not isinstance(part, kind):
            raise TokenizerError(
                f"{place}: no BERT tokenizer: found {type(part).__name__} where {kind.__name__} is needed. "
                "Name the folder of a BERT model, or train a tokenizer: bertsmith tokenizer train."
            )
    if tokenizer.model.continuing_subword_prefix != "##":
        raise TokenizerError(
            f'{place}: continuing pieces begin with "{tokenizer.model.continuing_subword_prefix}", '
            'in a BERT tokenizer with "##". Name the folder of a BERT model.'
        )
    missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if missing:
        raise TokenizerError(
            f"{place}: {', '.join(missing)} not in the vocabulary; BERT needs {', '.join(SPECIAL_TOKENS)}. "
            "Name the folder of a BERT model."
        )


def parse_tokenizer(path: Path) -> Tokenizer:
    """Read a `tokenizer.json`; TokenizerError where it is none."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"{path}: damaged, or no tokenizer ({error}). Copy the folder again.") from None


def read_config(path: Path) -> dict[str, Any]:
    """Read a `tokenizer_config.json`; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError(f"{path}: malformed JSON ({error}). Copy the folder again.") from None
    return config if isinstance(config, dict) else {}


def read_vocab(path: Path) -> list[str]:
    """Read a `vocab.txt`, a token a line; TokenizerError where a token stands twice."""
    try:
        tokens = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: byte {error.start} is no UTF-8. Copy the folder again.") from None
    tokens = [token.rstrip("\r") for token in tokens]
    twice = [token for token, count in Counter(tokens).items() if count > 1]
    if twice:
        lines = [number for number, token in enumerate(tokens, 1) if token == twice[0]]
        raise TokenizerError(
            f"{path}, lines {lines[0]} and {lines[1]}: {twice[0]!r} stands twice, "
            "so that ids would be ambiguous. Mend the file."
        )
    return tokens
