"""The figures of a run at work: one list of names, units and meanings for the file, the collector and the page.

A name has a place in braces for what it is told of: `stage.{stage}.kept_rows`. In a line of the file the place is
filled in (`stage.concepts.kept_rows`); for a collector it is left out and becomes an attribute (`stage.kept_rows` with
`stage` = "concepts").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Version of the names and their meanings; a line's "schema". It changes when a name or a meaning does, not for a new
#: name.
SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """What a number means. `total`: it only grows within a run; otherwise it is the state at the line's time."""

    name: str
    unit: str
    meaning: str
    total: bool = False

    @property
    def plain(self) -> str:
        """The name without its places, as a collector gets it."""
        return re.sub(r"\.\{\w+\}", "", self.name)


_LISTED = (
    Figure("stage.{stage}.entered_rows", "rows", "rows that entered and have an outcome, also those of earlier runs"),
    Figure("stage.{stage}.earlier_rows", "rows", "rows of them that an earlier run finished"),
    Figure("stage.{stage}.kept_rows", "rows", "rows that this run made and kept", total=True),
    Figure("stage.{stage}.dropped_rows.{reason}", "rows", "rows that this run dropped for this reason", total=True),
    Figure("stage.{stage}.rows_per_second", "rows/s", "outcomes a second since the line before"),
    Figure("stage.{stage}.expected_rows", "rows", "rows that will have entered in the end, as far as is known"),
    Figure("stage.{stage}.requests", "requests", "answers of the model to this stage", total=True),
    Figure("stage.{stage}.prompt_tokens", "tokens", "tokens of the prompts of these answers", total=True),
    Figure("stage.{stage}.cached_tokens", "tokens", "prompt tokens that came from a prefix cache", total=True),
    Figure("stage.{stage}.cached_share", "share", "cached tokens out of the prompt tokens of which it is told"),
    Figure("stage.{stage}.answer_tokens", "tokens", "tokens of these answers", total=True),
    Figure("model.requests_under_way", "requests", "requests that the model is working on"),
    Figure("model.waiting_calls", "calls", "calls of stages that wait for their turn"),
    Figure("model.limit", "requests", "most requests at once, now"),
    Figure("model.requests", "requests", "answers, of all stages", total=True),
    Figure("model.requests_per_second", "requests/s", "answers a second since the line before"),
    Figure("model.prompt_tokens", "tokens", "tokens of prompts, of all stages", total=True),
    Figure("model.prompt_tokens_per_second", "tokens/s", "prompt tokens a second since the line before"),
    Figure("model.cached_tokens", "tokens", "prompt tokens that came from a prefix cache", total=True),
    Figure("model.cached_share", "share", "cached tokens out of the prompt tokens of which it is told"),
    Figure("model.answer_tokens", "tokens", "tokens of answers, of all stages", total=True),
    Figure("model.answer_tokens_per_second", "tokens/s", "answer tokens a second since the line before"),
    Figure("server.{server}.limit", "requests", "most requests at once that this server gets now"),
    Figure("server.{server}.requests_under_way", "requests", "requests that this server is working on"),
    Figure("server.{server}.queued_requests", "requests", "requests in the server's own queue, where it tells"),
    Figure("server.{server}.usable", "0 or 1", "whether the server is asked now"),
    Figure("wave.{wave}.answers", "answers", "answers drawn in this wave of samples (1: the first)", total=True),
    Figure("wave.{wave}.verified_answers", "answers", "answers of them that were verified", total=True),
    Figure("wave.{wave}.pass_rate", "share", "verified answers out of those drawn in this wave"),
    Figure("samples.answers", "answers", "answers with tests that were drawn", total=True),
    Figure("samples.verified_answers", "answers", "answers of them that were verified", total=True),
    Figure("samples.pass_rate", "share", "verified answers out of those drawn"),
    Figure("samples.tokens_per_verified", "tokens", "prompt and answer tokens of all stages, per verified answer"),
    Figure("samples.computed_tokens_per_verified", "tokens", "the same without cached tokens"),
    Figure("sandbox.programs", "programs", "programs that were judged", total=True),
    Figure("sandbox.programs_under_way", "programs", "programs that run or wait for a worker"),
    Figure("sandbox.seconds", "s", "wall time that the judged programs ran", total=True),
    Figure("process.rss_bytes", "bytes", "memory of the run's process"),
    Figure("process.open_files", "files", "open files and connections of the run's process"),
    Figure("process.cpu_seconds", "s", "processor time of the run's process", total=True),
)  # fmt: skip
FIGURES = {figure.name: figure for figure in _LISTED}


@dataclass
class Reading:
    """All figures at one moment: numbers by figure and by what they are told of."""

    numbers: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def add(self, name: str, value: float | None, **of: object) -> None:
        """Note a number; None is left out."""
        assert name in FIGURES, name
        if value is not None:
            self.numbers[name, tuple((place, str(what)) for place, what in of.items())] = value

    def flat(self) -> dict[str, float]:
        """The numbers by full name, as a line has them."""
        return {fill(name, dict(of)): value for (name, of), value in self.numbers.items()}

    def of(self, name: str) -> Iterable[tuple[Mapping[str, str], float]]:
        """The numbers of one figure, with what each is told of."""
        return [(dict(of), value) for (one, of), value in self.numbers.items() if one == name]


def fill(name: str, of: Mapping[str, str]) -> str:
    """Put what a figure is told of in the places of its name.

    >>> fill("stage.{stage}.kept_rows", {"stage": "concepts"})
    'stage.concepts.kept_rows'
    """
    return re.sub(r"\{(\w+)\}", lambda place: of[place[1]], name)
