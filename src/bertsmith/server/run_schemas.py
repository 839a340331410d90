"""What clients send and get of run folders."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class RunCard(BaseModel):
    """A run folder that is served, under way or ended."""

    id: str
    parts: list[str] = Field(
        description='What has a journal of its own: "" is the run itself, others seeds and trials.'
    )
    settings: dict[str, Any] = Field(description="What it was begun with, as far as it concerns a reader.")
    weights: Literal["none", "read", "newer"] = Field(
        description="Whether it has written a model, and whether that is the one which answers."
    )
    running: bool | None = Field(description="Whether a process is at it; null where that cannot be told.")
    finished: bool
    quiet_s: float | None = Field(description="Seconds since its journal grew; null before its first line.")


class RunList(BaseModel):
    """The runs that are served."""

    object: Literal["list"] = "list"
    data: list[RunCard]


class TrainingAnswer(BaseModel):
    """Lines of a run's journal."""

    run: RunCard
    records: list[dict[str, Any]]
    cursor: str = Field(description="To be sent as `since` for what comes after.")
    anew: bool = Field(description="These lines are from the start: the run went back, or was begun again.")
    more: bool = Field(description="There are more already.")


class ReloadBody(BaseModel):
    """Which run's newest weights are to be read."""

    model_config = ConfigDict(extra="forbid", strict=True)
    model: str
