"""DS-1000 (Lai et al. 2022, arXiv 2211.11501), in the simplified format of its authors.

A row's `code_context` defines `test_execution(code)`, which runs the answer in the problem's context and compares the
results, and for some problems `test_string(code)`, which requires or forbids certain words. Both must hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Benchmark, Grade, Mode, Prompt
from selfcodealign.benchmarks.assertions import (
    AssertionProblem,
    assertion_outcome,
    fence,
    imported_modules,
    limit_cpu,
)
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: Every test imports its libraries again; the authors allow two minutes, here of CPU time.
SECONDS = 120.0
_ENDINGS = ("</code>", "# SOLUTION END", "\nEND SOLUTION", "\n### END SOLUTION")


class Ds1000(Benchmark[AssertionProblem]):
    """`group` is the library."""

    name = "ds1000"
    source = Source(hub="xlangai/DS-1000", files=("test.jsonl",))
    scores = ("ds1000",)
    completion_stop = _ENDINGS

    def problems(self, rows: Sequence[Row]) -> list[AssertionProblem]:
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> AssertionProblem:
        check_fields(self.name, row, ("prompt", "reference_code", "code_context", "metadata"))
        metadata = row["metadata"]
        instruction, prefix = ask(row["prompt"])
        calls = "test_execution(__answer__)\n" + (
            "test_string(__answer__)\n" if "test_string(" in row["code_context"] else ""
        )
        return AssertionProblem(
            task_id=f"DS-1000/{metadata['problem_id']}",
            prompt=row["prompt"],
            instruction=instruction,
            response_prefix=prefix,
            reference=row["reference_code"],
            group=metadata["library"],
            tests=f"{row['code_context']}\n{calls}",
            libraries=imported_modules(row["code_context"]),
        )

    def prompt(self, problem: AssertionProblem, mode: Mode) -> Prompt:
        if mode == "chat":
            return Prompt(problem.instruction, problem.response_prefix, ("\n```\n",))
        return super().prompt(problem, mode)

    def join(self, problem: AssertionProblem, code: str) -> str:
        """Return the part that replaces `[insert]`: without a repeated begin marker or text after an end marker."""
        for ending in _ENDINGS:
            code = code.partition(ending)[0]
        return code.rpartition("# Solution\n")[2]

    def program(self, problem: AssertionProblem, codes: Sequence[str]) -> Program:
        from selfcodealign.sandbox import Program

        (code,) = codes
        # The context executes the answer, so the program contains the answer as a string.
        response = fence(f"__answer__ = {code!r}\n")
        limits = limit_cpu(SECONDS)
        return Program(
            response=response, tests=fence(problem.tests), kind="check", limits=limits, mutation_testing=False
        )

    def outcomes(self, problem: AssertionProblem, verdict: Verdict, count: int) -> list[Grade]:
        return assertion_outcome(self.name, verdict, problem)


def ask(prompt: str) -> tuple[str, str]:
    """Split a problem's text into an instruction and the beginning of the answer, like the paper's evaluation.

    The problem ends with code that the solution continues. That code begins the model's answer.
    """
    if "# SOLUTION START" in prompt:
        code = prompt.rpartition("# SOLUTION START")[0].strip()
        return f"Write a solution to the following problem:\n```python\n{code}\n```", f"```python\n{code}\n# Solution\n"
    question, _, answer = prompt.rpartition("A:")
    opened = answer.partition("BEGIN SOLUTION")[0]
    # Without the marker's own lines the text ends in the context's code block, which stays open for the solution.
    lines = [line for line in opened.strip().rstrip("#").rstrip().split("\n") if line.strip() not in ("</code>", "")]
    text = "\n".join(lines).replace("<code>", "```python")
    if text.count("```python") == 0:
        text = f"```python\n{text}" if text else "```python"
    instruction = question.strip().removeprefix("Problem:").strip()
    return instruction.replace("<code>", "```python").replace("</code>", "```"), f"{text}\n# Solution\n"
