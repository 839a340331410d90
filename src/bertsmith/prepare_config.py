"""How a prepared corpus is made."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bertsmith.config import Config

EngineName = Literal["local", "ray"]


class PrepareConfig(Config):
    """How a prepared corpus is made: the size of its shards, and who does the work."""

    shard_tokens: int = Field(4_000_000, ge=1000, description="About how many tokens a shard has.")
    engine: EngineName = Field("local", description="Who does the work: processes of this machine, or a Ray cluster.")
    part_gb: float = Field(
        16.0,
        gt=0,
        description="Text that is turned into shards before the next is read; the disk holds half of it meanwhile.",
    )
    staging: str | None = Field(
        None, description="Local folder for what is not uploaded yet, if --out is a URL; in ~/.cache if not given."
    )
