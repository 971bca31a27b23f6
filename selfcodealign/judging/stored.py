"""A stored answer is run again, and the new verdict is compared with the stored one.

`Judged` holds both verdicts of one answer. A change of the status is a flip; a passing answer that still passes may
have another proof, mutation score or `killed_by_value`, which are changes of another kind and are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose, isnan, nan
from typing import Any, ClassVar

from selfcodealign.rows import Row
from selfcodealign.sandbox import Program, Status, Verdict

#: What a stored row holds of its verdict, with the value that stands for a column that earlier versions did not write.
STORED_VERDICT: dict[str, Any] = {
    "status": "",
    "error_type": "",
    "message": "",
    "line": -1,
    "output": "",
    "seconds": 0.0,
    "peak_memory_mib": 0.0,
    "mutation_score": nan,
    "killed_by_value": None,
    "proof": "",
}
#: The columns of a stored row that judging it again needs.
NEEDED = ("response_id", "instruction_id", "response", "tests", *STORED_VERDICT)
#: Mutation scores that differ by less are the same.
SCORE_TOLERANCE = 1e-9
#: Characters of a message that name its kind.
REASON_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Row):
    """An answer's stored verdict (`before_...`) and its new one.

    `changes` names what differs: "status" alone, or of answers that pass twice "proof", "mutation_score" and
    "killed_by_value". `cause` is the type of the error or the kind of the message behind a changed status.
    """

    id_field: ClassVar[str] = "response_id"
    response_id: str
    instruction_id: str
    changes: list[str]
    cause: str
    before_status: str
    before_error_type: str
    before_message: str
    before_proof: str
    before_mutation_score: float
    before_killed_by_value: bool | None
    before_seconds: float
    status: str
    error_type: str
    message: str
    line: int
    output: str
    seconds: float
    peak_memory_mib: float
    mutation_score: float
    killed_by_value: bool | None
    proof: str

    def verdict(self) -> dict[str, Any]:
        """Return the new verdict's fields, as a row of answers stores them."""
        return {name: getattr(self, name) for name in STORED_VERDICT}


def has_program(row: Mapping[str, Any]) -> bool:
    """Return whether a stored row was run: an answer that was never read has no status."""
    return row.get("status") not in (None, "", NOT_RUN)


def program_of(row: Mapping[str, Any]) -> Program:
    """Return the program that was run for a stored row."""
    return Program(response=row.get("response") or "", tests=row.get("tests") or "")


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """Return what a stored row holds of a verdict."""
    fields = {name: getattr(verdict, name) for name in STORED_VERDICT}
    return fields | {
        "status": str(verdict.status),
        "line": -1 if verdict.line is None else verdict.line,
        "mutation_score": nan if verdict.mutation_score is None else verdict.mutation_score,
    }


#: The status of an answer that a recipe takes without running it.
NOT_RUN = "not_run"


def split_statuses(statuses: Mapping[str, int]) -> tuple[int, dict[str, int], int]:
    """Split counts of answers by status: those that passed, those that did not by status, and those that were not run.

    >>> split_statuses({"passed": 2, "not_run": 1, "failed": 3, "": 1})
    (2, {'failed': 3}, 2)
    """
    unknown = (NOT_RUN, "")
    ended = {name: count for name, count in sorted(statuses.items()) if name not in (Status.PASSED, *unknown)}
    return statuses.get(Status.PASSED, 0), ended, sum(statuses.get(name, 0) for name in unknown)


def not_run_fields() -> dict[str, Any]:
    """Return what a stored row holds in the place of a verdict where nothing was run."""
    return {**STORED_VERDICT, "status": NOT_RUN}


def compare_verdicts(row: Mapping[str, Any], verdict: Verdict) -> Judged:
    """Put the stored verdict of a row and its new one side by side."""
    before = {name: default if row.get(name) is None else row[name] for name, default in STORED_VERDICT.items()}
    if before["status"] == Status.PASSED and "proof" not in row:
        before["proof"] = "shared"  # all there was before passing programs were run apart from their tests
    now = verdict_fields(verdict)
    changes = _find_changes(before, now, [name for name in STORED_VERDICT if name in row or name == "proof"])
    told = ("status", "error_type", "message", "proof", "mutation_score", "killed_by_value", "seconds")
    return Judged(
        response_id=row["response_id"],
        instruction_id=row["instruction_id"],
        changes=changes,
        cause=_explain(before, now) if "status" in changes else "",
        **{f"before_{name}": before[name] for name in told},
        **now,
    )


def _find_changes(before: Mapping[str, Any], now: Mapping[str, Any], known: list[str]) -> list[str]:
    if before["status"] != now["status"]:
        return ["status"]
    if now["status"] != Status.PASSED:
        return []
    same = {name: before[name] == now[name] for name in ("proof", "killed_by_value")}
    scores = before["mutation_score"], now["mutation_score"]
    same["mutation_score"] = all(map(isnan, scores)) or isclose(*scores, abs_tol=SCORE_TOLERANCE)
    return [name for name in ("proof", "mutation_score", "killed_by_value") if name in known and not same[name]]


def _explain(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name what ended the program, now or, where it passes now, before."""
    ended = before if now["status"] == Status.PASSED else now
    return ended["error_type"] or kind_of(ended["message"]) or ended["status"]


def kind_of(message: str) -> str:
    """Return a message without what differs from program to program: numbers, quoted texts, further lines.

    >>> kind_of("the task_7 of 12 tests said 'no'\\nmore")
    "the task_N of N tests said '…'"
    """
    line = message.strip().partition("\n")[0]
    line = re.sub(r"'[^']*'", "'…'", re.sub(r'"[^"]*"', '"…"', line))
    line = re.sub(r"\d+(?:\.\d+)?", "N", line)
    return line if len(line) <= REASON_CHARACTERS else f"{line[: REASON_CHARACTERS - 1]}…"
