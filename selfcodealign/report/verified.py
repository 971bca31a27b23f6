"""What the answers of a run may be called: how many passed their tests, did not pass, or were not run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from selfcodealign.judging.stored import split_statuses
from selfcodealign.rows import Response
from selfcodealign.run_folder.folder import RunFolder, StageFolder


def last_answers(folder: RunFolder) -> StageFolder[Any] | None:
    """The last stage of a run that gives answers."""
    found = [one for one in folder.stages() if one.description.row_id == Response.id_field]
    return found[-1] if found else None


def count_statuses(folder: RunFolder, stage: StageFolder[Any]) -> Counter[str]:
    """The kept answers of a stage by status; "" are answers that have none."""
    files = [str(path) for path in sorted(stage.path.glob("kept-*.parquet"))]
    if not files or "status" not in stage.description.fields:
        return Counter()
    with folder.connect() as connection:
        query = "SELECT coalesce(status, ''), count(*) FROM read_parquet(?) GROUP BY 1 ORDER BY 1"
        return Counter(dict(connection.execute(query, [files]).fetchall()))


def tell_verified(statuses: Mapping[str, int]) -> str:
    """Say in one sentence how far answers are verified; "" for none.

    >>> tell_verified({"passed": 2})
    'all 2 responses passed their tests in the sandbox'
    >>> tell_verified({"passed": 2, "failed": 1, "not_run": 3})
    'of 6 responses, 2 passed their tests in the sandbox, 1 did not pass (failed 1), 3 were not run'
    """
    count, (passed, others, not_run) = sum(statuses.values()), split_statuses(statuses)
    if not count:
        return ""
    if passed == count:
        return f"all {count:,} responses passed their tests in the sandbox"
    if not_run == count:
        return f"{count:,} responses were not run: none of them is verified"
    told = [f"{passed:,} passed their tests in the sandbox"]
    if others:
        why = ", ".join(f"{name} {number:,}" for name, number in others.items())
        told.append(f"{sum(others.values()):,} did not pass ({why})")
    if not_run:
        told.append(f"{not_run:,} were not run")
    return f"of {count:,} responses, {', '.join(told)}"
