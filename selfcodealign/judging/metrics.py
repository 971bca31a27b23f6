"""What a service counts, in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from selfcodealign.judging.places import Places
from selfcodealign.sandbox import Status, Verdict

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
_REQUEST_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)
#: Why requests are refused.
REASONS = ("token", "host", "origin", "full", "too_large", "draining", "bad_request")


class Metrics:
    """The counters of one service."""

    def __init__(self, places: Places) -> None:
        self._registry = CollectorRegistry()
        named = {"namespace": "selfcodealign_sandbox", "registry": self._registry}
        self._verdicts = Counter("verdicts", "Programs judged, by status.", ["status"], **named)
        self._seconds = Histogram("program_seconds", "Wall time of a program's plain run.", buckets=_SECONDS, **named)
        self.requests = Histogram(
            "request_seconds",
            "From a request taken to its answer, waiting included.",
            buckets=_REQUEST_SECONDS,
            **named,
        )
        self.refused = Counter("refused_requests", "Requests refused, by reason.", ["reason"], **named)
        self.breaks = Counter("client_breaks", "Requests whose client broke off before the answer.", **named)
        for name, text, read in (
            ("queue_programs", "Programs that wait for a worker.", lambda: places.waiting),
            ("running_programs", "Programs that run.", lambda: places.running),
            ("queue_limit_programs", "Most programs that may wait.", lambda: places.queue),
            ("workers", "Programs that run at once.", lambda: places.workers),
        ):
            Gauge(name, text, **named).set_function(read)
        for status in Status:
            self._verdicts.labels(status.value)
        for reason in REASONS:
            self.refused.labels(reason)

    def note(self, verdict: Verdict) -> None:
        """Count a verdict."""
        self._verdicts.labels(verdict.status.value).inc()
        self._seconds.observe(verdict.seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
