"""Telemetry: every few seconds, and when stages are through, a line in RUN/telemetry.jsonl says what the run does.

docs/telemetry.md lists the names. A line is read and written within a millisecond, and written in a thread; a disk or a
collector that takes none is told of once, and the run goes on.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Self

from selfcodealign.errors import reason_of
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.models.usage import Usage
from selfcodealign.progress.counting import Counting
from selfcodealign.rows import Response
from selfcodealign.stages.context import Context
from selfcodealign.telemetry.figures import SCHEMA, Reading
from selfcodealign.telemetry.lines import Lines
from selfcodealign.telemetry.otlp import Collector

#: The file, in the run's folder.
FILE = "telemetry.jsonl"
#: Seconds that the end of a run waits for a collector that has answered so far.
LAST_SECONDS = 2.0
#: States of servers that get no requests.
AWAY = ("backing off", "refused")


class Telemetry:
    """Notes what the stages of `context` do while it is entered: what they tell of their progress is counted here."""

    def __init__(self, context: Context, stages: Sequence[str]) -> None:
        self._context, self._settings = context, context.recipe.telemetry
        self._stages = stages
        self._shown = context.progress
        self._counting = Counting(context.progress)
        self._at_work: Sequence[str] = ()
        self._lines = Lines(context.folder.path / FILE)
        self._collector: Collector | None = None
        self._problem = ""
        self._said: set[str] = set()
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if not self._settings.seconds:
            return self
        self._context.progress = self._counting
        self._run = 1
        try:
            self._run += int(self._lines.last().get("run", 0))
        except (OSError, TypeError, ValueError) as error:
            self._problem = f"{self._lines.path}: {reason_of(error)}"
        if self._settings.otlp:
            self._collector = Collector(
                self._settings.otlp,
                {
                    "service.name": "selfcodealign",
                    "service.version": version("selfcodealign"),
                    "selfcodealign.folder": self._context.folder.path.resolve().name,
                    "selfcodealign.run": str(self._run),
                },
            )
        self._asked_before = {stage: Usage.read(usage.fields()) for stage, usage in self._context.asked.items()}
        self._began = self._last_at = time.monotonic()
        self._last: dict[str, float] = {}
        self._writing = asyncio.create_task(self._keep_writing())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._writing is None:
            return
        self._context.progress = self._shown
        self._writing.cancel()
        with suppress(asyncio.CancelledError):
            await self._writing
        if kind is not None:
            self._write(*self._read("stopped"))
        if self._collector is not None:
            await asyncio.to_thread(self._collector.close, LAST_SECONDS)
        self._tell_problems()

    def begin(self, stages: Sequence[str]) -> None:
        """These stages work from now on."""
        self._at_work = stages

    def end(self) -> None:
        """The stages at work are through."""
        if self._writing is not None:
            self._write(*self._read("finished"))
            self._tell_problems()

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._settings.seconds)
            line, reading = self._read("working")
            await asyncio.to_thread(self._write, line, reading)
            self._tell_problems()

    def _read(self, event: str) -> tuple[dict[str, Any], Reading]:
        """A line about now, with rates since the one before."""
        now = time.monotonic()
        reading = self._take_figures(max(now - self._last_at, 1e-3))
        self._last_at, self._last = now, reading.flat()
        head = {
            "schema": SCHEMA,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "run": self._run,
            "seconds": round(now - self._began, 3),
            "event": event,
            "stages": ", ".join(self._at_work),
        }
        return head | {name: _rounded(value) for name, value in self._last.items()}, reading

    def _write(self, line: dict[str, Any], reading: Reading) -> None:
        if self._collector is not None:
            self._collector.offer(reading)
        try:
            self._lines.write(line)
        except OSError as error:
            self._problem = f"{self._lines.path}: {reason_of(error)}"

    def _tell_problems(self) -> None:
        """Say once of the file, and once of the collector, that it takes nothing."""
        refused = self._collector.problem if self._collector is not None else ""
        for what, problem in (("file", self._problem), ("collector", refused)):
            if problem and what not in self._said:
                self._said.add(what)
                self._shown.say(f"telemetry is lost ({problem}); the run goes on")

    # --------------------------------------------------------------------------------------------------- the figures

    def _take_figures(self, seconds: float) -> Reading:
        reading = Reading()
        asked = {stage: usage - self._asked_before.get(stage, Usage()) for stage, usage in self._context.asked.items()}
        for stage in self._stages:
            self._add_rows(reading, stage, seconds)
            if stage in asked:
                _add_usage(reading, "stage.{stage}", asked[stage], stage=stage)
        usage = sum(asked.values(), Usage())
        self._add_model(reading, usage, seconds)
        self._add_samples(reading, usage)
        if "sandbox" in self._context.__dict__:
            sandbox = self._context.sandbox
            reading.add("sandbox.programs", sandbox.programs)
            reading.add("sandbox.programs_under_way", sandbox.under_way)
            reading.add("sandbox.seconds", sandbox.seconds)
        reading.add("process.rss_bytes", _resident_bytes())
        reading.add("process.open_files", len(os.listdir("/proc/self/fd")))
        reading.add("process.cpu_seconds", time.process_time())
        return reading

    def _add_rows(self, reading: Reading, stage: str, seconds: float) -> None:
        counts = self._counting.counts.get(stage)
        if counts is None:
            return
        name = "stage.{stage}.entered_rows"
        entered = counts.earlier + counts.done
        before = self._last.get(f"stage.{stage}.entered_rows", 0) - self._last.get(f"stage.{stage}.earlier_rows", 0)
        reading.add(name, entered, stage=stage)
        reading.add("stage.{stage}.earlier_rows", counts.earlier, stage=stage)
        reading.add("stage.{stage}.kept_rows", counts.kept, stage=stage)
        for reason, count in counts.dropped.items():
            reading.add("stage.{stage}.dropped_rows.{reason}", count, stage=stage, reason=reason)
        reading.add("stage.{stage}.rows_per_second", (counts.done - before) / seconds, stage=stage)
        reading.add("stage.{stage}.expected_rows", counts.total, stage=stage)

    def _add_model(self, reading: Reading, usage: Usage, seconds: float) -> None:
        models = list(self._context.models.made.values()) if "models" in self._context.__dict__ else []
        if not models:
            return
        under_way = sum(model.under_way().requests for model in models)
        servers = [one for model in models for one in model.state()]
        reading.add("model.requests_under_way", under_way)
        reading.add("model.waiting_calls", max(0, sum(model.calls for model in models) - under_way))
        reading.add("model.limit", sum(map(_limit, models)))
        _add_usage(reading, "model", usage)
        for name, total in (
            ("model.requests", usage.requests),
            ("model.prompt_tokens", usage.prompt_tokens),
            ("model.answer_tokens", usage.completion_tokens),
        ):
            reading.add(f"{name}_per_second", (total - self._last.get(name, 0)) / seconds)
        for one in servers:
            reading.add("server.{server}.limit", one.limit, server=one.address)
            reading.add("server.{server}.requests_under_way", one.under_way, server=one.address)
            reading.add("server.{server}.queued_requests", one.waiting, server=one.address)
            reading.add("server.{server}.usable", int(one.state not in AWAY), server=one.address)

    def _add_samples(self, reading: Reading, usage: Usage) -> None:
        for wave, (drawn, verified) in self._context.waves.items():
            reading.add("wave.{wave}.answers", drawn, wave=wave)
            reading.add("wave.{wave}.verified_answers", verified, wave=wave)
            reading.add("wave.{wave}.pass_rate", verified / drawn if drawn else None, wave=wave)
        counts = self._counting.counts.get(self._sampling_stage())
        if counts is None:
            return
        verified, drawn = counts.kept, counts.kept + counts.dropped.total()
        reading.add("samples.answers", drawn)
        if not self._context.recipe.responses.execute:  # answers that were taken, and not verified
            return
        reading.add("samples.verified_answers", verified)
        reading.add("samples.pass_rate", verified / drawn if drawn else None)
        if verified:
            reading.add("samples.tokens_per_verified", usage.tokens / verified)
            reading.add("samples.computed_tokens_per_verified", (usage.tokens - usage.cached_tokens) / verified)

    def _sampling_stage(self) -> str:
        """The stage that makes answers of other rows; "" in a journey without one."""
        made = Response.id_field
        for name, place in self._context.places.items():
            ids = [kind.id_field for kind in (place.given, place.gives) if kind is not None]
            if len(ids) == 2 and ids[0] != made == ids[1]:
                return name
        return ""


def _limit(model: OnDemandModel) -> int:
    """How many requests a model's servers take at once now."""
    servers = model.state()
    limits = [min(one.limit, model.concurrency) for one in servers if one.state not in AWAY]
    return min(sum(limits), model.concurrency) if servers else model.concurrency


def _add_usage(reading: Reading, prefix: str, usage: Usage, **of: str) -> None:
    reading.add(f"{prefix}.requests", usage.requests, **of)
    reading.add(f"{prefix}.prompt_tokens", usage.prompt_tokens, **of)
    if usage.told_tokens:
        reading.add(f"{prefix}.cached_tokens", usage.cached_tokens, **of)
        reading.add(f"{prefix}.cached_share", usage.cached_share, **of)
    reading.add(f"{prefix}.answer_tokens", usage.completion_tokens, **of)


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _rounded(value: float) -> float:
    """Six digits are enough for shares and rates."""
    return value if isinstance(value, int) else float(f"{value:.6g}")
