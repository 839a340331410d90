"""What a model may be laid beside: the others that are served, and the steps that runs among them keep."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from bertsmith.errors import BertsmithError, InputError
from bertsmith.explain.predictor import Predictor
from bertsmith.server.explain_schemas import MOST_COMPARED
from bertsmith.server.models import Models
from bertsmith.server.refusals import BadRequestError, NotFoundError
from bertsmith.server.runs import Runs

if TYPE_CHECKING:  # exported models are served without torch
    from bertsmith.explain.drift import WeightDrift
    from bertsmith.explain.explanation import Explanation
    from bertsmith.model.bert import Bert

MOST_OPEN = MOST_COMPARED  # steps of runs in memory, each as large as its model


class Others:
    """Models by the names that `compare` takes: NAME, or NAME/step-N of a run.

    Args:
        models: by name.
        runs: those of them that are run folders.
    """

    def __init__(self, models: Models, runs: Runs) -> None:
        self._models, self._runs = models, runs
        self._lock = Lock()  # several threads explain
        self._steps: OrderedDict[tuple[str, int], Predictor] = OrderedDict()
        # Of models that are still in use; weights do not change while they are served.
        self._drifts: WeakKeyDictionary[Bert, WeakKeyDictionary[Bert, tuple[WeightDrift, ...]]] = WeakKeyDictionary()

    def names(self, name: str) -> list[str]:
        """What a model can be laid beside: models of its shape and vocabulary, and the steps of those that are runs."""
        model = self._models[name]
        alike = [each for each, other in list(self._models.items()) if _why_not(model, other) is None]
        return [*(each for each in alike if each != name), *(step for run in alike for step in self._runs.steps(run))]

    def open(self, model: Predictor, name: str, *, field: str) -> Predictor:
        """The other of a name.

        Args:
            model: that it is to be laid beside.
            name: from a client.
            field: that it stood in.

        Raises:
            NotFoundError: there is none of that name.
            BadRequestError: it cannot be laid beside the model, or cannot be read.
        """
        other = self._models.get(name) or self._open_step(name, field)
        if other is None:
            raise NotFoundError(
                f"no model or step of that name; /v1/models lists what {model.name} compares with", field=field
            )
        why_not = "that is the model itself" if other is model else _why_not(model, other)
        if why_not is not None:
            raise BadRequestError(why_not, field=field)
        return other

    def lay_beside(self, explanation: Explanation, model: Predictor, others: Sequence[Predictor]) -> Explanation:
        """An explanation by a model, with others beside it."""
        from bertsmith.explain.comparing import compare

        found = [compare(explanation, model, other, weights=self._drift(model, other)) for other in others]
        return dataclasses.replace(explanation, beside=tuple(found))

    def _open_step(self, name: str, field: str) -> Predictor | None:
        """A step of a run; those that were asked for last are kept in memory."""
        path = self._runs.steps(name.rpartition("/")[0]).get(name)
        if path is None:
            return None
        key = (name, _written(path))
        with self._lock:
            if key not in self._steps:
                self._steps[key] = _read_step(path, name, field)
            self._steps.move_to_end(key)
            while len(self._steps) > MOST_OPEN:
                self._steps.popitem(last=False)
            return self._steps[key]

    def _drift(self, model: Predictor, other: Predictor) -> tuple[WeightDrift, ...]:
        """How far the weights of two went; computed once, since no sentence changes it."""
        from bertsmith.explain.drift import weight_drift

        with self._lock:
            known = self._drifts.setdefault(model.bert, WeakKeyDictionary())
            if other.bert not in known:
                known[other.bert] = weight_drift(model.bert, other.bert)
            return known[other.bert]


def _why_not(model: Predictor, other: Predictor) -> str | None:
    """Why two cannot be compared; None if they can."""
    for each in (model, other):
        if each.exported:
            return f"{each.name} was exported: it answers, and has no weights or steps to look into"
    from bertsmith.explain.comparing import check_alike

    try:
        check_alike(model, other)
    except InputError as error:
        return str(error)
    return None


def _read_step(path: Path, name: str, field: str) -> Predictor:
    from bertsmith.explain.opening import open_step

    try:
        step = open_step(path)
    except (BertsmithError, OSError) as error:  # a run that goes on removes its older ones; where they lay is not told
        raise BadRequestError(f"{name} cannot be read: it was removed just now, or is damaged", field=field) from error
    step.name = name
    return step


def _written(path: Path) -> int:
    """When a step was written; 0 of the start, which is not kept."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
