"""What writers that are no longer at work have left goes into run.json and into the journal of the run.

A writer is shut out first: its folder is moved away, so that one that is still at work, unnoticed, commits nothing
more. A kill at any moment counts nothing twice: run.json names the writers that it holds until their folders are gone.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfcodealign.models.kept_answers import restore
from selfcodealign.models.usage import Usage
from selfcodealign.run_folder.folder import ASKED, ASKING_SECONDS, COUNTED, COUNTED_ANSWERS, RunFolder, read_json
from selfcodealign.run_folder.journal import list_segments, read_uncounted
from selfcodealign.run_folder.writers import DIVIDED, ENDED, FACTS, GONE, PRIVATE, WRITERS

#: The name in run.json of the writers whose facts it holds and whose folders are still there.
GATHERED = "gathered"


def gather(folder: RunFolder, writer: str = "*") -> None:
    """Take over what a writer left, or all writers; the caller has the folder's lock alone."""
    writers = folder.path / WRITERS
    for path in sorted(writers.glob(writer)):
        if path.is_dir() and not path.name.startswith("."):
            _shut_out(path)
    left = sorted(path for path in writers.glob(".*.left-*") if path.is_dir())
    facts = folder.facts()
    known: list[str] = facts.get(GATHERED, [])
    if left:
        new = [path for path in left if path.name not in known]
        if new:
            folder.record(_add_up(folder, facts, new) | {GATHERED: [path.name for path in left]})
        for path in left:
            _move_journal(path / "journal", folder.journal_folder)
            shutil.rmtree(path)
    if left or known:
        folder.record({GATHERED: []})
    if writer == "*":
        for stage in folder.stages():
            stage.shards.sweep("*")


def ended(folder: RunFolder) -> dict[int, Mapping[str, list[str]]]:
    """The partitions of the divided flow that are through, with parents that are gone, by stage."""
    return {int(number): gone for number, gone in folder.facts().get(DIVIDED, {}).get(ENDED, {}).items()}


def _shut_out(path: Path) -> None:
    number = 1
    while (target := path.with_name(f".{path.name}.left-{number}")).exists():
        number += 1
    os.rename(path, target)
    for unfinished in target.glob("*.parquet"):  # network file systems may still find the folder by its handle
        unfinished.unlink()


def _add_up(folder: RunFolder, facts: Mapping[str, Any], left: Sequence[Path]) -> dict[str, Any]:
    """The facts of the run with those of writers."""
    found = [(path, read_json(path / FACTS)) for path in left]
    changed: dict[str, Any] = {}
    for _, one in found:
        changed |= {name: value for name, value in one.items() if name not in PRIVATE}
    every = [facts, *(one for _, one in found)]
    journals = [(folder.journal_folder, facts), *((path / "journal", one) for path, one in found)]
    asked = _sum_usage(one.get(ASKED, {}) for one in every)
    for journal, one in journals:
        for answer in read_uncounted(journal, one.get(COUNTED_ANSWERS, (0, 0))):
            asked.setdefault(answer.stage, Usage()).add(restore(answer.answer))
    seconds: Counter[str] = Counter()
    counted: dict[str, Counter[str]] = {}
    for one in every:
        seconds.update(one.get(ASKING_SECONDS, {}))
        for stage, counts in one.get(COUNTED, {}).items():
            counted.setdefault(stage, Counter()).update(counts)
    # Where the journal will end once the segments of the others have been moved there: those are counted now.
    last = max([facts.get(COUNTED_ANSWERS, (0, 0))[0], *(number for number, _ in list_segments(folder.journal_folder))])
    moved = sum(len(list_segments(path / "journal")) for path in left)
    changed |= {ASKED: {stage: one.fields() for stage, one in asked.items()}, ASKING_SECONDS: seconds, COUNTED: counted}
    return changed | {COUNTED_ANSWERS: [last + moved + 1, 0], DIVIDED: _note_ended(facts.get(DIVIDED, {}), found)}


def _sum_usage(every: Iterable[Mapping[str, Any]]) -> dict[str, Usage]:
    total: dict[str, Usage] = {}
    for asked in every:
        for stage, fields in asked.items():
            total[stage] = total.get(stage, Usage()) + Usage.read(fields)
    return total


def _note_ended(divided: Mapping[str, Any], found: Iterable[tuple[Path, Mapping[str, Any]]]) -> dict[str, Any]:
    through = dict(divided.get(ENDED, {}))
    for _, one in found:
        for number, of in one.get(ENDED, []):
            if of == divided.get("of"):
                through[str(number)] = one.get(GONE, {})
    return {**divided, ENDED: through} if divided else {}


def _move_journal(journal: Path, target: Path) -> None:
    segments = list_segments(journal)
    if not segments:
        return
    target.mkdir(exist_ok=True)
    last = max((number for number, _ in list_segments(target)), default=0)
    for place, (_, path) in enumerate(segments, last + 1):
        os.rename(path, target / f"{place:06d}.jsonl")
