"""A run's data set as a parcel: rows, card and Croissant, and the report where it is wanted."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq

from selfcodealign.dataset.authors import AUTHORS_FILE
from selfcodealign.dataset.croissant import CROISSANT
from selfcodealign.errors import PublishError, reason_of
from selfcodealign.files import read_text
from selfcodealign.publishing.cards import read_card
from selfcodealign.publishing.parcel import CARD, Parcel, local_places, pick_files, refuse_secrets
from selfcodealign.run_folder.folder import open_existing

REPORT = "report.html"
_PATTERNS = (CARD, CROISSANT, AUTHORS_FILE, "data/*.parquet")
#: Rows of an earlier push: a reader of the pattern `data/*` would load them, too.
_ROWS = re.compile(r"data/train-[0-9a-f]{16}-\d{5}-of-\d{5}\.parquet")
#: What the hub shows and searches, with what a reader loses without it.
_EXPECTED = ("license", "size_categories", "task_categories", "language", "tags", "configs")
#: How the card tells others to load it.
_PLACEHOLDER = 'load_dataset("OWNER/NAME"'


def pack_dataset(path: Path, repository: str, *, licence: str = "", report: bool = False) -> Parcel:
    """What goes to the hub of the data set of a run, or of a data set's folder. Raises `PublishError`."""
    folder = path / "dataset" if (path / "run.json").is_file() else path
    notes = _refuse_unfinished(path) if folder != path else []
    picked, left = pick_files(folder, _PATTERNS)
    rows = _count_rows([file for name, file in picked.items() if name.endswith(".parquet")])
    if not rows:
        raise PublishError(f"the data set in {folder} has no rows: selfcodealign show {path} says where they went")
    if CARD not in picked:
        raise PublishError(f"{folder} has no {CARD}: the same run again writes it")
    if CROISSANT not in picked:
        notes.append(f"there is no {CROISSANT}: the same run again writes it")
    card = read_card(read_text(picked[CARD], error=PublishError), "dataset")
    if licence:
        card.state_licence(licence)
    text = card.text.replace(_PLACEHOLDER, f'load_dataset("{repository}"')
    files: dict[str, Path | bytes] = {**picked, CARD: text.encode()}
    if report:
        if not (path / REPORT).is_file():
            raise PublishError(f"there is no {path / REPORT} to push: write it first: selfcodealign report {path}")
        files[REPORT] = path / REPORT
    refuse_secrets(files)
    return Parcel(
        kind="dataset",
        what=f"{rows} examples",
        files=files,
        licence=card.licence,
        missing=card.missing(_EXPECTED),
        notes=[*notes, *local_places(text)],
        left_out=left,
        replaces=_ROWS,
        marks=(AUTHORS_FILE, CROISSANT),
    )


def _refuse_unfinished(run: Path) -> list[str]:
    """The data set has to be there, and as new as the rows before it; notes on what a budget has kept out."""
    folder = open_existing(run)
    stages = folder.stages()
    if "dataset" not in folder.journey():
        raise PublishError(f"the journey of {run} has no stage dataset, so it has no data set: name another run")
    again = f"finish it first: selfcodealign run --out {run} --until dataset"
    if not (run / "dataset").is_dir():
        raise PublishError(f"{run} has no data set yet; {again}")
    behind = [stage.name for stage in stages if not stage.finished and not stage.stopped]
    if behind:
        raise PublishError(f"{run} is not finished ({behind[0]} is under way); {again}")
    if "dataset" in folder.earlier():
        raise PublishError(f"the data set of {run} is older than its rows; {again}")
    stopped = [f"{stage.name} by {stage.stopped}" for stage in stages if stage.stopped]
    return [f"a budget has stopped the run ({stopped[0]}): these are the rows until then"] if stopped else []


def _count_rows(files: list[Path]) -> int:
    rows = 0
    for file in files:
        try:
            rows += pq.read_metadata(file).num_rows
        except (OSError, ValueError) as error:
            raise PublishError(f"cannot read {file}: {reason_of(error)}; the same run again writes it") from None
    return rows
