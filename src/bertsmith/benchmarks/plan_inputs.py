"""From a user's words to a plan: how much text there is, who computes how fast, and what was assumed on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from bertsmith.benchmarks.flops import Counts, step_flops
from bertsmith.benchmarks.machine import usable_cores
from bertsmith.benchmarks.needs import Memory, memory_of, model_of
from bertsmith.benchmarks.plan import Ranks, Row, RunPlan, Storage, Work, on_ranks
from bertsmith.benchmarks.plan_figures import PlanFigures
from bertsmith.benchmarks.step_side import Settings
from bertsmith.benchmarks.train import Plan, bench_train
from bertsmith.config import PretrainConfig, TokenizerConfig
from bertsmith.data.remote_corpus import is_prepared_place, open_place
from bertsmith.data.sampler import Position, RowSampler
from bertsmith.data.shards import PreparedCorpus
from bertsmith.data.windows import MICRO_BATCH_TOKENS
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert
from bertsmith.plan_config import Gpu, PlanConfig
from bertsmith.progress import Reporter
from bertsmith.remote import is_url
from bertsmith.text.sources import list_sources
from bertsmith.text.train import plain_megabytes
from bertsmith.training.loop import CHECKPOINT_EVERY_S


class Card(NamedTuple):
    """A GPU: dense peak in bfloat16, and memory."""

    tflops: float
    memory_gb: float


# NVIDIA's data sheets; without sparsity, which doubles what some of them print. A100 and H100 are those on SXM boards.
CARDS: Mapping[Gpu, Card] = {
    "a10": Card(125, 24),
    "l4": Card(121, 24),
    "l40s": Card(362, 48),
    "a100": Card(312, 80),
    "h100": Card(989, 80),
    "h200": Card(989, 141),
}
GPU_PROCESS_BYTES = 1.5e9  # CUDA's own, NCCL's buffers, gaps between tensors: assumed
GPU_GBPS, PROCESSOR_GBPS = 100.0, 10.0
# English Wikipedia with 16,384 WordPieces (bench/RESULTS.md): text and, beside the ids, offsets and sources a token;
# and what a core of the machine measured there prepares in a second.
TEXT_BYTES, OFFSET_BYTES = 4.45, 0.3
PREPARE_BYTES_PER_S = 5.3e6
SMALL_VOCABULARY = 1 << 16  # ids have two bytes, else four
SAMPLE_ROWS = 64  # from which what a row holds is counted
EARLY_COUNTED = (
    "All rows are counted as long as --max-length-tokens; those of the first {:.0%} are half as long, so that with "
    "--steps less time is taken than this, and with --epochs more steps."
)
ROWS_ASSUMED = ", as in text with an encyclopedia's sentences and documents (within 4% of English Wikipedia)"


@dataclass(frozen=True)
class Text:
    """The corpus.

    Attributes:
        tokens: WordPieces to train on.
        vocab_size: V.
        raw_bytes: to be prepared; 0 where it is.
        prepared_bytes: in shards.
        said: where this is from.
        corpus: the prepared one, where there is one.
    """

    tokens: float
    vocab_size: int
    raw_bytes: float
    prepared_bytes: float
    said: str
    corpus: PreparedCorpus | None = None


@dataclass(frozen=True)
class Speed:
    """What one rank computes.

    Attributes:
        tokens_per_s: alone.
        said: where this is from.
    """

    tokens_per_s: float
    said: tuple[str, ...]


def plan_run(options: PlanConfig, config: PretrainConfig, reporter: Reporter) -> PlanFigures:
    """Plan a pretraining run; where no speed is given and no GPU assumed, this machine takes a few steps.

    Args:
        options: the text, the ranks, the assumptions.
        config: the run; one pass over the corpus if it says nothing of steps or epochs.
        reporter: told of the measurement.

    Raises:
        ConfigError: no corpus, one whose size is not known, options that contradict each other, or a batch that does
            not divide over the ranks.
        CorpusError, PreparedCorpusError: of the corpus.
        BertsmithError: this machine cannot take a step.
    """
    _check(options, config)
    count = options.gpus or options.processes or 1
    batch_rows, said = _batch_rows(config, count, on_gpus=bool(options.gpus))
    default_rows = max(1, MICRO_BATCH_TOKENS // config.max_length_tokens)
    micro_rows = min(config.micro_batch_size or default_rows, batch_rows // count)
    text = _text_of(options)
    settings = Settings(config.but(batch_size=micro_rows), text.vocab_size)
    counts, model = settings.counts(), model_of(settings)
    speed = _speed(options, settings, step_flops(model, counts) / counts.tokens, reporter)
    epochs = None if config.steps else config.epochs or 1.0
    plan = RunPlan(
        Work(text.tokens, epochs, config.steps, batch_rows, micro_rows, _row(settings, text.corpus)),
        _ranks(options, count, speed.tokens_per_s),
        _memory(options, settings, model, counts, count),
        _storage(config, text),
    )
    kind = f"{options.gpu.upper()} GPU" if options.gpus else "process"
    takes = f"A row takes {plan.work.row.corpus_tokens:.1f} tokens of the corpus{'' if text.corpus else ROWS_ASSUMED}."
    early = (EARLY_COUNTED.format(config.early_share),) if config.early_share else ()
    return PlanFigures(plan, config, text.vocab_size, kind, (text.said, takes, *early, *said, *speed.said))


def _check(options: PlanConfig, config: PretrainConfig) -> None:
    if options.corpus is None and options.corpus_tokens is None:
        raise ConfigError("how much text is there? Give --corpus-tokens 100e9, or --corpus FOLDER")
    if config.minutes:
        raise ConfigError("--minutes: the time is what a plan tells. Give --epochs or --steps")
    if config.long_share:
        raise ConfigError("--long-share: a plan knows rows of one length. Plan each phase, by --max-length-tokens")
    if options.gpus and config.precision == "int16":
        raise ConfigError("--precision int16 is for processors: leave it out, or take bfloat16")
    if options.gpus and config.precision == "float32" and not options.gpu_tflops:
        raise ConfigError("--precision float32: the cards' peaks are those in bfloat16. Give --gpu-tflops in float32")


def _batch_rows(config: PretrainConfig, count: int, *, on_gpus: bool) -> tuple[int, list[str]]:
    """Rows of a step, and what to say of them."""
    if "batch_size" in config.model_fields_set:
        if config.batch_size % count:
            near = count * math.ceil(config.batch_size / count)
            raise ConfigError(
                f"--batch-size {config.batch_size}: rows that do not divide over {count} ranks. Say {near}, or "
                f"another multiple of {count}."
            )
        return config.batch_size, []
    a_rank = math.ceil(config.batch_size / count)
    if on_gpus:
        a_rank = max(a_rank, MICRO_BATCH_TOKENS // config.max_length_tokens)
    rows = count * max(1, a_rank)
    if rows == config.batch_size:
        return rows, []
    return rows, [
        f"{rows:,} rows a step, {rows // count} a rank, since no --batch-size is given; say --batch-size {rows} to "
        "`bertsmith pretrain` too. Learning rates were tried with 32 rows: a larger batch wants one of its own."
    ]


def _text_of(options: PlanConfig) -> Text:
    new = options.vocab_size or TokenizerConfig().vocab_size
    if options.corpus_tokens is not None:
        tokens = options.corpus_tokens
        raw = TEXT_BYTES * tokens
        said = f"{TEXT_BYTES} bytes of text a token and {OFFSET_BYTES} of offsets in shards, as English Wikipedia has."
        return Text(tokens, new, raw, _prepared_bytes(tokens, new), said)
    assert options.corpus is not None
    if is_prepared_place(options.corpus):
        corpus = open_place(options.corpus)
        vocab_size = options.vocab_size or len(corpus.token_counts())
        tokens = corpus.tokens("train")
        size = _prepared_bytes(tokens, vocab_size)
        if not is_url(options.corpus):
            size = sum(shard.stat().st_size for shard in corpus.folder.glob("*-*.arrow"))
        said = f"{corpus.place}: tokens, rows and size of the prepared corpus as it is."
        return Text(tokens, vocab_size, 0.0, size, said, corpus)
    megabytes = plain_megabytes(list_sources([options.corpus]))
    if not megabytes:
        raise ConfigError(
            f"{options.corpus}: not plain text alone, so that its size does not tell how much text there is. Give "
            "--corpus-tokens, or the folder that `bertsmith prepare` makes of it"
        )
    raw, tokens = 1e6 * megabytes, 1e6 * megabytes / TEXT_BYTES
    said = f"{options.corpus}: {raw / 1e9:,.3g} GB of text, {TEXT_BYTES} bytes a token, as English Wikipedia has."
    return Text(tokens, new, raw, _prepared_bytes(tokens, new), said)


def _prepared_bytes(tokens: float, vocab_size: int) -> float:
    """Of shards that are not there yet."""
    return tokens * ((2 if vocab_size <= SMALL_VOCABULARY else 4) + OFFSET_BYTES)


def _row(settings: Settings, corpus: PreparedCorpus | None) -> Row:
    """Counted in the first rows of the corpus, else in random text with an encyclopedia's sentences and documents."""
    sampler = settings.sampler()
    if corpus:
        sampler = RowSampler(corpus, "train", sampler.sampling)
    batch, after = sampler.take(Position(), SAMPLE_ROWS)
    corpus_tokens = sampler.epochs_done(after) * sampler.corpus.tokens("train")
    return Row(batch.tokens / SAMPLE_ROWS, corpus_tokens / SAMPLE_ROWS)


