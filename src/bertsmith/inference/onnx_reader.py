"""What `bertsmith export --to onnx` made, as prediction asks it: ONNX Runtime computes, and torch is not there.

Letters: W windows, T tokens of the longest, O outputs of the task, M masked places, V vocabulary, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.windows import Window
from bertsmith.errors import ConfigError, ModelFolderError
from bertsmith.model.config_json import CONFIG, GRAPH, config_from_hf, head_from_hf, only_answers, read_json
from bertsmith.tasks.reader import Float32s, Pooling, Reader, lengths_of

HIDDEN, LOGITS, START, END, MASKS = "last_hidden_state", "logits", "start_logits", "end_logits", "mask_logits"
FOLLOWS = "next_sentence_logits"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
_NEEDED = "ONNX Runtime computes this folder, and is not installed: pip install 'bertsmith[export]'"


class OnnxReader(Reader):
    """See the module.

    Args:
        folder: holds `config.json` and `model.onnx`.

    Raises:
        ConfigError: ONNX Runtime is not installed.
        ModelFolderError: a file is missing, damaged, or no export of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            values = read_json(folder / CONFIG)
            self.config = config_from_hf(values)
            self._shapes = {output.name: output.shape for output in self._session.get_outputs()}
            if HIDDEN not in self._shapes:
                raise ModelFolderError(f"{GRAPH} has no output {HIDDEN}: it is no export of bertsmith's")
            width = 2 if START in self._shapes else self._shapes.get(LOGITS, [None])[-1]
            self.head = None if width is None else head_from_hf(values, width)
        except ModelFolderError as error:
            raise ModelFolderError(f"{folder}: {error}") from None
        self.fills = MASKS in self._shapes
        self.only_answers = only_answers(values)

    @staticmethod
    def reads(folder: Path) -> bool:
        """Whether a folder has a graph, and no weights beside it."""
        return (folder / GRAPH).is_file() and not any((folder / name).is_file() for name in _WEIGHTS)

    def __getstate__(self) -> dict[str, Any]:
        # A session cannot be copied; each process opens its own.
        return {name: value for name, value in self.__dict__.items() if name not in ("_session", "_options")}

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(f"{self.folder}: {_NEEDED}") from None
        try:
            return onnxruntime.InferenceSession(self.folder / GRAPH, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own errors have no class of their own
            said = str(error).strip().splitlines()[0][:200]
            raise ModelFolderError(f"{GRAPH} is damaged, or no graph ({said}). Export it again.") from None

    @cached_property
    def _options(self) -> Any:
        """Nothing is computed that is not asked for, such as the vocabulary's product for a vector."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        return options

    def _run(self, windows: Sequence[Window], *outputs: str) -> list[Float32s]:
        """Outputs for windows, a row each, padded to the longest."""
        shape = len(windows), max(lengths_of(windows))
        filled = {name: np.zeros(shape, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
        for row, window in enumerate(windows):
            these = row, slice(len(window.input_ids))
            filled["input_ids"][these] = window.input_ids
            filled["attention_mask"][these] = 1
            filled["token_type_ids"][these] = window.token_type_ids
        wanted = [given.name for given in self._session.get_inputs()]
        made: list[Float32s] = self._session.run(outputs, {name: filled[name] for name in wanted}, self._options)
        return made

    def task_logits(self, windows: Sequence[Window]) -> list[Float32s]:
        names = (START, END) if START in self._shapes else (LOGITS,)
        made = self._run(windows, *names)
        logits = made[0] if len(made) == 1 else np.stack(made, axis=-1)  # 2 x (W, T) -> (W, T, 2)
        if logits.ndim == 2:  # (W, O)
            return list(logits[:, None])
        return [row[window.places] for row, window in zip(logits, windows, strict=True)]

    def mask_logits(self, windows: Sequence[Window]) -> Float32s:
        (logits,) = self._run(windows, MASKS)  # of all masks; a window around one mask may show its neighbours too
        return logits[self._asked(windows)]

    def _asked(self, windows: Sequence[Window]) -> NDArray[np.bool_]:
        """(M,) which of the windows' masks are asked for."""
        asked = []
        for window in windows:
            here = np.flatnonzero(window.input_ids == window.input_ids[window.places[0]]) if len(window.places) else ()
            asked.append(np.isin(here, window.places))
        return np.concatenate(asked)

    def next_sentence_logits(self, windows: Sequence[Window]) -> Float32s:
        return self._run(windows, FOLLOWS)[0] if FOLLOWS in self._shapes else np.empty((len(windows), 0), np.float32)

    def vectors(self, windows: Sequence[Window], pooling: Pooling) -> Float32s:
        (hidden,) = self._run(windows, HIDDEN)  # (W, T, D)
        if pooling == "cls":
            return hidden[:, 0]
        return np.stack([row[:length].mean(axis=0) for row, length in zip(hidden, lengths_of(windows), strict=True)])
