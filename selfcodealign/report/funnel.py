"""The funnel of a run: how many rows entered each stage, how many it kept, and why it dropped the others.

Numbers have units, because a stage may make rows of another kind than it is given: in 1,203 files, 8,410 functions
were looked at, and 400 became seeds. Drops of what came in (a file without functions) are counted apart from drops of
what was made of it (a function without a docstring).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from selfcodealign.report.answers import NO_CODE
from selfcodealign.report.asked import draw_asked, read_asked
from selfcodealign.report.authors import find_authors
from selfcodealign.report.verified import count_statuses, last_answers, tell_verified
from selfcodealign.rows import Books, Response, unit_of
from selfcodealign.run_folder.folder import COUNTED, RunFolder, StageFolder, open_existing

#: How many of a stage's own fields tell whether a drop is of a row that it made: its id, and the first fact after it
#: for stages that draw before they have an id. Reading all texts would be slow.
_TELLING_FIELDS = 2
NO_DATA_SET = "the data set is not written yet: run the recipe to its stage dataset"
#: The page about a run, in its folder.
REPORT = "report.html"
#: Stands behind what a run has left as it was, though something above it has changed.
OF_EARLIER = " (of earlier rows)"


@dataclass(frozen=True)
class StageAccount:
    """One line of the funnel.

    `came`, `made` and `stayed` are the units of what entered, of what the stage made of it, and of what it kept. The
    drops in `whole` are of what entered, all others in `books.dropped` of what was made of it. `earlier` says that the
    rows are those of earlier settings or inputs, which the last run did not come to. `stopped` names the budget that
    let no further rows in. `again` counts the rows that the stage before kept and whose id had come before: rows of one
    id are one row.
    """

    name: str
    books: Books
    finished: bool
    came: str = "rows"
    made: str = "rows"
    stayed: str = "rows"
    whole: Mapping[str, int] = field(default_factory=dict)
    earlier: bool = False
    stopped: str = ""
    again: int = 0

    @property
    def in_part(self) -> dict[str, int]:
        """Drops of what was made, by reason; empty for a stage that only filters."""
        left = {reason: count - self.whole.get(reason, 0) for reason, count in self.books.dropped.items()}
        return {reason: count for reason, count in left.items() if count}

    @property
    def looked_at(self) -> int | None:
        """How many `made` there were, kept or dropped; None where they are the ones that entered."""
        return self.books.kept + sum(self.in_part.values()) if self.in_part else None

    def units(self) -> str:
        """The units in one line: `files → functions → seeds`."""
        return " → ".join(dict.fromkeys([self.came, *([self.made] if self.in_part else []), self.stayed]))


def read_funnel(path: Path) -> list[StageAccount]:
    """Read the account of every stage that has begun; a run in progress may be read."""
    return account_for(open_existing(path))


def account_for(folder: RunFolder) -> list[StageAccount]:
    """The accounts of a run's stages, in the order of its journey."""
    stages = {stage.name: stage for stage in folder.stages()}
    return [_account(stage, stages) for stage in stages.values()]


def _account(stage: StageFolder[Any], stages: Mapping[str, StageFolder[Any]]) -> StageAccount:
    about, books = stage.description, stage.books()
    came, stayed = unit_of(about.parent, kind=stage.seed_kind), unit_of(about.row_id)
    made = unit_of(about.row_id, candidates=True, kind=stage.seed_kind)
    before = stages.get(about.after or "")
    again = _count_again(before, stage)
    if about.parent == about.row_id:
        return StageAccount(
            stage.name, books, stage.finished, came, came, stayed, books.dropped, stage.earlier, stage.stopped, again
        )
    given = before.description.fields if before is not None else ()
    own = [about.row_id, *(name for name in about.fields if name not in given and name != about.row_id)]
    # The rows of a source have no stage before: all their fields are its own, and some may be known of the parent.
    telling = own[:_TELLING_FIELDS] if before is not None else own[:1]
    whole = stage.shards.drops_of_parents(telling) if books.dropped else {}
    return StageAccount(
        stage.name, books, stage.finished, came, made, stayed, whole, stage.earlier, stage.stopped, again
    )


def _count_again(before: StageFolder[Any] | None, stage: StageFolder[Any]) -> int:
    """The rows that came and did not enter, where both stages have seen all of theirs."""
    if before is None or not (before.finished and stage.finished) or stage.earlier or stage.stopped:
        return 0
    return max(0, before.books().kept - stage.books().entered)


