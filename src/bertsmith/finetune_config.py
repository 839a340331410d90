"""Options of fine-tuning: the recipe, and how labelled examples are read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bertsmith.config import Config, OnBadInput, Share, TrainingConfig

FinetuneName = Literal["classify", "sentiment", "regress", "tag", "answer", "choose"]  # with the presets


class FinetuneConfig(TrainingConfig):
    """A fine-tuning run: BERT's recipe (Devlin et al. 2019, A.3), and what is known to help small sets."""

    learning_rate: float = Field(
        5e-5, gt=0, description="Peak learning rate of AdamW; BERT's were 2e-5 … 5e-5. With --feature-layers 1e-3."
    )
    warmup_share: Share = Field(0.1, description="Share of the budget in which the learning rate rises.")
    evaluate_every_steps: int | None = Field(
        None,
        gt=0,
        description="Steps between evaluations; if not given one an epoch, or three a run with --steps or --minutes.",
    )
    dropout: Share | None = Field(None, description="Dropout while fine-tuning; the model's own if not given.")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Each layer learns at this share of the rate of the layer above it."
    )
    freeze_layers: int = Field(0, ge=0, description="Lowest layers that are not trained; the embeddings with them.")
    feature_layers: int = Field(
        0,
        ge=0,
        description="Freeze the whole encoder and train a head on its last layers, side by side; BERT's were 4.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: rare classes count for more in the loss."
    )
    keep: Literal["best", "last"] = Field("best", description="The weights of the best evaluation, or of the last.")
    early_stopping: int | None = Field(
        None, gt=0, description="Stop after so many evaluations without a better figure."
    )
    max_length_tokens: int | None = Field(
        None, ge=8, description="Longest window of a long text, in tokens; the model's own length if not given."
    )
    overlap_tokens: int | None = Field(
        None,
        ge=0,
        description="Tokens that a window of a long text shares with the next; what suits the task if not given.",
    )
    dev_share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.1, description="Share of the examples kept for evaluation where no --dev is given."
    )
    seeds: int = Field(1, gt=0, description="Runs, with seeds from --seed on; tells mean ± sd, keeps the best by dev.")
    search: int | None = Field(None, gt=0, description="Trials of a search for learning rate, batch size and epochs.")

    @model_validator(mode="before")
    @classmethod
    def _a_head_alone_learns_faster(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("feature_layers"):
            return {"learning_rate": 1e-3, **values}
        return values

    def reading(self) -> dict[str, int | None]:
        """What a head keeps of how texts are read."""
        names = ("feature_layers", "max_length_tokens", "overlap_tokens")
        return {name: getattr(self, name) for name in names}


class LabelledConfig(Config):
    """How labelled examples are read."""

    text_column: str | None = Field(
        None, description="Column of the text, by name or number from 1; found by its usual names if not given."
    )
    pair_column: str | None = Field(None, description="Column of the second text of a pair.")
    label_column: str | None = Field(None, description="Column of the label; found by its usual names if not given.")
    header: bool | None = Field(
        None, description="Whether .csv and .tsv begin with a line of names; if not given, unless columns are numbers."
    )
    labels: str | None = Field(
        None, description="The labels, a,b,c, or a file with one a line; found in the training data if not given."
    )
    multi_label: bool = Field(False, description="Any number of labels may hold at once.")
    label_separator: str = Field(",", min_length=1, description="What stands between the labels of one text.")
    on_bad_input: OnBadInput = Field(
        "stop", description="Stop at the first broken example, or leave it out, count it and say where."
    )
