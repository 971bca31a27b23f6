"""The scores of a run's evaluation, as its table shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfcodealign.errors import RunFolderError
from selfcodealign.evaluation.pass_at_k import Comparison, Interval
from selfcodealign.evaluation.table import NO_CODE, columns_of, footnotes, heading, rows_of
from selfcodealign.files import read_json
from selfcodealign.report.facts.training import UNREADABLE, tell_damage
from selfcodealign.report.facts.types import EvaluationTable


def read_evaluation(run: Path, warnings: list[str]) -> EvaluationTable | None:
    """The table of scores; None without one. A damaged one is named in `warnings`."""
    path = run / "evaluation" / "scores.json"
    if not path.is_file():
        return None
    try:
        return _read(path)
    except UNREADABLE as error:
        warnings.append(f"the scores cannot be told: {tell_damage(error, path)}")
        return None


def _read(path: Path) -> EvaluationTable:
    from selfcodealign.evaluation.scoring import Evaluation, Score

    told: dict[str, Any] = read_json(path, error=RunFolderError, fix="evaluate again")
    scores = [Score(**one | {"interval": Interval(**one["interval"])}) for one in told["scores"]]
    fields = Comparison.__dataclass_fields__
    comparisons = [
        Comparison(**{name: value for name, value in one.items() if name in fields}) for one in told["comparisons"]
    ]
    heads = ["model", "asked by", *(heading(column) for column in columns_of(scores)), NO_CODE]
    notes = footnotes(Evaluation(scores=scores, comparisons=comparisons, notes=list(told["notes"])))
    return EvaluationTable(heads, rows_of(scores), notes)
