"""The stored answers of a stage, judged again into a table of the run folder.

    RUN/rejudged/1/       one folder per version and limits, filled as a stage is: shards of `Judged` rows
      judged.json         which version and settings judged, and in the end what has changed

The answers flow as rows of a stage do: finished verdicts are on disk soon after, memory holds the rows under way, and
the same call resumes after a kill.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from selfcodealign.engine.flow import RowWork, flow
from selfcodealign.judging.stored import NEEDED, Judged, compare_verdicts, has_program, program_of
from selfcodealign.progress import Progress
from selfcodealign.run_folder.folder import REJUDGED, Description, StageFolder, read_json, write_json
from selfcodealign.stages.context import Context

#: The folder in a run for the tables, and the file in a table that says what it is.
TABLES, FACTS = "rejudged", "judged.json"
#: The name under which progress is told.
TASK = "rejudge"
#: Programs under way per worker of the sandbox: the next one waits when one ends.
AHEAD_PER_WORKER = 2
#: What of the package decides a verdict.
JUDGE = ("sandbox", "fences.py", "markdown.py", "parsing.py", "wrappings.py")

_DESCRIPTION = Description("Judged", Judged.id_field, Judged.id_field, None, Judged.field_names())


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored answer on its way to the sandbox."""

    id: str
    row: Mapping[str, Any]


def describe_judge(context: Context) -> dict[str, Any]:
    """What decides the verdicts: this version, to the last line of its sandbox, and the settings."""
    state, package = hashlib.blake2b(digest_size=8), Path(__file__).parents[1]
    for name in JUDGE:
        for path in sorted((package / name).rglob("*.py")) if (package / name).is_dir() else [package / name]:
            state.update(path.read_bytes())
    return {
        "selfcodealign": version("selfcodealign"),
        "sandbox": state.hexdigest(),
        "python": platform.python_version(),
        "settings": context.deciding("execution"),
    }


def find_table(context: Context, answers: StageFolder[Any], *, fresh: bool = False) -> StageFolder[Judged]:
    """Return the table of these answers, this version and these settings; a new one if there is none, or if `fresh`."""
    state = answers.state()
    wanted = {"judge": describe_judge(context), "stage": answers.name}
    wanted |= {"decided_by": state.get("decided_by"), REJUDGED: state.get(REJUDGED)}
    folder = context.folder.path / TABLES
    numbers = sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())
    for number in reversed([] if fresh else numbers):
        known = read_json(folder / str(number) / FACTS)
        if all(known.get(name) == value for name, value in wanted.items()):
            return open_table(folder / str(number))
    path = folder / str(numbers[-1] + 1 if numbers else 1)
    path.mkdir(parents=True)
    write_json(path / FACTS, wanted)
    return open_table(path)


def open_table(path: Path) -> StageFolder[Judged]:
    """Return the table in a folder."""
    table: StageFolder[Judged] = StageFolder(path, _DESCRIPTION, Judged)
    table.name = TASK
    return table


async def judge_again(context: Context, answers: StageFolder[Any], table: StageFolder[Judged]) -> None:
    """Run every stored answer that has a program, unless the table has its verdict. Raises `SandboxError`."""
    shown = _Told(context.progress)
    total = sum(has_program(row) for _, row in answers.shards.outcomes(("status",)))

    async def judge(stored: _Stored) -> list[Judged]:
        judged = compare_verdicts(stored.row, await context.sandbox.run(program_of(stored.row)))
        shown.tell(judged)
        return [judged]

    rows_at_once = AHEAD_PER_WORKER * context.cores
    work = RowWork(table, judge, rows_at_once, context.deciding("execution"), from_outside=True)
    await flow([work], _read(answers), total, flush_seconds=context.recipe.flush_seconds, progress=shown)


def _read(answers: StageFolder[Any]) -> Iterator[_Stored]:
    for _, row in answers.shards.outcomes(NEEDED):
        if has_program(row):
            yield _Stored(row["response_id"], row)


class _Told(Progress):
    """Tells a flow of verdicts: verdicts that stay are kept, the others are shown by what they became."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._flips = 0

    def tell(self, judged: Judged) -> None:
        flipped = "status" in judged.changes
        self._flips += flipped
        became = [f"{judged.before_status} → {judged.status}"] * flipped
        self._shown.advance(TASK, kept=1 - flipped, dropped=became)

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        self._shown.start(task, total, "programs")

    def expect(self, task: str, total: int | None) -> None:
        self._shown.expect(task, total)

    def skip(self, task: str, count: int = 1) -> None:
        self._shown.skip(task, count)

    def finish(self, task: str, summary: str = "") -> None:
        self._shown.finish(task, "all judged")

    def say(self, text: str) -> None:
        self._shown.say(text)
