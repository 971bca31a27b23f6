"""`selfcodealign mark`: say of one row of a run that it stays or goes, or anything else; or list what was said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.errors import RunFolderError

NO_ARGS_IS_HELP = True


def mark(
    run: Annotated[Path, typer.Argument(help="A run folder; the run may be in progress.", metavar="RUN")],
    row: Annotated[
        str | None,
        typer.Argument(help="Id of a row (seed, concepts, instruction, response), or its first digits.", metavar="ROW"),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="The data set is to have it, if it passed its tests.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="The data set must not have what is made of it.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Take back the row's label and note.")] = False,
    note: Annotated[str, typer.Option(help="Why, in your words.", metavar="TEXT")] = "",
    by: Annotated[str, typer.Option(help="Who says so; default: your user name.", metavar="NAME")] = "",
    as_list: Annotated[bool, typer.Option("--list", help="List the marks that hold, in the order made.")] = False,
) -> None:
    """Mark a row of a run: keep it, drop it, or note something.

    The labels are in RUN/marks.jsonl. The next run of the same recipe and folder honours them: its selection starts
    again, and asks no model.

    Examples:

        selfcodealign mark runs/quickstart 3f9a --drop --note "wrong units"
        selfcodealign mark runs/quickstart 3f9a --clear
        selfcodealign mark runs/quickstart --list
    """
    from selfcodealign.report.search import Search, check_id
    from selfcodealign.run_folder.folder import open_existing
    from selfcodealign.run_folder.marks import Label, Mark, add_mark, read_marks

    folder = open_existing(run)
    if as_list:
        if row or keep or drop or clear or note or by:
            raise RunFolderError("--list goes with RUN alone: leave out the row and what is said of it")
        _print_marks(run)
        return
    if row is None:
        raise RunFolderError("which row? give its id, or --list for the marks that there are")
    if keep + drop + clear > 1 or (clear and note):
        raise RunFolderError("--keep, --drop and --clear exclude each other, and --clear takes the note back, too")
    if not (keep or drop or clear or note):
        raise RunFolderError("what of that row? give --keep, --drop, --clear or --note TEXT")
    search = Search(folder)
    field, full_id = search.find(check_id(row))
    name = f"{field.removesuffix('_id')} {full_id}"
    known = read_marks(run).get(full_id)
    if clear and known is None:
        typer.echo(f"{name}: it has no mark")
        return
    # A note alone does not take a label back.
    label: Label = "keep" if keep else "drop" if drop else known.label if known and not clear else ""
    add_mark(run, Mark(full_id, label, note, by or _user()))
    said = label if keep or drop else "no mark" if clear else f"{label or 'no label'}, with your note"
    typer.echo(f"{name}: {said}; the next run of this recipe in {run} honours it")
    if keep and (status := search.value(field, full_id, "status")) not in (None, "passed"):
        typer.echo(
            f"its verdict is {status}, which no label changes: the data set gets it only where it takes such answers"
        )


def _print_marks(run: Path) -> None:
    from selfcodealign.run_folder.marks import read_marks

    for one in read_marks(run).values():
        parts = (one.row, one.label or "note", one.at, one.by, one.note)
        typer.echo(_in_one_line("  ".join(part for part in parts if part)))


def _in_one_line(text: str) -> str:
    """Without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""
