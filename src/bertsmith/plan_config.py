"""What a run is planned on."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bertsmith.config import Config, Share

Gpu = Literal["a10", "l4", "l40s", "a100", "h100", "h200"]


class PlanConfig(Config):
    """What a run is planned on: the text, the ranks, what is assumed of them. No GPU was measured, so what is said of
    them is assumed altogether."""

    corpus: str | None = Field(
        None, description="A prepared corpus, whose counts are read, or plain text files, whose sizes are."
    )
    corpus_tokens: float | None = Field(
        None, gt=0, description="WordPieces of the corpus, such as 100e9, in the place of --corpus."
    )
    vocab_size: int | None = Field(
        None, ge=100, description="WordPieces in the vocabulary; the corpus's, or what a new one has, if not given."
    )
    processes: int | None = Field(
        None, gt=0, description="Ranks on processors, each on cores of its own like those measured; 1 if not given."
    )
    gpus: int | None = Field(None, gt=0, description="Ranks on GPUs, in the place of --processes.")
    gpu: Gpu = Field("a100", description="The card: dense peak in bfloat16 and memory, of NVIDIA's data sheets.")
    gpu_tflops: float | None = Field(None, gt=0, description="Dense peak of one card in bfloat16; the card's own.")
    gpu_memory_gb: float | None = Field(None, gt=0, description="Memory of one card; the card's own if not given.")
    # Their 70,000 steps of 4,096 x 128 in 11.5 hours on 8 A100, at 0.52 GFLOP a token by benchmarks/flops.py.
    gpu_utilisation: float = Field(
        0.18,
        gt=0,
        le=1,
        description="Share of the peak that useful arithmetic reaches: assumed, as 8 A100 had it on BERT-Base in "
        "Portes et al. 2023. Large decoders reach 0.4.",
    )
    tokens_per_s: float | None = Field(None, gt=0, description="Of one rank; nothing is measured or assumed then.")
    network_gbps: float | None = Field(
        None, gt=0, description="Gbit/s of the slowest link between ranks; 100 between GPUs, else 10, if not given."
    )
    overlap_share: Share = Field(0.5, description="Share of the gradients' sum over ranks that hides behind backward.")
    price_per_hour: float | None = Field(None, gt=0, description="Of one rank, in any currency; tells the cost.")
    seconds: float = Field(15.0, ge=0, description="About how long to measure, where this machine is measured.")

    @model_validator(mode="after")
    def _one_corpus(self) -> Self:
        if self.corpus is not None and self.corpus_tokens is not None:
            raise ValueError("corpus and corpus_tokens are both given: the one says how large the other is. Give one")
        return self

    @model_validator(mode="after")
    def _one_kind_of_ranks(self) -> Self:
        if self.gpus and self.processes:
            raise ValueError("processes and gpus are both given: a rank has a GPU each, or none has. Give one of them")
        idle = sorted(self.model_fields_set & {"gpu", "gpu_tflops", "gpu_memory_gb", "gpu_utilisation"})
        if idle and not self.gpus:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
            raise ValueError(f"{flags} without --gpus: say how many there are, or leave it out")
        return self
