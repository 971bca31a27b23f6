"""The seam where a programming language plugs in.

A language has two sides. `Language` lives in the user's process and never meets foreign code at work: it makes jobs out
of texts and verdicts out of what the server saw. `Runner` lives in the server, is forked into every program's process,
and reports from there. Python's are the modules `python` and `harness`; `Sandbox(language=...)` takes another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from selfcodealign.sandbox.verdict import Limits, Program, Verdict


class BuildError(Exception):
    """The text is no program: `phase` says which part, the cause is what the parser raised."""

    def __init__(self, phase: str, cause: Exception) -> None:
        super().__init__(str(cause))
        self.phase = phase
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Refused:
    """A version of a program that could not be built, and the report that says so."""

    report: dict[str, Any]


class Job(Protocol):
    """A program ready for a server."""

    @property
    def limits(self) -> Limits: ...

    def message(
        self, versions: Sequence[str | None] = (None,), damages_wanted: bool = False, seconds: float | None = None
    ) -> dict[str, Any]:
        """What the server and the runner are told: JSON values, with `limits`, `stdin` and `keep_output_kib`.

        `versions`: damages by their names, None for the program as it is; `damages_wanted`: report those there are.
        """
        ...


class Language(Protocol):
    """The user's side."""

    #: Module of the server's side: it has a class `Runner`.
    RUNNER: str
    #: Damages of the whole response, tried first: tests that notice none of all damages are weak.
    GATES: tuple[str, ...]

    def prepare_job(self, program: Program, limits: Limits) -> Any:
        """A `Job`, or a `Verdict` when there is nothing to run."""
        ...

    def imported_modules(self, job: Any) -> set[str]:
        """Libraries that a program names, to choose between the bare and the warm server."""
        ...

    def judge(self, job: Any, outcome: dict[str, Any]) -> Verdict:
        """The verdict on what the server saw: `ended_by`, `exit_code`, `output`, `reports` and measures."""
        ...

    def damages_of(self, outcome: dict[str, Any]) -> list[str]:
        """Names of the damages that are worth a try after this run."""
        ...

    def noticed(self, job: Any, outcome: dict[str, Any]) -> Any:
        """How the tests took a damage (a `Notice`); None when it broke the response before any test ran."""
        ...


class Runner(Protocol):
    """The server's side."""

    def settle(self) -> None:
        """Called once, after the warm libraries have been imported."""
        ...

    def build(self, job: dict[str, Any]) -> Iterator[Any]:
        """In the server, without running foreign code: what `run` needs for each version in `job["versions"]`.

        Marshal values, or `Refused`. A version is a damage by its name, or None for the program as it is.
        """
        ...

    def run(self, built: Any, report: int, nonce: bytes) -> None:
        """In the program's process, behind its walls: run it, report on `report` under `nonce`. Never returns."""
        ...
