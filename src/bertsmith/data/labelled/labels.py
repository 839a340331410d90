"""Labels as they are written in data, and which there may be."""

from __future__ import annotations

import difflib
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from bertsmith.errors import ConfigError, CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.columns import kind_of_value

_LISTED = 12  # labels that a message lists; of more it names the nearest
_MANY = 50  # labels; below that, few examples may well have one each
_LIKE_NOTHING = ("nan", "none", "null", "<na>")  # as programs write what is missing


class LabelFault(ValueError):
    """What is wrong with a label; the message says it, without a place."""


class UnknownLabel(LabelFault):
    """A label that is not one of those that there are."""


def named_labels(config: LabelledConfig) -> tuple[str, ...] | None:
    """The labels that the user names, in order; None where the data tells them.

    Raises:
        ConfigError: the file is not there or cannot be read, a label comes twice, or there is only one.
    """
    given = config.labels
    if given is None:
        return None
    path = Path(os.path.expanduser(given))
    try:
        is_file = path.is_file()
    except OSError:  # a list that is too long for a name
        is_file = False
    if is_file:
        try:
            written = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--labels {given}: the file cannot be read ({error})") from None
    else:
        written = given.split(",")
    labels = tuple(label.strip() for label in written if label.strip())
    if len(labels) < 2:
        what = "the file holds" if is_file else "there is no such file, and by itself it is"
        raise ConfigError(f'--labels "{given}": {what} {len(labels)} label(s). Give a,b,c, or a file with one a line.')
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise ConfigError(f'--labels "{given}": {", ".join(sorted(twice))} is there more than once')
    return labels


def label_of(value: Any) -> str | None:
    """A label as a string: 0 and 0.0 -> "0", True -> "true"; None where there is none.

    Raises:
        LabelFault: it is no text and no number, or a list of several.
    """
    if isinstance(value, str):
        return value.strip() or None
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # numpy's numbers
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):  # pandas makes floats of whole numbers where one is missing
        return None if value != value else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list | tuple):
        if len(value) == 1:
            return label_of(value[0])
        raise LabelFault(f"{len(value)} labels; with --multi-label any number of them may hold")
    if value is None:
        return None
    raise LabelFault(f"a label must be a text or a number, found {kind_of_value(value)}")


def labels_of(value: Any, separator: str) -> tuple[str, ...]:
    """Any number of labels, each once: a list, a JSON list in a string, or a string with separators.

    An empty list or string says that none holds; what is missing says nothing, and is no label.

    Raises:
        LabelFault: it is missing, or something in it is, or is no text and no number.
    """
    if isinstance(value, str):
        value = _listed(value.strip()) if value.strip()[:1] == "[" else value.split(separator)
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    items = value if isinstance(value, list | tuple) else [value]
    labels = [label_of(item) for item in items]
    if any(label is None and not isinstance(item, str) for label, item in zip(labels, items, strict=True)):
        missing = "one of the labels is missing" if isinstance(value, list | tuple) else "no label"
        raise LabelFault(f"{missing}; where none of them holds, there is an empty list or an empty text")
    return tuple(dict.fromkeys(label for label in labels if label is not None))


def _listed(text: str) -> list[Any]:
    """The items of a list as JSON, or as Python, writes it."""
    try:
        value = json.loads(text)
    except ValueError:
        return [item.strip().strip("'\"") for item in text.removeprefix("[").removesuffix("]").split(",")]
    return value if isinstance(value, list) else [value]


def are_indices(labels: Iterable[str], names: Collection[str]) -> bool:
    """Whether all labels are whole numbers and none of them is a name: then they are places of names, from 0."""
    there = set(labels)
    return bool(there) and all(label.isdecimal() for label in there) and there.isdisjoint(names)


def doubts(labels: Sequence[tuple[str, ...]], separator: str) -> list[str]:
    """What looks like a mistake in the labels of examples, each of which is read as it is written."""
    counts = Counter(chain.from_iterable(labels))
    notes = []
    alike: dict[str, list[str]] = {}
    for label in sorted(counts):
        alike.setdefault(label.casefold(), []).append(label)
    if same := [", ".join(f'"{label}"' for label in each) for each in alike.values() if len(each) > 1]:
        notes.append(f"labels that differ in capitals only are taken for different ones: {'; '.join(same[:_LISTED])}")
    notes += [
        f'the label "{label}" of {count:,} example(s) is a label as any other'
        for label, count in counts.items()
        if label.casefold() in _LIKE_NOTHING
    ]
    if len(counts) > _MANY and 2 * len(counts) > len(labels):
        notes.append(f"there are {len(counts):,} labels to {len(labels):,} examples; is --label-column the right one?")
    several = (label for label in counts if separator in label)
    if joined := [label for label in several if counts.keys() >= {part.strip() for part in label.split(separator)}]:
        notes.append(f'a label such as "{joined[0]}" is taken for one; with --multi-label it is several')
    return notes


