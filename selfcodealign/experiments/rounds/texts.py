"""What a round wrote: the rows of its run folder, of any journey, as texts and counts.

Texts are those that the model wrote and a filter of one row let through: the instructions behind the last stage that
made instructions, the answers behind the last stage that made answers. Later stages drop near-copies, and would hide
that there are more of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import duckdb

from selfcodealign.curation.ngrams import iterate_ngrams
from selfcodealign.experiments.forecast.pilot import COMPARED
from selfcodealign.generation.few_shot_file import FewShotFile
from selfcodealign.rows import Concepts, Example, Instruction, Response
from selfcodealign.run_folder.folder import RunFolder, StageFolder

#: Words of the texts of a kind that are held and compared; later texts are only counted.
MOST_WORDS = 500_000


@dataclass(frozen=True)
class Texts:
    """Texts of one kind in the order of their ids, which is random: the first `MOST_WORDS` words of them.

    `count` and `distinct` are of all texts, `words` is the mean length.
    """

    sample: Sequence[str] = ()
    count: int = 0
    distinct: int = 0
    words: float = nan


@dataclass(frozen=True)
class Written:
    """What a round wrote. `names` are the concepts of all seeds, with repetitions.

    Of `drawn` answers that were run, `passed` passed; of the `asked` instructions with such answers, `solved` have one
    that passed. `mutation_score` is the mean over passed answers. Of `compared` answers, selection dropped `copies`
    as near-copies. `rows` is the size of the data set.
    """

    rows: int
    names: Sequence[str]
    instructions: Texts
    responses: Texts
    drawn: int
    passed: int
    asked: int
    solved: int
    mutation_score: float
    compared: int
    copies: int


def read_written(folder: RunFolder) -> Written:
    """Read what the run in a folder wrote. Raises `RunFolderError` for one of an earlier form."""
    concepts, answers = folder.making(Concepts), folder.making(Response)
    instructions = folder.making(Instruction) or answers
    compared, copies = _count_copies(folder)
    with folder.connect() as connection:
        drawn, passed, asked, solved, score = _count_answers(connection, answers)
        return Written(
            rows=count_rows(folder),
            names=_read_names(connection, concepts),
            instructions=_read_texts(connection, instructions, "instruction", Instruction.id_field),
            responses=_read_texts(connection, answers, "response", Response.id_field),
            drawn=drawn,
            passed=passed,
            asked=asked,
            solved=solved,
            mutation_score=nan if score is None else score,
            compared=compared,
            copies=copies,
        )


def count_rows(folder: RunFolder) -> int:
    """The rows of the data set: those of the last stage that gives rows."""
    return folder.stages()[-1].shards.sizes()[0]


def _files(stage: StageFolder[Any] | None, kind: str = "kept") -> list[str]:
    return [str(path) for path in sorted(stage.path.glob(f"{kind}-*.parquet"))] if stage is not None else []


def _read_names(connection: duckdb.DuckDBPyConnection, stage: StageFolder[Any] | None) -> list[str]:
    if not (files := _files(stage)):
        return []
    query = f"SELECT concepts FROM read_parquet(?) ORDER BY {Concepts.id_field}"
    rows = connection.execute(query, [files]).fetchall()
    return [" ".join(name.casefold().split()) for (names,) in rows for name in names]


def _read_texts(
    connection: duckdb.DuckDBPyConnection, stage: StageFolder[Any] | None, field: str, id_field: str
) -> Texts:
    if not (files := _files(stage)):
        return Texts()
    # Answers to one instruction repeat it: each id counts once.
    rows = f"(SELECT {id_field} AS id, any_value({field}) AS text FROM read_parquet(?) GROUP BY 1)"
    counted = connection.execute(f"SELECT count(*), count(DISTINCT trim(text)) FROM {rows}", [files]).fetchone()
    assert counted is not None
    sample: list[str] = []
    texts = words = 0
    found = connection.execute(f"SELECT text FROM {rows} ORDER BY id", [files])
    while batch := found.fetchmany(1024):
        for (text,) in batch:
            if words < MOST_WORDS:
                sample.append(text)
            texts, words = texts + 1, words + sum(1 for _ in iterate_ngrams(text, 1))
    return Texts(sample, counted[0], counted[1], words / texts if texts else nan)


def _count_answers(
    connection: duckdb.DuckDBPyConnection, stage: StageFolder[Any] | None
) -> tuple[int, int, int, int, float | None]:
    """Answers that were run or could not be read, and those that passed; instructions, likewise; the mutation score."""
    if stage is None or not (kept := _files(stage)) or "status" not in stage.description.fields:
        return 0, 0, 0, 0, None
    columns = "instruction_id, response_id, status, mutation_score"
    query = f"""
        SELECT count(*) FILTER (status IS NOT NULL) AS run, count(*), count(*) FILTER (good),
               count(DISTINCT instruction_id), count(DISTINCT instruction_id) FILTER (good),
               avg(mutation_score) FILTER (good AND NOT isnan(mutation_score))
        FROM (SELECT *, coalesce(status, '') = 'passed' AS good FROM (
            SELECT {columns} FROM read_parquet($kept) UNION ALL SELECT {columns} FROM read_parquet($dropped)))
        WHERE response_id IS NOT NULL AND coalesce(status, '') <> 'not_run'"""
    counted = connection.execute(query, {"kept": kept, "dropped": _files(stage, "dropped")}).fetchone()
    assert counted is not None
    run, *others = counted
    return tuple(others) if run else (0, 0, 0, 0, None)


def _count_copies(folder: RunFolder) -> tuple[int, int]:
    """How many answers the stage that chooses examples compared, and how many it dropped as near-copies of others."""
    stage = next((one for one in folder.stages() if one.description.kind == Example.__name__), None)
    if stage is None:
        return 0, 0
    books = stage.books()
    copies = sum(books.dropped.get(reason, 0) for reason in COMPARED)
    return books.kept + copies, copies


def few_shot_texts(file: FewShotFile) -> list[str]:
    """All texts of the worked examples of a few-shot file, whatever stage shows them."""
    parts: list[Mapping[str, str]] = [one.sections() for one in (*file.examples, *file.judgements)]
    parts += [part for group in file.others.values() for part in group]
    return [text for part in parts for text in part.values()]
