"""Benchmarks: one file each, behind one small protocol.

    problems(rows)  the tasks of a problem file
    prompt(problem, mode)  what a model is asked
    program(problem, codes)  what runs in the sandbox to judge answers, and `outcomes` to read its verdict

A task's values are by score name, because one execution can serve several scores: the base and the extra tests of
HumanEval+ are run together and reported as `humaneval` and `humaneval+`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from selfcodealign.benchmarks.problem_files import Row, Source
    from selfcodealign.sandbox import Program, Verdict

#: How a model is asked: continue the prompt; continue after one worked example; answer in a chat.
Mode = Literal["completion", "few-shot", "chat"]
MODES: tuple[Mode, ...] = ("completion", "few-shot", "chat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One task.

    `prompt` is what a base model continues ("" where the benchmark has no such text), `instruction` the task as said
    to a tuned model, `response_prefix` how its answer is begun for it. `reference` is a complete solution known to be
    right ("" where the data hold none). `group` is the part of the benchmark the task belongs to (library, difficulty).
    """

    task_id: str
    prompt: str
    instruction: str
    response_prefix: str = "```python"
    entry_point: str = ""
    reference: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: `text` to continue or to answer, how the answer begins, and the strings that end it."""

    text: str
    response_prefix: str = ""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """How one suite of a task's tests went: "pass", "fail" or "timeout", the first failing test, what was seen."""

    status: str
    index: int = -1
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of one answer.

    `status` is "passed", or why not ("failed", "error", "timeout", …); "not_judged" means that the machine, not the
    answer, is at fault (a library the benchmark needs is missing, its own solution does not run): such an answer
    counts neither way, and `values` is empty. `values` are in 0..1 by score name.
    """

    status: str
    values: Mapping[str, float] = field(default_factory=dict)
    detail: str = ""
    suites: Mapping[str, Suite] = field(default_factory=dict)
    seconds: float = 0.0


def not_judged(detail: str) -> Outcome:
    """An outcome that says nothing about the answer, because the benchmark could not be run here."""
    return Outcome(status="not_judged", detail=detail)


P = TypeVar("P", bound=Problem)


class Benchmark(ABC, Generic[P]):
    """A benchmark. Instances hold no state besides what names them."""

    name: str
    #: Where the problems are and which versions of them are known.
    source: Source
    #: The scores it yields, in the order of a table.
    scores: tuple[str, ...]
    #: Answers of one task that one program judges together.
    answers_per_program: ClassVar[int] = 1
    #: Which fenced block counts when none defines the entry point.
    pick: ClassVar[Literal["first", "last"]] = "first"
    #: Ends a base model's completion: it starts something new.
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
        """The tasks in the rows of a problem file. Raises `BenchmarkError` for rows of another format."""

    def prompt(self, problem: P, mode: Mode) -> Prompt:
        """What the model is asked. Raises `BenchmarkError` where the benchmark has no text to continue."""
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
        """The whole solution from a model's raw answer (with the prompt's response prefix in front of it)."""
        from selfcodealign.benchmarks.answers import find_solution

        return self.join(problem, find_solution(text, problem.entry_point, self.pick))

    def join(self, problem: P, code: str) -> str:
        """The whole solution from the code of an answer, which may lack the prompt's imports and helpers."""
        return code

    def answers_at_once(self, problem: P) -> int:
        """How many answers to this task one program judges."""
        return self.answers_per_program

    def weight(self, problem: P) -> float:
        """A guess of how long judging takes, in no unit: heavy tasks go first, or one core would wait for the last."""
        return 0.0

    @abstractmethod
    def program(self, problem: P, codes: Sequence[str]) -> Program:
        """What runs in the sandbox to judge these solutions (at most `answers_at_once`)."""

    @abstractmethod
    def outcomes(self, problem: P, verdict: Verdict, count: int) -> list[Outcome]:
        """What the verdict on `program` says about each of its `count` solutions."""