def _speed(options: PlanConfig, settings: Settings, flops_per_token: float, reporter: Reporter) -> Speed:
    """Given, assumed of a GPU, or measured here."""
    if options.tokens_per_s:
        return Speed(options.tokens_per_s, (f"{options.tokens_per_s:,.0f} tokens/s a rank, as given.",))
    if options.gpus:
        peak = options.gpu_tflops or CARDS[options.gpu].tflops
        used = f"{options.gpu_utilisation:.0%} of {peak:g} TFLOP/s"
        said = (
            f"No GPU was measured: the speed is assumed, {used} (--gpu-utilisation, --gpu-tflops) over "
            f"{flops_per_token / 1e6:,.0f} MFLOP a token. `bertsmith bench train` measures a card, and --tokens-per-s "
            "takes its figure."
        )
        return Speed(options.gpu_utilisation * 1e12 * peak / flops_per_token, (said,))
    found = bench_train(
        Plan(settings.config, settings.config.size, settings.vocab_size, options.seconds), reporter
    ).sizes[-1]
    how = f"estimated, since {found.estimated}" if found.estimated else "measured on this machine"
    return Speed(
        found.ours.tokens_per_s,
        (
            f"{found.ours.tokens_per_s:,.0f} tokens/s and {found.ours.memory_bytes / 1e9:.1f} GB a process: {how}, in "
            f"steps of {settings.config.batch_size} rows.",
        ),
    )


