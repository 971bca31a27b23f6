"""The interface that adds a programming language.

A language has two sides. `Language` runs in the user's process and never executes foreign code: it turns texts into
jobs and the server's observations into verdicts. `Runner` runs in the server, is forked into every program's process,
and reports from there. Python's are the modules `python.program` and `python.harness`; `Sandbox(language=...)` takes
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from selfcodealign.sandbox.verdict import Limits, Program, Verdict


class BuildError(Exception):
    """The text is not a program: `phase` names the part, `cause` is what the parser raised."""

    def __init__(self, phase: str, cause: Exception) -> None:
        super().__init__(str(cause))
        self.phase = phase
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Refused:
    """A version of a program that could not be built, with the report that says why."""

    report: dict[str, Any]


class Job(Protocol):
    """A program prepared for a server."""

    @property
    def limits(self) -> Limits: ...

    @property
    def tests(self) -> str: ...

    def message(
        self,
        versions: Sequence[str | None] = (None,),
        mutants_wanted: bool = False,
        together: dict[str, float] | None = None,
        against: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The message to the server and the runner: JSON values, with `limits`, `stdin` and `keep_output_kib`.

        `as_command` (optional): stderr apart from the output, as `errors` of the outcome. `files` (names to base64) are
        put into the scratch before, and the outcome's `files` are those of the names in `fetch` that were there after.

        `mutants_wanted`: report the possible mutants. `together`: run `versions` (names of mutants, None for the
        original program) one after the other in one process, each bounded as `server.steps` says. `against`: code of
        tests, each of which takes the place of the program's own in one of the `versions`.
        """
        ...


class Language(Protocol):
    """The side in the user's process."""

    #: Module of the server's side; it defines a class `Runner`.
    RUNNER: str
    #: Mutants of the whole response, run first: tests are weak when no assertion kills any mutant.
    GATES: tuple[str, ...]
    #: The mutant that returns other values of the same types.
    VALUE_GATE: str
    #: The mutant that computes the same and returns nothing.
    NO_VALUE_GATE: str

    def prepare_job(self, program: Program, limits: Limits) -> Any:
        """Return a `Job`, or a `Verdict` when there is nothing to run."""
        ...

    def imported_modules(self, job: Any) -> set[str]:
        """Return the libraries that a program names, to choose between the bare and the warm server."""
        ...

    def judge(self, job: Any, outcome: dict[str, Any]) -> Verdict:
        """Return the verdict on what the server observed: `ended_by`, `exit_code`, `output`, `reports`, usage."""
        ...

    def mutants_of(self, outcome: dict[str, Any]) -> list[str]:
        """Return the names of the mutants worth running after this run."""
        ...

    def judge_split(self, job: Any, verdict: Verdict, outcome: dict[str, Any]) -> Verdict:
        """Return the verdict on a program that passed in one process (`verdict`) and then ran in two (`outcome`).

        `proof` tells what the second run showed. The outcome has `response_exit_code` besides, None where the
        response's process still ran when the judge had ended.
        """
        ...

    def touched(self, outcome: dict[str, Any]) -> list[list[int]] | None:
        """Return what the second run's judge saw, if the response changed arguments or files; None if it did not.

        Such a program runs in two processes once more (`seen` in its message), where they stay as the tests left them.
        """
        ...

    def judge_untouched(self, job: Any, verdict: Verdict, outcome: dict[str, Any]) -> Verdict:
        """Return the verdict on a program with split proof after that run."""
        ...

    def judge_mutant(self, job: Any, outcome: dict[str, Any]) -> Any:
        """Return a `MutantOutcome`; None when the mutant failed before any test ran."""
        ...


class Runner(Protocol):
    """The side in the server."""

    def settle(self) -> None:
        """Finish the preparation; called once, after the warm libraries are imported."""
        ...

    def build(self, job: dict[str, Any]) -> Any:
        """In the server, without running foreign code: return what `run` needs, a marshal value, or `Refused`."""
        ...

    def run(self, built: Any, report: int, nonce: bytes) -> None:
        """In the program's process, behind its walls: run it and report on `report` under `nonce`. Never returns.

        Versions that run together have a report each: {"version": place among them, "summary": what a single run
        reports at its end, "changed": the values that `VALUE_GATE` changed, "turns": loop turns and calls}.
        """
        ...

    def build_pair(self, job: dict[str, Any]) -> Any:
        """As `build`, for a run in two processes: return `(judge_part, response_part)`, or `Refused`."""
        ...

    def run_judge(self, built: Any, report: int, nonce: bytes, link: int) -> None:
        """In the judge's process, behind its walls: run the tests and report on `report`. Never returns.

        `link` is a stream socket to the process of the response, closed when that has ended.
        """
        ...

    def run_response(self, built: Any, link: int) -> None:
        """In the response's process, behind its walls: run it for the judge at the other end of `link`. Never returns.

        It holds nothing of the judge but the link; when the judge has ended, it is killed.
        """
        ...
