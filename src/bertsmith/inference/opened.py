"""A model folder, opened: weights, with which torch computes, or an exported graph, for ONNX Runtime."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from bertsmith.config import HeadConfig, ModelConfig, PredictionPrecision
from bertsmith.errors import InputError, ModelFolderError, TokenizerError
from bertsmith.inference.onnx_reader import OnnxReader
from bertsmith.model.memory import keep_freed_memory
from bertsmith.tasks.reader import Reader
from bertsmith.text.wordpiece import WordPiece

if TYPE_CHECKING:  # a graph is opened, and answers, without torch
    from bertsmith.model.bert import Bert

KEPT_BYTES = 256 << 20  # of freed memory


class OpenedModel:
    """A BERT with its tokenizer.

    Args:
        model: the model, in float32; or an exported one, which computes as it was exported.
        tokenizer: its tokenizer.
        name: what messages call it.
        precision: of the products. "float32" gives the numbers of `transformers` to 1e-5; "bfloat16" is 1.6 to 3
            times as fast on processors made for it, vectors have a cosine of 0.999 and more to the exact ones;
            "int16" multiplies whole numbers with a scale for each 256, for BERT on other processors, with a cosine of
            0.99999; "float16" keeps the weights in that, for ModernBERT and where nothing was compiled; "auto" is
            bfloat16 where a measurement finds it clearly faster, int16 or float16 where the processor has AVX2 alone.

    Raises:
        TokenizerError: the tokenizer has more tokens than the model.
        InputError: an unknown precision, or one of an exported model.
        ConfigError: float16 or int16 where there is no product for it.
    """

    def __init__(
        self,
        model: Bert | OnnxReader,
        tokenizer: WordPiece,
        *,
        name: str = "the model",
        precision: PredictionPrecision = "float32",
    ) -> None:
        if tokenizer.vocab_size > model.config.vocab_size:
            raise TokenizerError(
                f"{name}: the tokenizer has {tokenizer.vocab_size} WordPieces and the model only "
                f"{model.config.vocab_size}. Put the tokenizer there that the model was trained with."
            )
        if precision not in get_args(PredictionPrecision):
            raise InputError(
                f'precision "{precision}" is not known; there are {", ".join(get_args(PredictionPrecision))}'
            )
        self.tokenizer, self.name = tokenizer, name
        self._model: Bert | OnnxReader
        if not isinstance(model, OnnxReader):
            self._model, self.precision = _in_place(model, precision)
        elif precision not in ("auto", "float32"):
            raise InputError(f"{name} computes as it was exported: leave {precision} out, or take the folder it is of")
        else:
            self._model, self.precision = model, "float32"

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, precision: PredictionPrecision = "float32") -> Self:
        """See `bertsmith.inference.predictor.load`."""
        path = Path(folder)
        model: Bert | OnnxReader
        if OnnxReader.reads(path):
            model = OnnxReader(path)
        else:
            from bertsmith.model.folder import read_model_folder

            model, _ = read_model_folder(path)
            keep_freed_memory(KEPT_BYTES)
        return cls(model, WordPiece.load(path), name=str(path), precision=precision)

    def __getstate__(self) -> dict[str, Any]:
        # Packed weights cannot be copied; each process packs its own.
        return {name: value for name, value in self.__dict__.items() if name != "reader"}

    @cached_property
    def reader(self) -> Reader:
        """What computes."""
        if isinstance(self._model, OnnxReader):
            return self._model
        import torch

        from bertsmith.inference.fast import fast_copy
        from bertsmith.tasks.torch_reader import TorchReader

        return TorchReader(fast_copy(self._model, getattr(torch, self.precision)))

    @property
    def exported(self) -> bool:
        """Whether it is a graph, which answers but has no weights to learn or to look into."""
        return isinstance(self._model, OnnxReader)

    @property
    def bert(self) -> Bert:
        """The model with its weights.

        Raises:
            ModelFolderError: it was exported.
        """
        if isinstance(self._model, OnnxReader):
            raise ModelFolderError(f"{self.name}: {self._model.only_answers}")
        return self._model

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""
        return self._model.config

    @property
    def head(self) -> HeadConfig | None:
        """What the model was fine-tuned for; None if it was not."""
        return self._model.head

    @property
    def fills(self) -> bool:
        """Whether the model fills masks."""
        return self._model.fills

    @property
    def max_length_tokens(self) -> int:
        """Tokens that the model reads at once, [CLS] and [SEP] included."""
        return self.config.max_position_embeddings


def _in_place(bert: Bert, precision: PredictionPrecision) -> tuple[Bert, str]:
    """A model in evaluation mode on its device, and the format of its products there."""
    from bertsmith.model.device import choose_device
    from bertsmith.model.precision import choose_prediction_precision

    placed = bert.eval().to(choose_device())
    return placed, choose_prediction_precision(precision, placed)
