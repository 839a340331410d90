"""BERT's encoder for prediction, all layers in one call of `native/encoder.c`, where that was compiled.

Half of a short text's time went into calls, and into cores that wait for one another between them; a fifth of many
texts' into passes over memory. Here is one call, and what follows a product is done while its values are at hand.

Letters: B rows of the batch, T tokens of a row, N tokens of all sequences, P wanted places, D hidden width, I inputs,
O outputs.
"""

from __future__ import annotations

import ctypes
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.config import ModelConfig
from bertsmith.model.activations import NUMBERS
from bertsmith.model.bert import Bert
from bertsmith.model.encoder import BertEncoder, Layer
from bertsmith.model.flat_tokens import FlatTokens, flat_tokens
from bertsmith.model.native import encoder as native
from bertsmith.model.native.files import float32_room
from bertsmith.model.packed import avx2_alone


def native_is_faster(dtype: torch.dtype) -> bool:
    """Whether `NativeEncoder` is the one for all texts: in float32 with AVX2 alone; in int16, which it alone has."""
    alone = dtype == torch.float32 and avx2_alone() and native.library() is not None
    return alone or dtype == torch.int16


def can_be_native(bert: Bert) -> bool:
    """Whether `NativeEncoder` can compute a model's encoder: BERT's on a processor, where it was compiled."""
    return isinstance(bert.encoder, BertEncoder) and bert.device.type == "cpu" and native.library() is not None


def native_is_faster_for_short_texts() -> bool:
    """Whether it is for short ones: with AVX512, where torch's library has a product of its own for many tokens."""
    return not avx2_alone() and native.library() is not None


