"""What a size needs, computed from its shape: parameters, FLOPs a token, and about how much memory.

The memory was fitted to the peaks that `bertsmith bench train` measured (tiny to base, 32 x 128, torch 2.13 on a
processor); it is right to about 30%.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertsmith.benchmarks.flops import Counts, step_flops
from bertsmith.benchmarks.step_side import Settings
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.training.pretraining_run import new_model

PROCESS_BYTES = 350e6  # Python and torch
PARAMETER_BYTES = 18  # float32 weight, gradient and two moments, and a copy in bfloat16
ACTIVATION_BYTES = 50  # a place, layer and unit of the hidden width; under bfloat16
LOGIT_BYTES = 25  # a masked place and WordPiece
FLOAT32_MORE = 1.6  # activations and logits in float32
# The peer as it comes and at its best: a unit of activations, and a logit of which it keeps those of all places.
PEER_BYTES = ((110, 14), (60, 8))


@dataclass(frozen=True)
class Needs:
    """What a size needs.

    Attributes:
        parameters: of the model with its heads.
        flops_per_token: useful ones; see `flops`.
        memory_bytes: at the peak of training.
        peer_memory_bytes: of the peer as it comes and at its best together.
    """

    parameters: int
    flops_per_token: float
    memory_bytes: float
    peer_memory_bytes: float


def needs_of(settings: Settings, counts: Counts) -> Needs:
    """What the size of `settings.config` needs.

    Args:
        settings: the run.
        counts: what there is to compute in a step.
    """
    config = settings.config
    task = Pretraining(config.objective)
    model = new_model(config, task, vocab_size=settings.vocab_size, pad_token_id=0, values=False)
    parameters = sum(weight.numel() for weight in model.parameters())
    places = config.batch_size * counts.row_length
    units = places * model.config.num_hidden_layers * model.config.hidden_size
    more = FLOAT32_MORE if config.precision == "float32" else 1.0
    varying = more * (ACTIVATION_BYTES * units + LOGIT_BYTES * counts.masked * settings.vocab_size)
    always = PROCESS_BYTES + PARAMETER_BYTES * parameters
    peers = sum(always + unit * units + logit * places * settings.vocab_size for unit, logit in PEER_BYTES)
    return Needs(parameters, step_flops(model, counts) / counts.tokens, always + varying, peers)
