"""What a size needs, computed from its shape: parameters, FLOPs a token, and about how much memory.

The memory was fitted to the peaks that `bertsmith bench train` measured (tiny to base, 32 x 128; mini, 64 x 128 and
16 x 512; torch 2.13 on a processor); it is right to about 30%.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from bertsmith.benchmarks.flops import Counts, step_flops
from bertsmith.benchmarks.step_side import Settings
from bertsmith.config import PretrainConfig
from bertsmith.model.bert import Bert
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.training.budget import Budget
from bertsmith.training.new_model import new_model
from bertsmith.training.optimizer import build_optimizer
from bertsmith.training.pretraining_run import recipe_of

PROCESS_BYTES = 500e6  # Python and torch, with oneDNN's scratch memory
FLOAT32_BYTES, COPY_BYTES = 4, 2  # a weight, a gradient, a moment; a weight's copy in bfloat16
MOMENTS_OF_ADAMW, MOMENTS_OF_MUON = 2, 1
ACTIVATION_BYTES = 38  # a place, layer and unit of the hidden width; under bfloat16
SCORE_BYTES = 6  # a place, layer, head and place that it looks at
LOGIT_BYTES = 25  # a masked place and WordPiece
FLOAT32_MORE = 1.6  # activations and logits in float32 and int16
# The peer as it comes and at its best: a unit of activations, and a logit of which it keeps those of all places.
PEER_BYTES = ((110, 14), (60, 8))
# Of the memory that there is; what the estimate may be wrong by.
SAFE_SHARE = 0.9
PEER_PARAMETER_BYTES = 18  # float32 weight, gradient and two moments, and a copy in bfloat16


@dataclass(frozen=True)
class Memory:
    """What a process holds at the peak of training, in bytes.

    Attributes:
        process: before there is a model.
        weights, gradients: in float32.
        optimizer: two moments of what AdamW steps, one momentum of what Muon does.
        copies: of the weights in bfloat16; 0 in float32 and int16.
        activations: of one micro-batch, its logits with them.
        buckets: gradients on their way to the other ranks; 0 where there is one rank.
    """

    process: float
    weights: float
    gradients: float
    optimizer: float
    copies: float
    activations: float
    buckets: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(astuple(self)))


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
    model = model_of(settings)
    parameters = parameters_of(model)
    places = config.batch_size * counts.row_length
    units = places * model.config.num_hidden_layers * model.config.hidden_size
    always = PROCESS_BYTES + PEER_PARAMETER_BYTES * parameters
    peers = sum(always + unit * units + logit * places * settings.vocab_size for unit, logit in PEER_BYTES)
    memory = memory_of(model, config, counts, rows=config.batch_size)
    return Needs(parameters, step_flops(model, counts) / counts.tokens, memory.total, peers)


def model_of(settings: Settings) -> Bert:
    """The model of a run, without values: it takes no memory."""
    task = Pretraining(settings.config.objective)
    return new_model(settings.config, task, vocab_size=settings.vocab_size, pad_token_id=0, values=False)


def parameters_of(model: Bert) -> int:
    """The numbers that are trained."""
    return sum(weight.numel() for weight in model.parameters())


def memory_of(model: Bert, config: PretrainConfig, counts: Counts, *, rows: int) -> Memory:
    """The memory of a process that trains a model alone.

    Args:
        model: its shape alone is read.
        config: optimizer and precision; with "auto" bfloat16 is expected.
        counts: of one micro-batch.
        rows: of the micro-batch.
    """
    parameters = parameters_of(model)
    shape, places = model.config, rows * counts.row_length
    place_layers = places * shape.num_hidden_layers
    kept = ACTIVATION_BYTES * shape.hidden_size + SCORE_BYTES * shape.num_attention_heads * counts.row_length
    float32 = config.precision in ("float32", "int16")
    return Memory(
        process=PROCESS_BYTES,
        weights=FLOAT32_BYTES * parameters,
        gradients=FLOAT32_BYTES * parameters,
        optimizer=FLOAT32_BYTES * _moments(model, config),
        copies=0 if float32 else COPY_BYTES * parameters,
        activations=(FLOAT32_MORE if float32 else 1.0)
        * (kept * place_layers + LOGIT_BYTES * counts.masked * shape.vocab_size),
    )


def _moments(model: Bert, config: PretrainConfig) -> int:
    """The numbers that the optimizer keeps."""
    recipe = recipe_of(config, Budget(1, "steps"), "float32")
    groups = build_optimizer(model, weight_decay=recipe.weight_decay, muon=recipe.muon).param_groups
    return sum(
        (MOMENTS_OF_MUON if "stacked" in group else MOMENTS_OF_ADAMW) * sum(each.numel() for each in group["params"])
        for group in groups
    )
