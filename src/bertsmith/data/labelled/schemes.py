"""Tags of spans in whatever scheme they were written -> strict BIO.

B-X begins a span of type X, I-X goes on with it, O is none. Others write I- alone (IO), B- only between spans that
touch (IOB1), or mark ends and single words too (BIOES, BILOU, BMEWO). Tags without prefixes, such as those of parts of
speech, stay as they are.

Reference:
    Ramshaw and Marcus 1995 (IOB1); Tjong Kim Sang and Veenstra 1999 (BIO, IOE); Ratinov and Roth 2009 (BILOU).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Int64s = NDArray[np.int64]

NAMELESS = "ENTITY"  # the type of spans whose tags are B, I and O alone
_PREFIXED = re.compile(r"([BIESLUMW])[-_](.+)", re.DOTALL)
_OUTSIDE, _BEGIN, _INSIDE, _END, _SINGLE = range(5)
_ROLES = {"B": _BEGIN, "I": _INSIDE, "M": _INSIDE, "E": _END, "L": _END, "S": _SINGLE, "U": _SINGLE, "W": _SINGLE}
_UNREADABLE = -1  # the type of a tag that is none


@dataclass(frozen=True)
class BioTags:
    """The tags of some sentences.

    Attributes:
        sentences: their tags, as strict BIO unless they are plain.
        faults: of a sentence whose tags are none: its number -> (number of the word, what is wrong with its tag).
        note: what was done to the tags; "" for nothing.
    """

    sentences: list[tuple[str, ...]]
    faults: dict[int, tuple[int, str]] = field(default_factory=dict)
    note: str = ""


def span_type(tag: str) -> str | None:
    """X of B-X or I-X; None for another tag."""
    return tag[2:] if tag[:2] in ("B-", "I-") and len(tag) > 2 else None


def has_spans(labels: Sequence[str]) -> bool:
    """Whether tags mark spans."""
    return any(span_type(label) is not None for label in labels)


def strict_bio(sentences: Sequence[Sequence[str]], *, spans: bool | None = None) -> BioTags:
    """Tags of any scheme as strict BIO; which scheme it is, all sentences together tell.

    Args:
        sentences: a tag for each word.
        spans: whether tags mark spans; None to find out.
    """
    flat = list(chain.from_iterable(sentences))
    counts = Counter(flat)
    read = None if spans is False else _read_tags(counts, spans=bool(spans))
    if read is None:
        return BioTags([tuple(tags) for tags in sentences])
    numbers = {tag: number for number, tag in enumerate(read.roles)}
    codes = np.fromiter(map(numbers.__getitem__, flat), np.int64, len(flat))
    marks = _Marks(
        role=np.array(list(read.roles.values()), np.int64)[codes],
        kind=np.array(list(read.kinds.values()), np.int64)[codes],
        lengths=np.fromiter(map(len, sentences), np.int64, len(sentences)),
    )
    scheme = marks.scheme()
    changed = [read.note] if read.note else []
    if scheme != "BIO":
        changed.append(f"the tags are {scheme}; they were turned into BIO")
    faults = {}
    for word in np.flatnonzero(marks.faults(scheme))[::-1].tolist():  # backwards, so that each sentence keeps its first
        sentence = int(np.searchsorted(marks.starts, word, side="right")) - 1
        first = int(marks.starts[sentence])
        tags = sentences[sentence]
        faults[sentence] = (word - first, _explain(tags, word - first, scheme))
    names = ["O", *(f"{prefix}-{kind}" for kind in read.types for prefix in "BI")]
    tags = [names[code] for code in marks.bio().tolist()]
    ends = np.cumsum(marks.lengths).tolist()
    bio = [tuple(tags[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    return BioTags(bio, dict(sorted(faults.items())), "; ".join(changed))


@dataclass(frozen=True)
class _Read:
    """What each different tag says.

    Attributes:
        roles: tag -> which part of a span it marks.
        kinds: tag -> its type, from 1; 0 for O.
        types: the names of the types.
    """

    roles: Mapping[str, int]
    kinds: Mapping[str, int]
    types: tuple[str, ...]
    note: str = ""


def _read_tags(counts: Counter[str], *, spans: bool) -> _Read | None:
    """The meaning of each tag; None where the tags are plain."""
    inside = [tag for tag in counts if tag != "O"]
    total = sum(counts[tag] for tag in inside)
    prefixed = {tag: found for tag in inside if (found := _PREFIXED.fullmatch(tag))}
    if prefixed and 2 * sum(counts[tag] for tag in prefixed) > total:
        return _meanings(counts, {tag: (found[1], found[2]) for tag, found in prefixed.items()})
    if "O" in counts and inside and set(inside) <= set(_ROLES) and {"B", "I"} & set(inside):
        note = f'the tags name no type; their spans are called "{NAMELESS}"'
        return _meanings(counts, {tag: (tag, NAMELESS) for tag in inside}, note)
    if spans:
        note = "the tags have no B- and I-; neighbours with the same tag, other than O, were read as one span"
        return _meanings(counts, {tag: ("I", tag) for tag in inside}, note if inside else "")
    return None


def _meanings(counts: Counter[str], parts: Mapping[str, tuple[str, str]], note: str = "") -> _Read:
    types = tuple(sorted({kind for _, kind in parts.values()}))
    numbers = {kind: number for number, kind in enumerate(types, 1)}
    roles = {tag: _ROLES[parts[tag][0]] if tag in parts else _OUTSIDE for tag in counts}
    kinds = {tag: numbers[parts[tag][1]] if tag in parts else (0 if tag == "O" else _UNREADABLE) for tag in counts}
    return _Read(roles, kinds, types, note)


class _Marks:
    """All words in a row, N of them: which part of a span each marks, and of which type.

    Args:
        role: (N,) one of _OUTSIDE … _SINGLE.
        kind: (N,) from 1; 0 outside.
        lengths: (S,) words of each sentence.
    """

    def __init__(self, role: Int64s, kind: Int64s, lengths: Int64s) -> None:
        self.role, self.kind, self.lengths = role, kind, lengths
        self.starts = np.cumsum(lengths) - lengths  # (S,)
        begins = np.zeros(len(role) + 1, bool)
        begins[self.starts] = True
        self.ends_sentence = begins[1:].copy()
        if len(role):
            self.ends_sentence[-1] = True
        before = np.where(begins[:-1], 0, np.roll(kind, 1))
        self.role_before = np.where(begins[:-1], _OUTSIDE, np.roll(role, 1))
        self.same = (kind > 0) & (before == kind)

    def scheme(self) -> str:
        """The name of the scheme."""
        roles = set(np.unique(self.role).tolist())
        if roles & {_END, _SINGLE}:
            return "BIOES or BILOU" if roles & {_BEGIN, _SINGLE} else "IOE"
        if _BEGIN not in roles:
            return "IO" if _INSIDE in roles else "BIO"
        begins, opened = self.role == _BEGIN, (self.role == _INSIDE) & ~self.same
        return "IOB1" if not (begins & ~self.same).any() and opened.any() else "BIO"

    def faults(self, scheme: str) -> Bools:
        """(N,) the words whose tags cannot stand where they stand."""
        wrong: Bools = self.kind == _UNREADABLE
        if scheme == "BIO":
            wrong = wrong | ((self.role == _INSIDE) & ~self.same)
        elif scheme == "BIOES or BILOU":
            goes_on = (self.role == _INSIDE) | (self.role == _END)
            was_open = self.same & ((self.role_before == _BEGIN) | (self.role_before == _INSIDE))
            is_open = (self.role == _BEGIN) | (self.role == _INSIDE)
            closed_after = np.append((goes_on & was_open)[1:], False) & ~self.ends_sentence
            wrong = wrong | (goes_on & ~was_open) | (is_open & ~closed_after)
        return wrong

    def bio(self) -> Int64s:
        """(N,) 0 for O, 2k - 1 where a span of type k begins, 2k inside."""
        begins = (self.role == _BEGIN) | (self.role == _SINGLE)
        begins |= ~self.same | (self.role_before == _END) | (self.role_before == _SINGLE)
        return np.where(self.kind > 0, 2 * self.kind - begins, 0)


def _explain(tags: Sequence[str], word: int, scheme: str) -> str:
    tag = tags[word]
    found = _PREFIXED.fullmatch(tag)
    if not found and tag not in _ROLES:
        return f'tag "{tag}" is neither O nor one with B- or I-, as the others are'
    prefix, kind = (found[1], f"-{found[2]}") if found else (tag, "")
    before = f'follows "{tags[word - 1]}"' if word else "stands first"
    if scheme == "BIO":
        return f'tag "{tag}" {before}; a span begins with "B{kind}"'
    if _ROLES[prefix] in (_INSIDE, _END) and not (
        word and tags[word - 1][:1] in "BIM" and tags[word - 1][1:] == tag[1:]
    ):
        return f'tag "{tag}" {before}, where no span of its type is open'
    after = f'"{tags[word + 1]}" follows' if word + 1 < len(tags) else "the sentence ends"
    return f'tag "{tag}" opens a span that is not closed: {after}'
