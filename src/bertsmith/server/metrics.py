"""What Prometheus reads: /metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bertsmith.server.worker import Round

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of one server.

    Args:
        waiting: how many requests wait or are computed now.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "bertsmith_requests",
            "Requests answered, by operation and status.",
            ("operation", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "bertsmith_request_seconds",
            "Time from a request's head to its answer.",
            ("operation",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._round_seconds = Histogram(
            "bertsmith_round_seconds",
            "Time that a batch was computed.",
            ("model", "operation"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._round_texts = Histogram(
            "bertsmith_round_texts", "Texts that were computed together.", buckets=_COUNTS, registry=registry
        )
        self._round_requests = Histogram(
            "bertsmith_round_requests", "Requests that were computed together.", buckets=_COUNTS, registry=registry
        )
        self._tokens = Counter(
            "bertsmith_tokens", "Tokens computed, estimated from bytes.", ("model", "operation"), registry=registry
        )
        gauge = Gauge("bertsmith_requests_waiting", "Requests that wait or are computed now.", registry=registry)
        gauge.set_function(waiting)

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """A request has got its answer."""
        self._requests.labels(operation, str(status)).inc()
        if status < 400:
            self._seconds.labels(operation).observe(seconds)

    def computed(self, made: Round) -> None:
        """A round is done."""
        lane = (made.group.model, made.group.operation)
        self._round_seconds.labels(*lane).observe(made.seconds)
        self._tokens.labels(*lane).inc(made.cost)
        self._round_texts.observe(made.items)
        self._round_requests.observe(made.requests)

    def text(self) -> bytes:
        """All of them, as Prometheus reads it."""
        return generate_latest(self._registry)