def draw_funnel(accounts: list[StageAccount]) -> Table:
    """Draw the funnel as a table."""
    table = Table(title="Where the rows went", title_justify="left")
    table.add_column("stage")
    for name in ("in", "kept"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("dropped, and why")
    for one in accounts:
        unfinished = f" (stopped by {one.stopped})" if one.stopped else " (not finished)"
        name = one.name + (unfinished if not one.finished else OF_EARLIER if one.earlier else "")
        entered = [f"{one.books.entered:,} {one.came}", *([f"{one.again:,} came twice"] if one.again else [])]
        if one.looked_at is not None:
            entered.append(f"{one.looked_at:,} {one.made}")
        drops = [(dict(one.whole), one.came), (one.in_part, one.made)]
        why = "\n".join(_tell_drops(reasons, unit) for reasons, unit in drops if reasons)
        table.add_row(name, "\n".join(entered), f"{one.books.kept:,} {one.stayed}", Text(why))
    return table


def _tell_drops(reasons: Mapping[str, int], unit: str) -> str:
    told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    return f"{sum(reasons.values()):,} {unit}: {told}"


def no_code_share(account: StageAccount) -> str | None:
    """Say how many of the answers that a stage judged hold no code; None for a stage that judges no answers."""
    judged = account.books.kept + sum(account.in_part.values())
    if account.made != unit_of(Response.id_field) or not judged:
        return None
    without = account.books.dropped.get(NO_CODE, 0)
    return f"answers without code: {without:,} of {judged:,} ({100 * without / judged:.1f} %)"


#: Stages that train a model, its folder, and what it is.
_TRAINED = (
    ("train", "tuned", "tuned model"),
    ("dpo", "dpo", "model trained on pairs"),
    ("grpo", "grpo", "model trained on verdicts"),
)


def print_funnel(path: Path, console: Console) -> None:
    """Print the funnel, what the model was asked, who wrote what and how far it is verified, the share of answers
    without code, where data set and tuned model are, and the scores."""
    accounts = read_funnel(path)
    console.print(draw_funnel(accounts))
    for one in accounts:
        if one.came != one.made and (share := no_code_share(one)):
            some = f": selfcodealign show {path} --stage {one.name} --reason {NO_CODE} --sample 3"
            console.print(share + (some if one.books.dropped.get(NO_CODE) else ""), soft_wrap=True, highlight=False)
    folder = open_existing(path)
    if (asked := read_asked(folder)).stages:
        console.print(draw_asked(asked))
    for line in _tell_texts(folder):
        console.print(line, soft_wrap=True, highlight=False)
    journey = folder.journey()
    for stage, counts in folder.facts().get(COUNTED, {}).items():
        if stage in journey:
            told = ", ".join(f"{what} {number:,}" for what, number in sorted(counts.items()))
            console.print(f"{stage}: {told}", soft_wrap=True, highlight=False)
    earlier = folder.earlier()
    which = {name: OF_EARLIER if name in earlier else "" for name in ("dataset", "train", "dpo", "grpo", "evaluate")}
    if "dataset" in journey:
        written = (path / "dataset" / "README.md").is_file()
        line = f"data set{which['dataset']}: {path / 'dataset'}" if written else NO_DATA_SET
        console.print(line, soft_wrap=True, highlight=False)
    for stage, output, what in _TRAINED:
        if stage in journey and (path / output / "train_report.html").is_file():
            where = f"{path / output} (see train_report.html)"
            console.print(f"{what}{which[stage]}: {where}", soft_wrap=True, highlight=False)
    if "evaluate" in journey and (path / "evaluation" / "scores.md").is_file():
        if which["evaluate"]:
            console.print(f"scores{which['evaluate']}:")
        console.print(Markdown((path / "evaluation" / "scores.md").read_text("utf-8")))
    if (path / REPORT).is_file():
        console.print(f"report: {path / REPORT}", soft_wrap=True, highlight=False)


def _tell_texts(folder: RunFolder) -> Iterator[str]:
    """Say who wrote which text, and how far the answers are verified."""
    authors = find_authors(folder)
    kinds = [stage.seed_kind for stage in folder.stages()[:1]]
    by: dict[str, list[str]] = {}
    for one in authors:
        by.setdefault(one.describe(kinds).replace("`", ""), []).append(one.field)
    told = [f"{', '.join(dict.fromkeys(fields))}: {who}" for who, fields in by.items()]
    if told:
        yield f"written by: {'; '.join(told)}"
    last = last_answers(folder)
    if last is not None and (verified := tell_verified(count_statuses(folder, last))):
        yield f"{verified} (kept by {last.name})"


def funnel_json(path: Path) -> str:
    """Write the funnel as JSON: the `stages`, and what was `asked` by all of them together.

    Of a stage, `again` rows came a second time and are not counted as `in`; `made` of `units.made` were looked at, null
    where those are the ones that came in; its `asked` has the requests and tokens of a stage that asked the model, null
    of others; `wrote` the texts that it wrote, with the model it asked for them (null: none), and `statuses` its kept
    answers by status.
    """
    folder = open_existing(path)
    account, authors, stages = read_asked(folder), find_authors(folder), {one.name: one for one in folder.stages()}
    asked = account.stages
    accounts = [
        {
            "stage": one.name,
            "finished": one.finished,
            "earlier": one.earlier,
            "stopped": one.stopped,
            "in": one.books.entered,
            "again": one.again,
            "kept": one.books.kept,
        }
        | {"dropped": one.books.dropped, "made": one.looked_at, "dropped_whole": dict(one.whole)}
        | {"units": {"in": one.came, "made": one.made, "kept": one.stayed}}
        | {"asked": asked[one.name].fields() if one.name in asked else None}
        | {"wrote": {author.field: author.model or None for author in authors if author.stage == one.name}}
        | {"statuses": dict(count_statuses(folder, stages[one.name]))}
        for one in account_for(folder)
    ]
    told = {name: value for name, value in account.fields().items() if name != "stages"} if asked else None
    return json.dumps({"stages": accounts, "asked": told}, indent=1)
