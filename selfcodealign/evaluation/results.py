"""Writes the results of an evaluation: rows per answer, and EvalPlus's result file for tools that read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfcodealign.benchmarks import Grade, Problem
from selfcodealign.benchmarks.differential import CallProblem
from selfcodealign.errors import RunFolderError
from selfcodealign.evaluation.samples import Sample
from selfcodealign.files import make_folder, replace_file, write_json_lines, write_text

#: A judged answer: task, answer, outcome.
Judged = tuple[Problem, Sample, Grade]


def result_row(problem: Problem, sample: Sample, outcome: Grade) -> dict[str, Any]:
    """Return one answer as a row of results.jsonl and results.parquet; score values are columns named "value:SCORE"."""
    row: dict[str, Any] = {
        "task_id": problem.task_id,
        "sample": sample.sample,
        "group": problem.group,
        "status": outcome.status,
        "detail": sample.detail or outcome.detail,
        "seconds": round(outcome.seconds, 4),
        "finish_reason": sample.finish_reason,
        "no_code": sample.no_code,
        "text": sample.text,
        "solution": sample.solution,
    }
    for name, suite in outcome.suites.items():
        row |= {f"{name}_status": suite.status, f"{name}_first_failing": suite.index}
    return row | {f"value:{score}": value for score, value in outcome.values.items()}


def write_results(folder: Path, judged: Sequence[Judged]) -> None:
    """Write results.jsonl and results.parquet, one row per answer."""
    import pyarrow
    import pyarrow.parquet

    rows = [result_row(*one) for one in judged]
    make_folder(folder, error=RunFolderError)
    write_json_lines(folder / "results.jsonl", rows, error=RunFolderError)
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pyarrow.table({name: [_as_utf8(row.get(name)) for row in rows] for name in names})
    with replace_file(folder / "results.parquet", error=RunFolderError) as part:
        pyarrow.parquet.write_table(table, part, compression="zstd")


def _as_utf8(value: Any) -> Any:
    # Parquet holds UTF-8, which has no lone surrogates; they become escapes. The JSON files hold them as they are.
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def write_evalplus(path: Path, judged: Sequence[Judged], md5: str) -> None:
    """Write EvalPlus's result file: {"date", "hash", "eval": {task_id: [{task_id, solution, base_status, …}]}}.

    `base_fail_tests` and `plus_fail_tests` hold the first failing call, as EvalPlus does without --test-details.
    Answers that could not be judged have the status null.
    """
    tasks: dict[str, list[dict[str, Any]]] = {}
    for problem, sample, outcome in judged:
        tasks.setdefault(problem.task_id, []).append(_evalplus_entry(problem, sample, outcome))
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    write_text(path, json.dumps({"date": date, "hash": md5, "eval": tasks}), error=RunFolderError)


def _evalplus_entry(problem: Problem, sample: Sample, outcome: Grade) -> dict[str, Any]:
    entry: dict[str, Any] = {"task_id": problem.task_id, "solution": sample.solution}
    statuses: dict[str, str | None] = {name: suite.status for name, suite in outcome.suites.items()}
    if not statuses and outcome.status != "not_judged":
        # One suite of assertions: EvalPlus has a single status for all kinds of failure except time-outs.
        statuses["base"] = {"passed": "pass", "timeout": "timeout"}.get(outcome.status, "fail")
    first, second = ([*statuses, "base", "plus"][:2] if len(statuses) < 2 else list(statuses))[:2]
    for field, suite in (("base", first), ("plus", second)):
        entry[f"{field}_status"] = statuses.get(suite) if field == "base" or len(statuses) > 1 else None
    for field, suite in (("base", first), ("plus", second)):
        found = outcome.suites.get(suite) if field == "base" or len(statuses) > 1 else None
        calls = problem.shown.get(suite, []) if isinstance(problem, CallProblem) else []
        failing = found is not None and found.status != "pass" and 0 <= found.index < len(calls)
        entry[f"{field}_fail_tests"] = [calls[found.index]] if failing and found else []
    return entry
