"""The funnel of a run: how many rows entered each stage, how many it kept, and why it dropped the others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from selfcodealign.rows import Books
from selfcodealign.run_folder.folder import open_existing


@dataclass(frozen=True)
class StageAccount:
    """One line of the funnel."""

    name: str
    books: Books
    finished: bool


def read_funnel(path: Path) -> list[StageAccount]:
    """Read the account of every stage that has begun; a run in progress may be read."""
    return [StageAccount(stage.name, stage.books(), stage.finished) for stage in open_existing(path).stages()]


def draw_funnel(accounts: list[StageAccount]) -> Table:
    """Draw the funnel as a table."""
    table = Table(title="Where the rows went", title_justify="left")
    for name, side in (("stage", "left"), ("in", "right"), ("kept", "right"), ("dropped", "right"), ("why", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for account in accounts:
        books = account.books
        why = ", ".join(f"{reason} {count}" for reason, count in books.dropped.items())
        name = account.name if account.finished else f"{account.name} (not finished)"
        table.add_row(name, str(books.entered), str(books.kept), str(sum(books.dropped.values())), Text(why))
    return table


def print_funnel(path: Path, console: Console) -> None:
    """Print the funnel, the places of data set and tuned model, and the scores."""
    console.print(draw_funnel(read_funnel(path)))
    if (path / "dataset" / "README.md").is_file():
        console.print(f"data set: {path / 'dataset'}", soft_wrap=True, highlight=False)
    if (path / "tuned" / "train_report.html").is_file():
        console.print(f"tuned model: {path / 'tuned'} (see train_report.html)", soft_wrap=True, highlight=False)
    if (path / "evaluation" / "scores.md").is_file():
        console.print(Markdown((path / "evaluation" / "scores.md").read_text("utf-8")))


def funnel_json(path: Path) -> str:
    """Write the funnel as JSON."""
    accounts = [
        {"stage": one.name, "finished": one.finished, "in": one.books.entered, "kept": one.books.kept}
        | {"dropped": one.books.dropped}
        for one in read_funnel(path)
    ]
    return json.dumps(accounts, indent=1)
