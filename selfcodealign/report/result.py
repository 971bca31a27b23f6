"""What a run has made, for Python: counts, places and scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.dataset.authors import Author
from selfcodealign.report.asked import AskedAccount, read_asked
from selfcodealign.report.authors import find_authors
from selfcodealign.report.funnel import read_funnel
from selfcodealign.report.verified import count_statuses, last_answers, tell_verified
from selfcodealign.rows import Books
from selfcodealign.run_folder.folder import open_existing


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a run.

    `books` counts the rows of each stage, in the order of the journey; `asked` has the requests and tokens of those
    that asked the model, in all runs of the folder, and the tokens for each example. `authors` says of each text of the
    rows which stage wrote it and which model that asked, `statuses` how many of the last answers passed, failed or were
    not run. `dataset`, `tuned`, `dpo` and `grpo` are folders,
    None where the run has no such stage; `scores` has one dictionary for each model and benchmark, as in scores.json,
    without the values of single tasks: label, benchmark, mode, k, interval (mean, low, high in 0..1), tasks. `stopped`
    says in one line what a budget has left unfinished; "" for nothing. `report` is the page about the run, None where
    it could not be written.
    """

    folder: Path
    books: dict[str, Books] = field(default_factory=dict)
    asked: AskedAccount = field(default_factory=lambda: AskedAccount({}, None))
    authors: list[Author] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    dataset: Path | None = None
    tuned: Path | None = None
    dpo: Path | None = None
    grpo: Path | None = None
    scores: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""
    report: Path | None = None

    def __str__(self) -> str:
        lines = [f"run folder: {self.folder}"]
        lines += [f"  {name}: {books.summary()}" for name, books in self.books.items()]
        if cost := self.asked.tell_cost():
            lines.append(cost)
        if verified := tell_verified(self.statuses):
            lines.append(verified)
        if self.dataset:
            lines.append(f"data set: {self.dataset}")
        trained = {
            "tuned model": self.tuned,
            "model trained on pairs": self.dpo,
            "model trained on verdicts": self.grpo,
        }
        lines += [f"{what}: {where}" for what, where in trained.items() if where]
        lines += [
            f"  {one['label']}: {one['benchmark']} pass@{one['k']} {one['interval']['mean']:.1%}" for one in self.scores
        ]
        lines += [f"report: {self.report}"] if self.report else []
        return "\n".join([*lines, self.stopped] if self.stopped else lines)


def read_result(folder: Path, stages: Sequence[str]) -> RunResult:
    """Read what `stages` of a finished run have made."""
    scores = folder / "evaluation" / "scores.json"
    run = open_existing(folder)
    last = last_answers(run)
    found = json.loads(scores.read_text("utf-8"))["scores"] if "evaluate" in stages and scores.is_file() else []
    return RunResult(
        folder=folder,
        asked=read_asked(run),
        authors=find_authors(run),
        statuses=dict(count_statuses(run, last)) if last is not None else {},
        books={one.name: one.books for one in read_funnel(folder) if one.name in stages},
        dataset=folder / "dataset" if "dataset" in stages else None,
        tuned=folder / "tuned" if "train" in stages else None,
        dpo=folder / "dpo" if "dpo" in stages else None,
        grpo=folder / "grpo" if "grpo" in stages else None,
        scores=[{name: value for name, value in one.items() if name != "values"} for one in found],
    )
