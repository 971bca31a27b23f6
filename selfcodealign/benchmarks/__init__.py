"""Benchmarks: one file each, behind one small protocol.

    problems(rows)  the tasks of a problem file
    prompt(problem, mode)  the prompt for a model
    program(problem, codes)  the program that judges answers in the sandbox; `outcomes` reads its verdict

A task's values are by score name, because one execution can serve several scores: the base and the extra tests of
HumanEval+ run together and are reported as `humaneval` and `humaneval+`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from selfcodealign.benchmarks.problem_files import Row, Source
    from selfcodealign.sandbox import Program, Verdict

#: Prompting mode: continue the prompt; the same with the prompt's last newline, which some tokenizers need
#: (evaluation/seams.py); continue after one worked example; answer in a chat.
Mode = Literal["completion", "completion-unstripped", "few-shot", "chat"]
MODES: tuple[Mode, ...] = ("completion", "completion-unstripped", "few-shot", "chat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One task.

    `prompt` is the text that a base model continues ("" where the benchmark has none), `instruction` the task for a
    tuned model, `response_prefix` the given beginning of its answer. `reference` is a complete solution known to be
    right ("" where the data has none). `group` is the task's part of the benchmark (library, difficulty); tasks that
    are variants of each other share their `family` ("": a task stands alone).
    """

    task_id: str
    prompt: str
    instruction: str
    response_prefix: str = "```python"
    entry_point: str = ""
    reference: str = ""
    group: str = ""
    family: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: `text` to continue or to answer, the beginning of the answer, and the stop strings."""

    text: str
    response_prefix: str = ""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The result of one suite of a task's tests: "pass", "fail" or "timeout", the first failing test, a message."""

    status: str
    index: int = -1
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The grade of one answer.

    `status` is "passed", or the reason why not ("failed", "error", "timeout", …); "not_judged" means that the machine,
    not the answer, is at fault (a required library is missing, the reference solution does not run): such an answer
    does not count, and `values` is empty. `values` are in 0..1 by score name.
    """

    status: str
    values: Mapping[str, float] = field(default_factory=dict)
    detail: str = ""
    suites: Mapping[str, Suite] = field(default_factory=dict)
    seconds: float = 0.0


def not_judged(detail: str) -> Grade:
    """Return the outcome of an answer that could not be judged on this machine."""
    return Grade(status="not_judged", detail=detail)


P = TypeVar("P", bound=Problem)


class Benchmark(ABC, Generic[P]):
    """A benchmark. Instances hold no state except their names."""

    name: str
    #: Location and known versions of the problems.
    source: Source
    #: The names of its scores, in the order of the table.
    scores: tuple[str, ...]
    #: Number of answers to one task that one program judges.
    answers_per_program: ClassVar[int] = 1
    #: Libraries that most of its judge's programs import: loaded once for all programs with scientific libraries.
    warm: ClassVar[tuple[str, ...]] = ()
    #: The fenced block to take when none defines the entry point.
    pick: ClassVar[Literal["first", "last"]] = "first"
    #: Whether a problem's `prompt` is the beginning of the program, so that the two texts together are the solution.
    begins_program: ClassVar[bool] = False
    #: Stop strings of a base model's completion: the start of new code.
    completion_stop: ClassVar[tuple[str, ...]] = (
        "\ndef ",
        "\nclass ",
        "\nimport ",
        "\nfrom ",
        "\nassert ",
        "\nif __name__",
        "\nprint(",
        "\n```",
    )

    @abstractmethod
    def problems(self, rows: Sequence[Row]) -> list[P]:
        """Read the tasks from the rows of a problem file. Raises `BenchmarkError` for rows of another format."""

    def prompt(self, problem: P, mode: Mode) -> Prompt:
        """Return the prompt; "completion-unstripped" is the concern of `evaluation.asking`, and no mode here.

        Raises `BenchmarkError` where the benchmark has no text to continue.
        """
        if mode == "completion":
            if not problem.prompt:
                from selfcodealign.errors import BenchmarkError

                raise BenchmarkError(
                    f"{self.name} has no text to continue: use --mode chat (tuned) or --mode few-shot (base model)"
                )
            return Prompt(problem.prompt, stop=self.completion_stop)
        if mode == "few-shot":
            return Prompt(problem.instruction)
        return Prompt(problem.instruction, problem.response_prefix, ("\n```\n",))

    def solution(self, problem: P, text: str) -> str:
        """Return the whole solution from a model's raw answer (with the prompt's response prefix in front of it)."""
        from selfcodealign.benchmarks.answers import find_solution

        return self.join(problem, find_solution(text, problem.entry_point, self.pick))

    def join(self, problem: P, code: str) -> str:
        """Return the whole solution from the code of an answer, which may lack the prompt's imports and helpers."""
        return code

    def answers_at_once(self, problem: P) -> int:
        """Return the number of answers to this task that one program judges."""
        return self.answers_per_program

    def weight(self, problem: P) -> float:
        """Estimate the relative time of judging: heavy tasks run first, so that no core waits for them at the end."""
        return 0.0

    @abstractmethod
    def program(self, problem: P, codes: Sequence[str]) -> Program:
        """Return the sandbox program that judges these solutions (at most `answers_at_once`)."""

    @abstractmethod
    def outcomes(self, problem: P, verdict: Verdict, count: int) -> list[Grade]:
        """Return the outcome of each of the `count` solutions, from the verdict on `program`."""
