"""Which benchmarks rows are compared with: all that can be read; the others are named with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfcodealign.benchmarks.published import AVAILABLE, KnownTexts, load_known_texts
from selfcodealign.errors import BenchmarkError


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A problem file, on a machine with empty caches and no net."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    path = tmp_path / "mine.jsonl"
    path.write_text(
        json.dumps({"task_id": "a", "text": "Count the valleys of a walk.", "code": "def f(x): ..."}) + "\n"
    )
    return path


def test_what_cannot_be_read_is_named(problems: Path) -> None:
    """By default nothing is refused: a benchmark with a file is used, each other one has a reason."""
    known = load_known_texts([AVAILABLE], ["tiny-eval"], {"humaneval": str(problems)})
    assert [one.name for one in known.loaded] == ["humaneval", "tiny-eval"]
    assert {"mbpp", "livecodebench", "evoeval-combine", "ds1000"} <= set(known.missing)
    assert all("cannot be reached" in why or "too large" in why for why in known.missing.values())


def test_what_a_person_named_has_to_be_there(problems: Path) -> None:
    """A benchmark, a file, or a name that is none: one line says which."""
    for name, said in (
        ("mbpp", "the texts of mbpp"),
        ("humanevil", 'did you mean "humaneval"'),
        ("no/x.jsonl", "x.jsonl"),
    ):
        with pytest.raises(BenchmarkError, match=said):
            load_known_texts([name], [], {})
    with pytest.raises(BenchmarkError, match=r"no\.jsonl"):
        load_known_texts([AVAILABLE], [], {"mbpp": str(problems.with_name("no.jsonl"))})


def test_a_resumed_run_uses_the_texts_it_began_with(problems: Path) -> None:
    """Published sets are taken from what was kept; one that was missing then stays missing."""
    known = load_known_texts([AVAILABLE], [], {"humaneval": str(problems)})
    known.write(problems.with_name("kept.json.gz"))
    kept = KnownTexts.read(problems.with_name("kept.json.gz"))
    again = load_known_texts([AVAILABLE], [], {}, kept)
    assert [(one.name, one.version) for one in again.loaded] == [(one.name, one.version) for one in known.loaded]
    assert [one.task for one in again.loaded[0].tasks] == ["a"]
    assert again.missing == known.missing


def test_a_damaged_file_of_kept_texts_is_refused(tmp_path: Path) -> None:
    """The line says what to do."""
    (tmp_path / "kept.json.gz").write_bytes(b"no")
    with pytest.raises(BenchmarkError, match="delete it"):
        KnownTexts.read(tmp_path / "kept.json.gz")