def _ranks(options: PlanConfig, count: int, tokens_per_s: float) -> Ranks:
    memory_gb = (options.gpu_memory_gb or CARDS[options.gpu].memory_gb) if options.gpus else None
    gbps = options.network_gbps or (GPU_GBPS if options.gpus else PROCESSOR_GBPS)
    return Ranks(
        count,
        tokens_per_s,
        network_bytes_per_s=gbps * 1e9 / 8,
        overlap_share=options.overlap_share,
        memory_bytes=memory_gb and 1e9 * memory_gb,
        price_per_hour=options.price_per_hour,
    )


def _memory(options: PlanConfig, settings: Settings, model: Bert, counts: Counts, count: int) -> Memory:
    memory = on_ranks(memory_of(model, settings.config, counts, rows=settings.config.batch_size), count)
    return replace(memory, process=GPU_PROCESS_BYTES) if options.gpus else memory


def _storage(config: PretrainConfig, text: Text) -> Storage:
    return Storage(
        text.raw_bytes,
        text.prepared_bytes,
        keep=config.keep_checkpoints,
        every_s=CHECKPOINT_EVERY_S,
        every_steps=config.checkpoint_every_steps,
        prepare_bytes_per_s=PREPARE_BYTES_PER_S * usable_cores(),
    )
