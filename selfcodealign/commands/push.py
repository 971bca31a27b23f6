"""`selfcodealign push`: bring a run's data set or a tuned model to the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from selfcodealign.publishing.parcel import Parcel
    from selfcodealign.publishing.upload import Target

NO_ARGS_IS_HELP = True
#: More names are counted.
SHOWN = 12


def push(
    path: Annotated[
        Path,
        typer.Argument(help="A run folder: its data set. The folder of a tuned model: the model.", metavar="PATH"),
    ],
    repository: Annotated[
        str, typer.Argument(help="Where to: OWNER/NAME, or NAME below your own name.", metavar="REPO")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go; needs neither network nor token.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the upload.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Push on top of files that no push has put there.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="State this licence in the card's metadata.", metavar="ID"),
    ] = None,
    report: Annotated[
        bool, typer.Option("--with-report", help="Add the page: RUN/report.html, or a model's train_report.html.")
    ] = False,
) -> None:
    """Bring a run's data set, or a tuned model, to the Hugging Face hub, with its card.

    Of a data set go the rows, the card, Croissant metadata and who wrote what; of a model weights, tokenizer and a card
    with its scores. Journals, checkpoints, hidden files and links that lead out of the folder stay.

        selfcodealign push runs/mine ada/my-instructions --dry-run
        selfcodealign push runs/mine ada/my-instructions --private
        selfcodealign push runs/mine/tuned ada/my-model
    """
    import sys

    from selfcodealign.publishing.choose import pack
    from selfcodealign.publishing.parcel import check_repository

    check_repository(repository)
    parcel = pack(path, repository, licence=licence or "", report=report)
    if dry_run:
        _tell(parcel, repository, "private" if private else "public")
        return
    from selfcodealign.publishing.upload import check_target, look_at, open_hub, send

    api = open_hub()
    target = look_at(api, parcel, repository)
    if target.repository != repository:
        parcel = pack(path, target.repository, licence=licence or "", report=report)
    check_target(target, parcel, private=private, overwrite=overwrite)
    exists = target.commit is not None
    _tell(parcel, target.repository, "private" if (target.private if exists else private) else "public", target)
    if not yes:
        _ask(target.repository)
    try:
        where = send(api, parcel, target, private=private, say=print)
    except KeyboardInterrupt:
        print("stopped; no file has changed on the hub, and the same command goes on", file=sys.stderr)
        raise
    print(f"pushed: {where}" if where else f"{target.repository} holds all of it already: nothing has changed")


def _tell(parcel: Parcel, repository: str, readers: str, target: Target | None = None) -> None:
    from selfcodealign.publishing.parcel import tell_bytes

    kind = "data set" if parcel.kind == "dataset" else "model"
    print(f"{parcel.what} → {kind} {repository} ({readers})")
    for name in list(parcel.files)[:SHOWN]:
        print(f"  {name}  {tell_bytes(parcel.size(name))}")
    if len(parcel.files) > SHOWN:
        print(f"  … and {len(parcel.files) - SHOWN} more files")
    print(f"{len(parcel.files)} files, {tell_bytes(parcel.total_bytes)}; licence: {parcel.licence or 'none'}")
    if parcel.left_out:
        print(f"stays here: {_list(parcel.left_out)}")
    if target is not None and (replaced := target.replaced(parcel)):
        print(f"replaces: {_list(replaced)}")
    if target is not None and (removed := target.removed(parcel)):
        print(f"removes, of an earlier push: {_list(removed)}")
    if parcel.missing:
        print(f"the card lacks: {', '.join(parcel.missing)}")
    for note in parcel.notes:
        print(f"note: {note}")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _ask(repository: str) -> None:
    import sys

    from selfcodealign.errors import PublishError

    if not sys.stdin.isatty():
        raise PublishError(f"nobody is here to be asked whether this may go to {repository}: give --yes")
    if not typer.confirm("Upload?"):
        raise typer.Abort