class Labels:
    """From the cells of labels to labels that are allowed.

    Where names are given and none of them is a number, a whole number in the data is the place of a name, from 0.

    Args:
        config: whether several may hold, and what stands between them; which names there are.
        allowed: the labels that there are; None for those of `config`, or any.

    Raises:
        ConfigError: `config.labels` is no list of labels.
    """

    def __init__(self, config: LabelledConfig, allowed: Sequence[str] | None) -> None:
        self._multi, self._separator = config.multi_label, config.label_separator
        self._names = named_labels(config)
        self.allowed = self._names if allowed is None else tuple(allowed)
        self._counted = bool(self._names) and not any(name.isdecimal() for name in self._names or ())
        self._read: dict[str, tuple[str, ...]] = {}  # of each cell that is a string
        self._place: str | None = None  # a label that was the place of a name
        self._name: str | None = None  # one that was a name, where places may be

    def of(self, cell: Any) -> tuple[str, ...]:
        """The labels of a cell: one, or with several that may hold any number.

        Raises:
            LabelFault: there is none, or too many, or one that is not allowed.
        """
        if isinstance(cell, str):
            if (read := self._read.get(cell)) is None:
                read = self._read[cell] = self._labels(cell)
            return read
        return self._labels(cell)

    def check(self, labels: tuple[str, ...] | None) -> None:
        """Whether an example that came with labels can be learned.

        Raises:
            LabelFault: as `of`.
        """
        if labels is None or (not labels and not self._multi):
            raise LabelFault("no label")
        if len(labels) > 1 and not self._multi:
            raise LabelFault(f"{len(labels)} labels; with --multi-label any number of them may hold")
        for label in labels:
            if self.allowed is not None and label not in self.allowed:
                raise UnknownLabel(_unknown(label, self.allowed))

    def notes(self) -> list[str]:
        """What the user should know, after all labels.

        Raises:
            CorpusError: some were names and others places of names; one of the two is a mistake.
        """
        if self._place is None:
            return []
        if self._name is not None:
            raise CorpusError(
                f'some labels are numbers, such as {self._place}, and some are names, such as "{self._name}". '
                "Write all as names, or all as their places in --labels, counted from 0."
            )
        return [f"the labels are numbers: they are read as places in --labels, where 0 is {(self._names or ('',))[0]}"]

    def _labels(self, cell: Any) -> tuple[str, ...]:
        if self._multi:
            return tuple(map(self._checked, labels_of(cell, self._separator)))
        if (label := label_of(cell)) is None:
            raise LabelFault("no label")
        return (self._checked(label),)

    def _checked(self, label: str) -> str:
        if self.allowed is None:
            return label
        if self._counted and label.isdecimal():
            label = self._name_at(label)
        elif self._counted:
            self._name = self._name or label
        if label in self.allowed:
            return label
        whole = label.removesuffix(".0")  # as pandas writes whole numbers where one was missing
        if whole in self.allowed and whole.removeprefix("-").isdecimal():
            return whole
        raise UnknownLabel(_unknown(label, self.allowed))

    def _name_at(self, place: str) -> str:
        names = self._names or ()
        if int(place) >= len(names):
            raise UnknownLabel(f"label {place}: --labels has {len(names)} names, which are counted from 0")
        self._place = self._place or place
        return names[int(place)]


def _unknown(label: str, labels: Sequence[str]) -> str:
    if len(labels) <= _LISTED:
        return f'label "{label}" is not one of {", ".join(labels)}'
    near = difflib.get_close_matches(label, labels, n=1, cutoff=0.5)
    hint = f'the nearest is "{near[0]}"' if near else f"such as {', '.join(labels[:3])}"
    return f'label "{label}" is not one of the {len(labels)} labels, {hint}'
