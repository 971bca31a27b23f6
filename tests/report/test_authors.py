"""Who wrote a text is read from the rows and from what decided them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfcodealign.report.authors import find_authors
from selfcodealign.rows import Dropped, Instruction, Row, grow
from selfcodealign.run_folder.folder import FORM, Description, RunFolder
from tests.support.rows import make_instruction, make_response, make_seed

MODELS = {"model": {"name": "base"}, "models": {"teacher": {"identity": {"name": "teacher", "revision": "7"}}}}
BASE, TEACHER = {"model.name": "base"}, {"models.teacher.name": "t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Instruction):
    """An instruction that was written over."""

    rounds: int


def authors(path: Path, *stages: tuple[str, str, Sequence[Row], Mapping[str, Any]]) -> dict[str, list[str]]:
    """Store the rows of these stages (name, field of the parent, rows, what decided them); the authors by field."""
    folder, after = RunFolder(path), None
    path.mkdir(exist_ok=True)
    folder.record({"form": FORM, "journey": [name for name, *_ in stages], **MODELS})
    for name, parent, rows, decided_by in stages:
        kind = type(rows[0])
        about = Description(kind.__name__, kind.id_field, parent, after, kind.field_names())
        stage = folder.stage(name, about, kind)
        stage.begin(decided_by)
        stage.shards.write(rows, [])
        after = name
    found: dict[str, list[str]] = {}
    for one in find_authors(folder):
        found.setdefault(one.field, []).append(one.model or one.stage)
    return found


def test_a_stage_that_writes_over_a_text_is_an_author_and_a_judge_is_none(tmp_path: Path) -> None:
    """Of two models that wrote instructions both are named; one that only says yes or no wrote nothing."""
    first = make_instruction(1, concepts=["loops"])
    second = grow(replace(first, instruction="Harder.", instruction_id="ab" * 8), Changed, rounds=1)
    found = authors(
        tmp_path,
        ("instructions", "seed_id", [first], BASE),
        ("judge", "instruction_id", [first], TEACHER),
        ("evolve", "instruction_id", [grow(first, Changed, rounds=0), second], TEACHER),
    )
    assert found["instruction"] == ["base", "teacher"]
    assert found["concepts"] == ["base"]
    kept = authors(
        tmp_path / "kept",
        ("instructions", "seed_id", [first], BASE),
        ("count", "instruction_id", [grow(first, Changed, rounds=0)], TEACHER),
    )
    assert kept["instruction"] == ["base"]


def test_code_that_a_stage_took_out_of_commits_is_no_model_s(tmp_path: Path) -> None:
    """A model wrote the request and the tests; the response is the new code, which people wrote."""
    commit = make_seed(1, "x = 1\n", kind="commits", old_code="x = 0\n", commit_message="Count from one")
    code = {"seed": "x = 1\n", "commit_message": "Count from one", "kind": "commits"}
    row = make_response(1, **code, response="```python\nx = 1\n```", instruction="Count from 1.", tests="assert x")
    found = authors(
        tmp_path, ("seeds", "source_id", [commit], {"seeds.kind": "commits"}), ("edits", "seed_id", [row], TEACHER)
    )
    assert found["response"] == ["edits"]
    assert found["instruction"] == ["teacher"]
    assert found["tests"] == ["teacher"]
    assert found["commit_message"] == ["seeds"]


def test_long_texts_and_empty_lists_are_told_apart(tmp_path: Path) -> None:
    """A text beyond what a file keeps statistics of is there; concepts that no row has have no author."""
    row = make_response(1, concepts=[], response="x" * 10_000, tests="")
    found = authors(tmp_path, ("pairs", "seed_id", [row], BASE))
    assert found["response"] == ["base"]
    assert "concepts" not in found
    assert "tests" not in found


def test_a_stage_that_dropped_every_row_is_no_author(tmp_path: Path) -> None:
    """Its empty file has the columns of its rows, and no text."""
    folder = RunFolder(tmp_path)
    folder.record({"form": FORM, "journey": ["pairs"], **MODELS})
    row = make_response(1)
    about = Description(type(row).__name__, row.id_field, "seed_id", None, row.field_names())
    stage = folder.stage("pairs", about, type(row))
    stage.begin(BASE)
    stage.shards.write([], [Dropped(parent=row.id, reason="failed", detail="", row=row.fields())])
    assert find_authors(folder) == []
