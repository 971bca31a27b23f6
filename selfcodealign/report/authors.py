"""Which stage wrote which field of a run's rows, and which model it asked: from what was run, not from the recipe.

A stage wrote a text if its rows have it and those of the stage before do not. The model is the one whose settings are
among the facts that decided the stage's rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.dataset.authors import Author
from selfcodealign.models.named import MODEL, MODELS
from selfcodealign.rows import Example
from selfcodealign.run_folder.folder import ASKED, RunFolder, StageFolder

#: The texts of rows that somebody wrote; stages may add others.
TEXTS = (
    "seed",
    "old_code",
    "commit_message",
    "concepts",
    "instruction",
    "response",
    "tests",
    "user",
    "assistant",
)
_NAMED = re.compile(r"models\.(.+)\.name")
_UNKNOWN = {"name": "unknown"}


def find_authors(folder: RunFolder) -> list[Author]:
    """The authors of every text of the rows that were kept, in the order of the journey."""
    facts, stages = folder.facts(), {stage.name: stage for stage in folder.stages()}
    texts = {name: _filled(stage) for name, stage in stages.items()}
    found = []
    for earlier, (name, stage) in zip(["", *stages], stages.items(), strict=False):
        # The stage whose rows it was given may have left the journey.
        after = stage.description.after or ""
        before = texts.get(after if after in texts else earlier if after else "", [])
        asked = models_asked(stage, facts)
        written = [field for field in texts[name] if field not in before]
        if asked:
            written += [
                field for field in before if field in texts[name] and _writes_over(folder, stage, stages, field)
            ]
        for field in written:
            by = [] if asked and "commit_message" in before and _is_of_commits(folder, stage, field) else asked
            found += _authors(field, stage, by)
    return found


def _authors(field: str, stage: StageFolder[Any], asked: Sequence[Mapping[str, str]]) -> list[Author]:
    if not asked:
        return [Author(field, stage.name, source=stage.description.after is None)]
    return [Author(field, stage.name, one.get("name", ""), one.get("revision", "")) for one in asked]


def models_asked(stage: StageFolder[Any], facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The identities of the models that a stage's rows come from; `facts` are those of the run."""
    decided = stage.decided_by
    others = facts.get(MODELS, {})
    named = [match[1] for key in decided if (match := _NAMED.fullmatch(key))]
    found = [others.get(name, {}).get("identity", _UNKNOWN) for name in named]
    if f"{MODEL}.name" in decided:
        found.append(facts.get(MODEL, _UNKNOWN))
    if not found and facts.get(ASKED, {}).get(stage.name, {}).get("requests"):
        # A stage that does not say which model decides its rows has asked one of these.
        found = [*([facts[MODEL]] if MODEL in facts else []), *(one["identity"] for one in others.values())]
    return found


def _is_of_commits(folder: RunFolder, stage: StageFolder[Any], field: str) -> bool:
    """Whether a stage that asked a model about commits took this field out of them: all responses hold the new code."""
    if field != "response":
        return False
    files = [str(path) for path in sorted(stage.path.glob("kept-*.parquet"))]
    query = "SELECT bool_and(seed <> '' AND contains(response, trim(seed, E' \\n'))) FROM read_parquet(?)"
    with folder.connect() as connection:
        found = connection.execute(query, [files]).fetchone()
    return bool(found and found[0])


def _filled(stage: StageFolder[Any]) -> list[str]:
    """The texts that are not empty in every kept row: from what the files say of their columns."""
    own = [name for name in stage.description.fields if name not in Example.field_names()]
    wanted = [name for name in (*TEXTS, *own) if name in stage.description.fields and not name.endswith("_id")]
    found: set[str] = set()
    for path in sorted(stage.path.glob("kept-*.parquet")):
        found |= {name for name in set(wanted) - found if _holds_text(pq.ParquetFile(path), name)}
        if len(found) == len(wanted):
            break
    return [name for name in wanted if name in found]


def _holds_text(file: pq.ParquetFile, name: str) -> bool:
    kind = file.schema_arrow.field(name).type
    if pa.types.is_list(kind):
        kind = kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return False
    (column,) = (place for place in range(len(file.schema)) if file.schema.column(place).path.split(".")[0] == name)
    if not file.metadata.num_rows:
        return False
    for group in range(file.metadata.num_row_groups):
        told = file.metadata.row_group(group).column(column).statistics
        # Of long texts the file names no greatest one.
        if told is None or (told.max != "" if told.has_min_max else told.num_values > 0):
            return True
    return False


def _writes_over(
    folder: RunFolder, stage: StageFolder[Any], stages: Mapping[str, StageFolder[Any]], field: str
) -> bool:
    """Whether a stage made new rows of the kind it was given, with other texts in this field: a filter never does."""
    about, before = stage.description, stages.get(stage.description.after or "")
    if before is None or about.parent != about.row_id or set(about.fields) == set(before.description.fields):
        return False
    files = [[str(path) for path in sorted(one.path.glob("kept-*.parquet"))] for one in (stage, before)]
    query = (
        f'SELECT 1 FROM read_parquet(?) WHERE md5("{field}"::VARCHAR) NOT IN '
        f'(SELECT md5("{field}"::VARCHAR) FROM read_parquet(?)) LIMIT 1'
    )
    with folder.connect() as connection:
        return bool(connection.execute(query, files).fetchall())
