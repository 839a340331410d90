"""Frozen, strict configs. The help of an option stands once, at its field; command line and docs read it here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bertsmith.errors import ConfigError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Size = Literal["tiny", "mini", "small", "medium", "base", "large"]
Architecture = Literal["bert", "modernbert"]
Objective = Literal["mlm+nsp", "mlm"]
Precision = Literal["auto", "float32", "bfloat16", "int16"]
PredictionPrecision = Literal["auto", "float32", "bfloat16", "float16", "int16"]
RecipeName = Literal["fast", "classic"]
Optimizer = Literal["muon", "adamw"]
InitialWeights = Literal["counted", "random"]
Device = Literal["auto", "cpu", "cuda"]
TaskName = Literal["classify", "regress", "tag", "answer", "choose"]
OnBadInput = Literal["stop", "skip"]

ARCHITECTURES: Mapping[Architecture, str] = {"bert": "BERT", "modernbert": "ModernBERT"}
# (layers, hidden size); heads are 64 wide and the feed-forward is four times the hidden size, less in ModernBERT.
# Turc et al. 2019 (tiny to medium), Devlin et al. 2019 (base, large).
PRESETS: Mapping[Size, tuple[int, int]] = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
}
# What the recipes of pretraining decide where nothing else is said; "fast" is the defaults of `PretrainConfig`.
# "classic" is Devlin et al. 2019, appendix A.2: 256 rows, 10,000 of a million steps of warm-up.
RECIPES: Mapping[RecipeName, Mapping[str, Any]] = {
    "fast": {},
    "classic": {
        "optimizer": "adamw",
        "initial_weights": "random",
        "learning_rate": 1e-4,
        "warmup_share": 0.01,
        "batch_size": 256,
        "dropout": 0.1,
        "early_share": 0.0,
    },
}
# ModernBERT has masked LM alone; early rows were not measured with it.
MODERN_DEFAULTS: Mapping[str, Any] = {"objective": "mlm", "early_share": 0.0}


class Config(BaseModel):
    """A frozen set of options, checked once, where it enters.

    Raises:
        ConfigError: an unknown option (with the nearest known one), or a value that does not fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(error, type(self))) from None

    def but(self, **changes: Any) -> Self:
        """The same config with some options changed, checked again."""
        return type(self)(**{**self.model_dump(), **changes})


def _explain(error: ValidationError, config: type[Config]) -> str:
    """One line for each thing that is wrong with the values of a config."""
    lines = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"]) or config.__name__
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, config.model_fields, n=1)
            hint = f': did you mean "{near[0]}"?' if near else f"; known are {', '.join(config.model_fields)}"
            lines.append(f'unknown option "{name}"{hint}')
        elif fault["type"] == "value_error":
            lines.append(str(fault["ctx"]["error"]))
        else:
            lines.append(f'option "{name}": {fault["msg"]} (got {fault["input"]!r})')
    return "\n".join(lines)


class ModelConfig(Config):
    """The shape of a model, under the names of Hugging Face's `config.json` for BERT."""

    vocab_size: int = Field(gt=0, description="WordPieces in the vocabulary.")
    hidden_size: int = Field(768, gt=0, description="Width of a hidden state.")
    num_hidden_layers: int = Field(12, gt=0, description="Transformer layers.")
    num_attention_heads: int = Field(12, gt=0, description="Attention heads of a layer.")
    intermediate_size: int = Field(3072, gt=0, description="Width inside the feed-forward.")
    hidden_act: Literal["gelu", "gelu_new", "relu"] = Field("gelu", description="Activation.")
    hidden_dropout_prob: Share = Field(0.1, description="Dropout on embeddings and sub-layer outputs.")
    attention_probs_dropout_prob: Share = Field(0.1, description="Dropout on attention weights.")
    max_position_embeddings: int = Field(512, gt=0, description="Longest sequence, in tokens.")
    type_vocab_size: int = Field(2, gt=0, description="Segments: 2 for A and B.")
    initializer_range: float = Field(0.02, gt=0, description="Standard deviation of the initial weights.")
    layer_norm_eps: float = Field(1e-12, gt=0, description="Epsilon of LayerNorm.")
    pad_token_id: int | None = Field(0, ge=0, description="Id of [PAD].")
    architecture: Architecture = Field("bert", description="Which encoder; what follows is of modernbert only.")
    global_attn_every_n_layers: int = Field(3, gt=0, description="Each so many layers, from the first, see all places.")
    local_attention: int = Field(128, ge=2, description="The others see half as many places to either side.")
    global_rope_theta: float = Field(160_000.0, gt=0, description="Base of the rotary wavelengths, global layers.")
    local_rope_theta: float = Field(10_000.0, gt=0, description="Base of the rotary wavelengths, local layers.")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        width, heads = self.hidden_size, self.num_attention_heads
        if width % heads:
            raise ValueError(f"hidden_size {width} is not a multiple of num_attention_heads {heads}")
        if self.architecture == "modernbert" and width // heads % 2:
            raise ValueError(f"heads of {width // heads} values cannot be rotated: hidden_size over heads must be even")
        return self

    @model_validator(mode="after")
    def _pad_in_vocabulary(self) -> Self:
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id {self.pad_token_id} is not under vocab_size {self.vocab_size}")
        return self

    @classmethod
    def preset(cls, size: Size, **values: Any) -> ModelConfig:
        """The config of a named size; `values` (at least `vocab_size`) win over the preset's."""
        layers, width = PRESETS[size]
        shape: dict[str, Any] = {
            "num_hidden_layers": layers,
            "hidden_size": width,
            "num_attention_heads": width // 64,
            "intermediate_size": 4 * width,
        }
        if values.get("architecture") == "modernbert":
            gated = 64 * round(8 * width / 3 / 64)  # three matrices, together as large as BERT's two
            dropouts = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
            shape |= {"intermediate_size": gated, "layer_norm_eps": 1e-5, **dropouts}
        return cls(**{**shape, **values})


