"""From a model's answer to a response row: the program in it, and the row with what happened when it was run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from selfcodealign.fences import read_answer, read_tests
from selfcodealign.generation.question import Answer
from selfcodealign.rows import Instruction, Response, grow
from selfcodealign.sandbox import Program
from selfcodealign.stages.siblings import unmeasured


class Written(NamedTuple):
    """What a model wrote, the program that was read of it, and what was repaired."""

    completion: str
    program: Program
    repairs: str


def read_written(answer: Answer) -> Written:
    """The program in an answer; without a section of tests, its tests are empty.

    What is verified is what the data set holds: the sections as they were read, not as they were written.
    """
    response = read_answer(answer.sections["response"])
    text, repairs = "", (*answer.repairs, *response.repairs)
    if "tests" in answer.sections:
        tests = read_tests(answer.sections["tests"])
        text, repairs = tests.text, (*repairs, *tests.repairs)
    program = Program(response=response.text, tests=text)
    return Written(answer.text, program, ", ".join(dict.fromkeys(repairs)))


def grow_response(
    row: Instruction, response_id: str, sample: int, written: Written, verdict: Mapping[str, Any]
) -> Response:
    """The response to a row; `verdict` has the fields of a stored one (`verdict_fields`, `not_run_fields`)."""
    return grow(
        row,
        Response,
        response_id=response_id,
        sample=sample,
        completion=written.completion,
        response=written.program.response,
        tests=written.program.tests,
        repairs=written.repairs,
        **verdict,
        **unmeasured(),
    )
