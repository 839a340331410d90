"""A model -> an ONNX graph with the inputs and outputs that classes of `transformers` have.

Letters: B rows of the batch, T tokens of a row, D hidden width, O outputs of the task, M masked places, V vocabulary.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from bertsmith.errors import ConfigError
from bertsmith.inference.onnx_reader import END, FOLLOWS, HIDDEN, LOGITS, MASKS, START
from bertsmith.model.bert import Bert

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OPSET = 20  # what ONNX Runtime has read since 1.17, of 2024: the first with GELU as one operator
NEEDED = "exporting to ONNX needs onnx, onnxscript and onnxruntime: pip install 'bertsmith[export]'"


class Graph(nn.Module):
    """What is exported.

    Args:
        bert: in evaluation mode.
        mask_id: the token whose places the masked LM head is asked of.
    """

    def __init__(self, bert: Bert, mask_id: int) -> None:
        super().__init__()
        self.bert, self.mask_id = bert, mask_id
        self.task = bert.head.task if bert.head else None

    @property
    def inputs(self) -> tuple[str, ...]:
        """ModernBERT has no segments."""
        return INPUTS if self.bert.config.architecture == "bert" else INPUTS[:2]

    @property
    def outputs(self) -> tuple[str, ...]:
        """In the order of `forward`."""
        of_task = () if self.task is None else (START, END) if self.task == "answer" else (LOGITS,)
        follows = (FOLLOWS,) if self.bert.next_sentence is not None else ()
        return (HIDDEN, *of_task, *((MASKS,) if self.bert.fills else ()), *follows)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> list[Tensor]:
        """Two or three (B, T) -> hidden states (B, T, D); logits of the task, (B, T, O) of those that speak of tokens,
        else (B, O), those of an answer's first and last token (B, T) each; masked LM's of every mask, (M, V); whether
        B follows A, (B, 2)."""
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        rows = {"token_type_ids": types, "position_ids": torch.arange(input_ids.shape[1]).expand_as(input_ids)}
        layers = self.bert.head.feature_layers if self.bert.head else 0
        if layers:
            states = self.bert.encoder.hidden_states(input_ids, **rows, sequence_ids=attention_mask)
            hidden, read = states[-1], torch.cat(states[-layers:], dim=-1)
        else:
            hidden = read = self.bert(input_ids, **rows, sequence_ids=attention_mask)
        made = [hidden, *self._of_task(read, attention_mask, every_place=layers > 0)]
        if self.bert.fills:
            made.append(self.bert.masked_lm_logits(hidden[input_ids == self.mask_id]))
        if self.bert.next_sentence is not None:
            made.append(self.bert.next_sentence_logits(hidden[:, 0]))
        return made

    def _of_task(self, read: Tensor, attention_mask: Tensor, *, every_place: bool) -> list[Tensor]:
        if self.task is None:
            return []
        if self.task == "answer":
            return [*self.bert.task_logits(read).unbind(-1)]  # (B, T, 2) -> 2 x (B, T)
        if self.task == "tag":
            return [self.bert.task_logits(read)]
        if not every_place:
            return [self.bert.task_logits(read[:, 0])]  # [CLS]
        real = attention_mask[..., None].to(read.dtype)
        return [(self.bert.task_logits(read) * real).sum(1) / real.sum(1)]  # the mean over all tokens


def write_graph(bert: Bert, mask_id: int, path: Path) -> None:
    """Write a model as an ONNX graph of any batch and length.

    Raises:
        ConfigError: a package that it takes is not installed.
    """
    graph = Graph(bert.eval(), mask_id)
    longest = bert.config.max_position_embeddings
    ids = torch.full((2, min(longest, 7)), mask_id)  # any sizes but 0 and 1, which would be taken for constants
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=longest)}
    given = (ids, torch.ones_like(ids), torch.zeros_like(ids))[: len(graph.inputs)]
    with _quiet(), torch.no_grad():
        try:
            from onnx_ir.passes.common import ClearMetadataAndDocStringPass

            program = torch.onnx.export(
                graph,
                given,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=tuple(shape for _ in given),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except ImportError as error:
            raise ConfigError(f"{NEEDED} ({error})") from None
    assert program is not None
    # Where each product stands in our source, on this disk, is nobody's business, and larger than a small model.
    ClearMetadataAndDocStringPass()(program.model)
    program.save(path, external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of packages that it does without."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
