"""CRUXEval (Gu et al. 2024, arXiv 2401.03065): predict what a short function returns, or an input for what it returns.

The answer is one expression: a value (`cruxeval-o`), or a call of `f` (`cruxeval-i`). It is right when
`assert OUTPUT == ANSWER` holds after the task's code. An answer may also be given as that whole assertion. Prompts ask
for the answer at once, without a chain of thought; their wording is this package's, so published scores of models
differ a little.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from selfcodealign.benchmarks import Benchmark, Grade, Mode, Problem, Prompt
from selfcodealign.benchmarks.answers import find_solution
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields
from selfcodealign.benchmarks.programs import judge_program, read_grades

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: CPU time of one answer. The official limit is as much wall time.
SECONDS = 3.0
_PROGRAM_SECONDS = 60.0
#: The worked examples of completion mode: code, input, output.
_WORKED = (
    ("def f(words, mark):\n    words.append(mark)\n    return words[::-1]", "['x', 'y'], '-'", "['-', 'y', 'x']"),
    ("def f(n):\n    return {k: k * n for k in range(2)}", "4", "{0: 0, 1: 4}"),
)
_ASK = {
    "output": "Work out what this function returns for the input in the assertion. Write the assertion with the value, "
    "as a literal, in place of the question marks; change nothing else.",
    "input": "Find arguments for which this function returns the value in the assertion (any that do will serve). "
    "Write the assertion with them in place of the question marks; change nothing else.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction(Problem):
    """A task: `code` defines `f`, and an answer has to equal `expected`, an expression."""

    code: str
    expected: str


class CruxEval(Benchmark[Prediction]):
    """Both directions use the same file."""

    answers_per_program = 16
    completion_stop = ("\n",)

    def __init__(self, wanted: Literal["input", "output"]) -> None:
        self.wanted: Literal["input", "output"] = wanted
        self.name = f"cruxeval-{wanted[0]}"
        self.source = Source(
            hub="cruxeval-org/cruxeval", versions={"909218466adc7ef626ae886ddb79a42d": "CRUXEval, 800 tasks"}
        )
        self.scores = (self.name,)

    def problems(self, rows: Sequence[Row]) -> list[Prediction]:
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> Prediction:
        check_fields(self.name, row, ("id", "code", "input", "output"))
        code, given, returned = row["code"], row["input"], row["output"]
        head = f"assert f({given}) ==" if self.wanted == "output" else "assert f"
        asked = f"assert f({given}) == ??" if self.wanted == "output" else f"assert f(??) == {returned}"
        worked = [*(_show(*one, self.wanted, whole=True) for one in _WORKED)]
        return Prediction(
            task_id=row["id"],
            prompt="\n\n".join([*worked, _show(code, given, returned, self.wanted, whole=False)]),
            instruction=f"{_ASK[self.wanted]}\n```python\n{code}\n\n{asked}\n```",
            response_prefix=f"```python\n{head}",
            reference=returned if self.wanted == "output" else f"f({given})",
            code=code,
            expected=returned,
        )

    def prompt(self, problem: Prediction, mode: Mode) -> Prompt:
        if mode == "chat":
            return Prompt(problem.instruction, problem.response_prefix, ("\n",))
        return super().prompt(problem, mode)

    def solution(self, problem: Prediction, text: str) -> str:
        """Return the predicted expression in a model's answer, which holds it in an assertion or alone."""
        code = find_solution(text)
        lines = [line.strip() for line in code.splitlines() if line.strip().startswith("assert f(")]
        return self.join(problem, lines[-1] if lines else code)

    def join(self, problem: Prediction, code: str) -> str:
        """Return the expression that continues a completion prompt, or that an assertion holds."""
        if self.wanted == "input" and code.startswith("("):
            code = f"assert f{code}"
        return find_prediction(code, self.wanted)

    def program(self, problem: Prediction, codes: Sequence[str]) -> Program:
        data = {
            "code": problem.code,
            "expected": problem.expected,
            "answers": [find_prediction(code, self.wanted) for code in codes],
            "calls": self.wanted == "input",
            "seconds": SECONDS,
        }
        return judge_program("predictions", data, _PROGRAM_SECONDS * len(codes))

    def outcomes(self, problem: Prediction, verdict: Verdict, count: int) -> list[Grade]:
        return read_grades(self.name, verdict, count)


def find_prediction(text: str, wanted: Literal["input", "output"]) -> str:
    """Return one side of the assertion that ends a text; a text without one is stripped.

    >>> find_prediction("def f(x):\\n    return x\\nassert f('==') == '=='", "output")
    "'=='"
    >>> find_prediction("assert f(2) == 3", "input")
    'f(2)'
    >>> find_prediction(" [1, 2]  # the list", "output")
    '[1, 2]  # the list'
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            last = ast.parse(text).body[-1:]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text.strip()
    if not last or not isinstance(last[0], ast.Assert) or not isinstance(last[0].test, ast.Compare):
        return text.strip()
    compared = last[0].test
    side = compared.left if wanted == "input" else compared.comparators[-1]
    return ast.get_source_segment(text, side) or text.strip()


def _show(code: str, given: str, returned: str, wanted: str, *, whole: bool) -> str:
    """Return a task as a base model reads it, with its answer where `whole`."""
    if wanted == "output":
        return f"{code}\n\nassert f({given}) ==" + (f" {returned}" if whole else "")
    # The value comes first, because the arguments are written next.
    return f"{code}\n\n# f(...) == {returned}\nassert f" + (f"({given}) == {returned}" if whole else "")