class NativeEncoder(nn.Module):
    """`BertEncoder` for prediction; the same words in and out.

    Args:
        encoder: in float32; its products' weights are copied, embeddings and LayerNorms are shared.
        config: its shape.
        dtype: of what is multiplied: float32, or int16, whole numbers with a scale for each 256 inputs of a row and of
            an output, which costs four digits. Hidden states are in float32.
    """

    def __init__(self, encoder: BertEncoder, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.embeddings = config, encoder.embeddings
        made_for = native.library()
        assert made_for is not None
        self.panel = made_for.panel
        self.kept: list[Tensor] = []  # what C reads
        self.layers = (native.Layer * config.num_hidden_layers)()
        for made, layer in zip(self.layers, encoder.layers, strict=True):
            self._fill(made, cast(Layer, layer), dtype)
        parts = (encoder.embeddings.word, encoder.embeddings.token_type, encoder.embeddings.position)
        self.tables = native.Embeddings(
            native.Pointers(*(self._keep(part.weight) for part in parts)),
            native.Counts(*(len(part.weight) for part in parts)),
            self._keep(encoder.embeddings.norm.weight),
            self._keep(encoder.embeddings.norm.bias),
        )

    def forward(
        self,
        input_ids: Tensor,
        *,
        token_type_ids: Tensor,
        position_ids: Tensor,
        sequence_ids: Tensor | None,
        places: Tensor | None = None,
    ) -> Tensor:
        """As `BertEncoder.forward`; each sequence's tokens lie side by side. At padding is zero."""
        longest = self.config.max_position_embeddings
        tokens = flat_tokens(input_ids, token_type_ids, position_ids, sequence_ids, longest=longest)
        if places is None:
            return tokens.rows(self._run(tokens))
        return self._run(tokens, at=tokens.among(places))

    def hidden_states(
        self, input_ids: Tensor, *, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None
    ) -> list[Tensor]:
        """As `BertEncoder.hidden_states`."""
        longest = self.config.max_position_embeddings
        tokens = flat_tokens(input_ids, token_type_ids, position_ids, sequence_ids, longest=longest)
        states = [self._run(tokens, layers=slice(0))]
        for index in range(len(self.layers)):
            states.append(self._run(tokens, states[-1].clone(), layers=slice(index, index + 1)))
        return [tokens.rows(each) for each in states]

    def _run(
        self,
        tokens: FlatTokens,
        hidden: Tensor | None = None,
        *,
        layers: slice = slice(None),
        at: Tensor | None = None,
    ) -> Tensor:
        """The embeddings, or hidden states, through some layers -> (N, D); or for the tokens `at`, (P,), alone: (P, D).

        `hidden`, (N, D), is written over.
        """
        starts = np.zeros(len(tokens.lengths) + 1, np.int32)
        np.cumsum(np.array(tokens.lengths, np.int32), out=starts[1:])
        batch = native.Batch(starts=starts.ctypes.data, sequences=len(tokens.lengths))
        ids = [each.to("cpu", torch.int64).contiguous() for each in tokens.ids]
        assert all(len(each) == starts[-1] for each in ids)
        if hidden is None:
            batch.ids = native.Pointers(*(each.data_ptr() for each in ids))
            hidden = float32_room(len(ids[0]), self.config.hidden_size)
        batch.hidden = hidden.data_ptr()
        if at is None:
            native.run(self._encoder(layers), batch)
            return hidden
        places = at.numpy()
        order = None if (places[1:] >= places[:-1]).all() else np.argsort(places)
        places = places if order is None else places[order]
        if len(places) and not 0 <= places[0] <= places[-1] < len(hidden):
            raise IndexError(f"places that are no tokens: there are {len(hidden)}")
        asking = places.astype(np.int32)
        asking_starts = np.searchsorted(asking, starts).astype(np.int32)
        asked = float32_room(len(asking), hidden.shape[1])
        batch.asking, batch.asking_starts = asking.ctypes.data, asking_starts.ctypes.data
        batch.asked = asked.data_ptr()
        native.run(self._encoder(layers), batch)
        return asked if order is None else torch.empty_like(asked).index_copy_(0, torch.from_numpy(order), asked)

    def _encoder(self, layers: slice) -> native.Encoder:
        """Some layers, as C reads them."""
        first, end, _ = layers.indices(len(self.layers))
        return native.Encoder(
            embeddings=self.tables,
            layer=ctypes.pointer(self.layers[first]),
            layers=end - first,
            width=self.config.hidden_size,
            heads=self.config.num_attention_heads,
            inner=self.config.intermediate_size,
            activation=NUMBERS[self.config.hidden_act],
            eps=self.config.layer_norm_eps,
        )

    def _fill(self, made: native.Layer, layer: Layer, dtype: torch.dtype) -> None:
        """A layer, as C reads it."""
        (weight, bias), width = (layer.attention.qkv.weight, layer.attention.qkv.bias), self.config.hidden_size
        made.query = self._product(weight[:width], bias[:width], dtype)
        made.key_value = self._product(weight[width:], bias[width:], dtype)
        for name, part in (("output", layer.attention.output), ("widen", layer.widen), ("narrow", layer.narrow)):
            setattr(made, name, self._product(part.weight, part.bias, dtype))
        for index, norm in enumerate((layer.attention_norm, layer.feed_forward_norm)):
            made.norm_weight[index], made.norm_bias[index] = self._keep(norm.weight), self._keep(norm.bias)

    def _product(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> native.Product:
        """A linear layer, (O, I) and (O,), as C reads it: in panels, the last of which is filled up with zeros."""
        (outputs, inputs), panel = weight.shape, self.panel
        weight = F.pad(weight.detach().float(), (0, 0, 0, -outputs % panel)).view(-1, panel, inputs)
        kept_bias = self._keep(F.pad(bias.detach(), (0, -outputs % panel)))
        if dtype == torch.float32:
            return native.Product(self._keep(weight.transpose(1, 2)), None, kept_bias, inputs, outputs)
        groups = F.pad(weight, (0, -inputs % native.GROUP)).view(len(weight), panel, -1, native.GROUP)
        scales = groups.abs().amax(3, keepdim=True) / native.LARGEST
        whole = (groups / scales.clamp(min=1e-35)).round().nan_to_num(0).flatten(2)[..., : inputs + inputs % 2]
        pairs = whole.reshape(len(weight), panel, -1, 2).transpose(1, 2)  # (O / panel, I / 2, panel, 2)
        kept_scales = self._keep(scales.squeeze(3).transpose(1, 2))
        return native.Product(self._keep(pairs, torch.int16), kept_scales, kept_bias, inputs, outputs)

    def _keep(self, values: Tensor, dtype: torch.dtype = torch.float32) -> int:
        """Where these lie, as long as the encoder lives."""
        self.kept.append(values.detach().to("cpu", dtype).contiguous())
        return self.kept[-1].data_ptr()