class CorpusConfig(Config):
    """How raw files become documents and sentences."""

    document_per: Literal["blank-line", "line", "file"] = Field(
        "blank-line", description="Where one document of a .txt file ends and the next begins."
    )
    text_column: str = Field("text", description="The column that holds the text (.jsonl, .csv, .tsv, .parquet).")
    language: str = Field(
        "en",
        description="Language code for splitting sentences, such as en, de, tr, zh.",
    )
    on_bad_input: OnBadInput = Field(
        "stop", description="Stop at the first broken input, or leave it out, count it and say where."
    )
    held_out_share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.01, description="Share of the documents kept out of training, chosen by a hash of their text."
    )
    workers: int | None = Field(
        None, gt=0, description="Processes that tokenize; 1 is this one alone, all cores if not given."
    )

    @model_validator(mode="after")
    def _language_is_a_code(self) -> Self:
        if not re.fullmatch(r"[a-z]{2,3}([-_][A-Za-z]+)*", self.language):
            raise ValueError(f'language "{self.language}" is no language code; codes are such as en, de, tr, zh')
        return self


class TokenizerConfig(Config):
    """How a WordPiece vocabulary is trained."""

    vocab_size: int = Field(16_384, gt=5, description="WordPieces in the vocabulary, special tokens included.")
    min_frequency: int = Field(2, gt=0, description="A WordPiece occurs at least so often in the text.")
    cased: bool = Field(False, description="Keep capitals and accents; BERT-uncased drops both.")
    strip_accents: bool | None = Field(None, description="Drop accents; if not given, when uncased.")


class HeadConfig(Config):
    """What a fine-tuned model answers, and how it reads texts; kept in `config.json`.

    Attributes:
        task: what it is for.
        labels: the label of each output, of "classify" and "tag".
        multi_label: any number of labels may hold at once ("classify").
        feature_layers: the head reads so many last layers of a frozen encoder, side by side; 0 for the last alone.
        max_length_tokens: longest window, [CLS] and [SEP] included; None for the model's own length.
        overlap_tokens: tokens that a window shares with the next one; None for what suits the task.
        no_answer_threshold: "answer": no answer is given where the best span is not better by this; None where
            every question has one.
        score_mean, score_scale: "regress": what the head's output is multiplied with and added to.
    """

    task: TaskName
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    feature_layers: int = Field(0, ge=0)
    max_length_tokens: int | None = Field(None, ge=8)
    overlap_tokens: int | None = Field(None, ge=0)
    no_answer_threshold: float | None = None
    score_mean: float = 0.0
    score_scale: float = Field(1.0, gt=0)

    @property
    def outputs(self) -> int:
        """O, the outputs of the head at each place that it reads."""
        return {"answer": 2, "regress": 1, "choose": 1}.get(self.task, len(self.labels))


