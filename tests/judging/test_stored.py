"""A stored verdict beside a new one: what counts as a flip, and what behind it."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from selfcodealign.judging.stored import compare_verdicts, has_program, verdict_fields
from selfcodealign.sandbox import Status, Verdict
from tests.support.rows import make_response

PASSED = Verdict(Status.PASSED, mutation_score=1.0, killed_by_value=True, proof="shared")


def _stored(**changes: Any) -> dict[str, Any]:
    return make_response(1, **changes).fields()


def test_the_same_verdict_is_no_change() -> None:
    """Measured times and memory differ from run to run; a score that was not measured twice is the same."""
    assert compare_verdicts(_stored(seconds=9.0), PASSED).changes == []
    unscored = Verdict(Status.PASSED, killed_by_value=True, proof="shared")
    assert compare_verdicts(_stored(mutation_score=nan), unscored).changes == []
    failed = _stored(status="failed", error_type="AssertionError", message="1 != 2")
    assert compare_verdicts(failed, Verdict(Status.FAILED, "AssertionError", "3 != 4")).changes == []


@pytest.mark.parametrize(
    ("verdict", "cause"),
    [
        (Verdict(Status.ERROR, "KeyError", "'a'"), "KeyError"),
        (Verdict(Status.TIMEOUT, message="ran longer than 0.25 s"), "ran longer than N s"),
        (Verdict(Status.NO_TESTS), "no_tests"),
    ],
)
def test_a_flip_names_what_ended_the_program(verdict: Verdict, cause: str) -> None:
    """The error's type, else the kind of the message, else the status; of an answer that passes now, the one before."""
    judged = compare_verdicts(_stored(), verdict)
    assert (judged.changes, judged.before_status, judged.status) == (["status"], "passed", verdict.status)
    assert judged.cause == cause
    back = compare_verdicts(_stored(**verdict_fields(verdict)), PASSED)
    assert (back.changes, back.cause) == (["status"], cause)


def test_other_evidence_of_a_pass_is_no_flip() -> None:
    """Proof, score and values change without the status; all three are named."""
    other = Verdict(Status.PASSED, mutation_score=0.5, killed_by_value=False, proof="split")
    assert compare_verdicts(_stored(), other).changes == ["proof", "mutation_score", "killed_by_value"]


def test_rows_of_earlier_versions_lack_columns() -> None:
    """A pass without the column counts as shared; what was never measured has not changed."""
    old = {name: value for name, value in _stored().items() if name not in ("proof", "killed_by_value")}
    judged = compare_verdicts(old, Verdict(Status.PASSED, mutation_score=1.0, killed_by_value=False, proof="split"))
    assert (judged.before_proof, judged.proof, judged.changes) == ("shared", "split", ["proof"])
    assert has_program(old)
    assert not has_program({"status": None})
