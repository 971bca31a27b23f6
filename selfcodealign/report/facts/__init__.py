"""Everything that a report tells of a run, as plain values: the page, the terminal and the data set's card draw them.

`read_facts` reads a run's folder, which may be in progress, and asks DuckDB for counts; no table is held in memory, and
what is kept of rows is bounded. A fact that the run does not have is None or empty.
"""

from __future__ import annotations

from pathlib import Path

from selfcodealign.report.asked import read_asked
from selfcodealign.report.authors import find_authors
from selfcodealign.report.facts.comparison import ComparedFigure, Comparison, compare_facts
from selfcodealign.report.facts.concepts import ConceptLists
from selfcodealign.report.facts.contamination import find_contamination
from selfcodealign.report.facts.evaluation import read_evaluation
from selfcodealign.report.facts.lengths import measure_lengths
from selfcodealign.report.facts.marks import count_marks
from selfcodealign.report.facts.rates import Answers, count_split_proofs
from selfcodealign.report.facts.repeat import read_repeat
from selfcodealign.report.facts.shown import draw_shown
from selfcodealign.report.facts.sources import count_sources
from selfcodealign.report.facts.spending import read_spending
from selfcodealign.report.facts.tables import RunTables
from selfcodealign.report.facts.training import TRAINED, read_trainings
from selfcodealign.report.facts.types import (
    ConceptGroup,
    Concepts,
    Contamination,
    ContaminationHit,
    EvaluationTable,
    Histogram,
    MarkCounts,
    Rate,
    RateTable,
    Repeat,
    RunFacts,
    Shown,
    Spending,
    Training,
)
from selfcodealign.report.funnel import account_for
from selfcodealign.run_folder.folder import RunFolder, open_existing
from selfcodealign.training.output import REPORT

__all__ = [
    "ComparedFigure",
    "Comparison",
    "ConceptGroup",
    "Concepts",
    "Contamination",
    "ContaminationHit",
    "EvaluationTable",
    "Histogram",
    "MarkCounts",
    "Rate",
    "RateTable",
    "Repeat",
    "RunFacts",
    "Shown",
    "Spending",
    "Training",
    "compare_facts",
    "read_facts",
]

#: The file that is there when a last stage is through, by stage.
_LAST_FILES = {
    "dataset": "dataset/README.md",
    "evaluate": "evaluation/scores.json",
    **{stage: f"{folder}/{REPORT}" for stage, folder in TRAINED.items()},
}


def read_facts(path: Path, *, shown: int = 30) -> RunFacts:
    """Read the facts of a run; `shown` rows are drawn for reading, kept and dropped ones, the same for the same run.

    Raises `RunFolderError` where there is no run, or where its rows are damaged.
    """
    folder = open_existing(path)
    warnings: list[str] = []
    with RunTables(folder) as tables:
        asked = read_asked(folder)
        answers, concepts = Answers(tables), ConceptLists(tables)
        licences, origins = count_sources(tables)
        return RunFacts(
            name=path.resolve().name,
            path=path,
            finished=_is_finished(folder),
            started=str(folder.facts().get("started", "")),
            stages=account_for(folder),
            asked=asked,
            spending=read_spending(folder, asked, warnings),
            rates=[*answers.rates(), *concepts.rates()],
            passes=answers.passes(),
            scores=answers.scores(),
            lengths=measure_lengths(tables),
            concepts=concepts.describe(),
            contamination=find_contamination(tables),
            licences=licences,
            origins=origins,
            authors=_tell_authors(folder),
            training=read_trainings(path, warnings),
            evaluation=read_evaluation(path, warnings),
            marks=count_marks(tables),
            shown=draw_shown(tables, shown),
            repeat=read_repeat(tables),
            warnings=warnings,
            split_proofs=count_split_proofs(tables),
        )


def _is_finished(folder: RunFolder) -> bool:
    """Whether every stage of the journey is through, with the rows as they are now."""
    facts, stages = folder.facts(), {stage.name: stage for stage in folder.stages()}

    def is_through(name: str) -> bool:
        if name in stages:
            return stages[name].finished and not stages[name].earlier
        if name in _LAST_FILES:
            return (folder.path / _LAST_FILES[name]).is_file()
        return name in facts.get("last_stages", {})

    return bool(folder.journey()) and not folder.earlier() and all(map(is_through, folder.journey()))


def _tell_authors(folder: RunFolder) -> list[tuple[str, str, str]]:
    """Field, who wrote it, and the stage that did."""
    kinds = [stage.seed_kind for stage in folder.stages()[:1]]
    return [(one.field, one.describe(kinds).replace("`", ""), one.stage) for one in find_authors(folder)]