class TrainingConfig(Config):
    """What all training has: a budget, an optimizer, precision, evaluations, checkpoints."""

    steps: int | None = Field(None, gt=0, description="Budget: optimizer steps.")
    epochs: float | None = Field(None, gt=0, description="Budget: passes over the data.")
    minutes: float | None = Field(None, gt=0, description="Budget: minutes on the clock; the schedule follows it.")
    batch_size: int = Field(32, gt=0, description="Examples in one optimizer step, over all ranks.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    warmup_share: Share = Field(0.05, description="Share of the budget in which the learning rate rises.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay, not on biases and LayerNorm.")
    clip_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this global norm.")
    seed: int = Field(0, ge=0, description="Seed of every draw: initial weights, order, dropout.")
    precision: Precision = Field(
        "auto",
        description="Of the products. auto is bfloat16 where that measures faster, else int16, whole numbers with "
        "scales, where a processor has AVX2 alone and they were compiled, else float32.",
    )
    evaluate_every_steps: int | None = Field(None, gt=0, description="Steps between evaluations.")
    checkpoint_every_steps: int | None = Field(
        None, gt=0, description="Steps between checkpoints; every two minutes if not given."
    )
    keep_checkpoints: int = Field(2, ge=2, description="Checkpoints kept; older ones are removed.")
    device: Device = Field("auto", description="auto is a CUDA device if there is one, else the processor.")
    shard: bool = Field(
        False,
        description="Divide weights, gradients and moments among the ranks, where one cannot hold them all.",
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [name for name in ("steps", "epochs", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both a budget: give one of them")
        return self


class PretrainConfig(TrainingConfig):
    """A pretraining run: objective, budget, optimizer, precision, checkpoints."""

    size: Size = Field(
        "mini",
        description="Model: tiny 2/128, mini 4/256, small 4/512, medium 8/512, base 12/768, large 24/1024.",
    )
    architecture: Architecture = Field(
        "bert", description="bert, or modernbert: rotary positions, gated feed-forward; no next-sentence prediction."
    )
    recipe: RecipeName = Field(
        "fast",
        description="fast: what learned most in a given time here; classic: as BERT was trained. Other options win.",
    )
    optimizer: Optimizer = Field("muon", description="Of the layers' matrices; the rest has AdamW.")
    initial_weights: InitialWeights = Field(
        "counted",
        description="counted: word embeddings and first guesses are what counting the text gives, BERT's first heads "
        "look at the words beside; or random.",
    )
    objective: Objective = Field(
        "mlm+nsp",
        description="Masked LM with or without next-sentence prediction. With --architecture modernbert mlm.",
    )
    batch_size: int = Field(32, gt=0, description="Rows of packed sequences in one optimizer step, over all ranks.")
    micro_batch_size: int | None = Field(None, gt=0, description="Rows computed at once; the rest accumulates.")
    dropout: Share = Field(0.0, description="Dropout while pretraining; BERT's own was 0.1.")
    mask_share: Share = Field(0.15, gt=0, description="Share of the tokens that masked LM hides.")
    whole_word: bool = Field(False, description="Hide all WordPieces of a word together.")
    short_sequence_share: Share = Field(0.1, description="Share of sequences with a random shorter target length.")
    max_length_tokens: int = Field(128, ge=8, description="Length of a row, in tokens.")
    early_share: Share = Field(
        0.6, description="Share of the budget before long rows that is spent on shorter rows in which more is hidden."
    )
    early_length_tokens: int | None = Field(
        None, ge=8, description="Length of these, in tokens; half of the others' if not given."
    )
    early_mask_share: Share | None = Field(
        None, gt=0, description="Share of their tokens that masked LM hides; 0.3, or mask_share if that is more."
    )
    long_share: Share = Field(0.0, description="Share of the budget, at its end, spent on long rows; BERT's was 0.1.")
    long_length_tokens: int = Field(512, ge=8, description="Length of these, in tokens.")
    seed: int = Field(0, ge=0, description="Seed of initialisation, order, pairs, masks and dropout.")
    evaluate_every_steps: int | None = Field(
        None, gt=0, description="Steps between evaluations; 20 a run if not given."
    )
    compile: bool = Field(
        False, description="Compile the layers with torch.compile; on CUDA only, where it was not measured."
    )
    evaluation_rows: int = Field(256, gt=0, description="Held-out rows that each evaluation reads.")
    cache_gb: float = Field(10.0, gt=0, description="Disk for shards of a corpus behind a URL, which come ahead.")
    cache_folder: str | None = Field(None, description="Local folder for them; in ~/.cache/bertsmith if not given.")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_recipe_and_architecture(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        modern = MODERN_DEFAULTS if values.get("architecture") == "modernbert" else {}
        return {**RECIPES.get(values.get("recipe", "fast"), {}), **modern, **values}

    @model_validator(mode="after")
    def _modernbert_has_no_sentence_order(self) -> Self:
        if self.architecture == "modernbert" and self.objective != "mlm":
            raise ValueError(
                f"objective {self.objective}: ModernBERT has no next-sentence prediction. Say --objective mlm (what it "
                "is if left out), or --architecture bert."
            )
        return self

    @model_validator(mode="after")
    def _phases_follow_one_another(self) -> Self:
        early, usual = self.early_length_tokens, self.max_length_tokens
        if self.early_share and early is not None and early > usual:
            raise ValueError(f"early_length_tokens {early} is above max_length_tokens {usual}")
        if self.long_share and self.long_length_tokens < self.max_length_tokens:
            raise ValueError(
                f"long_length_tokens {self.long_length_tokens} is below max_length_tokens {self.max_length_tokens}"
            )
        return self
