"""Rows in, the same rows out: order, completeness, whole files, errors in one line."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from selfcodealign.cli import app
from selfcodealign.errors import UserError
from selfcodealign.files import read_json_lines
from selfcodealign.judging.execute import VERDICT_FIELDS, execute_file
from selfcodealign.sandbox import Limits
from tests.support.told import Told

ADD = "```python\ndef add(a, b):\n    return a + b\n```"
ROWS: list[dict[str, Any]] = [
    {"id": "right", "response": ADD, "tests": "```python\nassert add(1, 2) == 3\n```", "extra": {"kept": True}},
    {"id": "slow", "response": "import time\ntime.sleep(0.5)\ndef f(): return 1", "tests": "assert f() == 1"},
    {"id": "wrong", "response": ADD.replace("+", "-"), "tests": "assert add(1, 2) == 3"},
    {"id": "both", "response": f"<response>{ADD}</response><tests>\nassert add(2, 2) == 4\n</tests>"},
    {"id": "endless", "response": "while True: pass", "tests": "assert True"},
    {"id": "prose", "response": "I cannot help with that.", "tests": "assert True"},
    {"id": "no text", "response": 7},
    {"id": "list", "response": ADD, "tests": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"]},
    {"id": "JSON", "response": ADD, "tests": '["assert add(1, 2) == 3", "assert add(2, 2) == 5"]'},
    {"id": "old verdict", "response": ADD, "tests": "assert add(1, 2) == 3", "status": "failed"},
]
EXPECTED = ["passed", "passed", "failed", "passed", "timeout", "no_code", "no_code", "passed", "failed", "passed"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_every_row_comes_back_in_order(suffix: str, tmp_path: Path) -> None:
    """All rows, in order, with all their fields and the verdict's; slow ones do not overtake or get lost."""
    source = write(tmp_path / f"in{suffix}", ROWS)
    target = tmp_path / f"out{suffix}"
    summary = asyncio.run(execute_file(source, target, workers=2, limits=Limits(seconds=2), mutation_testing=False))
    rows = [row for _, row in read_json_lines(target)]
    assert [row["id"] for row in rows] == [row["id"] for row in ROWS]
    assert [row["status"] for row in rows] == EXPECTED
    assert rows[0]["extra"] == {"kept": True}
    assert all(set(VERDICT_FIELDS) <= row.keys() for row in rows)
    assert summary.counts == {"passed": 5, "failed": 2, "timeout": 1, "no_code": 2}


def test_more_rows_than_are_ever_under_way(tmp_path: Path) -> None:
    """A long file goes through in order, and every row of it is told."""
    rows = [{"id": n, "response": f"def f(): return {n}", "tests": f"assert f() == {n}"} for n in range(150)]
    source, target = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    told = Told()
    asyncio.run(execute_file(source, target, workers=2, mutation_testing=False, progress=told))
    judged = [row for _, row in read_json_lines(target)]
    assert [row["id"] for row in judged] == list(range(150))
    assert {row["status"] for row in judged} == {"passed"}
    assert told.calls[0] == ("start", "execute", None, "programs")
    assert told.advanced("execute") == 150
    assert told.calls[-1] == ("finish", "execute", "150 programs judged")


def test_the_command(tmp_path: Path) -> None:
    """The command line does the same, and prints a count of each status."""
    source, target = write(tmp_path / "in.jsonl", ROWS[:1]), tmp_path / "out.jsonl"
    result = CliRunner().invoke(app, ["execute", str(source), str(target), "--workers", "1", "--timeout", "5"])
    assert result.exit_code == 0, result.output
    table = [line.split() for line in result.stdout.splitlines()]
    assert table[1][:3] == ["passed", "1", "100.0%"]
    assert table[2][:3] == ["total", "1", "100.0%"]
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert "execute: 1 program judged" in result.stderr
    ((_, row),) = read_json_lines(target)
    assert row["mutation_score"] > 0
    assert row["strength"] == row["mutation_score"]


@pytest.mark.parametrize(
    ("flag", "measured"), [("--no-mutation-testing", False), ("--no-strength", False), ("--strength", True)]
)
def test_mutation_testing_is_switched_by_a_flag_and_by_its_earlier_name(
    flag: str, measured: bool, tmp_path: Path
) -> None:
    """The earlier flag works and is hidden in --help."""
    source, target = write(tmp_path / "in.jsonl", ROWS[:1]), tmp_path / "out.jsonl"
    result = CliRunner().invoke(app, ["execute", str(source), str(target), "--workers", "1", flag])
    assert result.exit_code == 0, result.output
    ((_, row),) = read_json_lines(target)
    assert (row["mutation_score"] is not None) == measured
    assert "strength" not in CliRunner().invoke(app, ["execute", "--help"]).output


def test_a_broken_line_is_a_row_with_a_reason(tmp_path: Path) -> None:
    """It costs no other row its verdict; number, text and fault are told. Empty lines are no rows."""
    source, target = write(tmp_path / "in.jsonl", ROWS[:1]), tmp_path / "out.jsonl"
    good = source.read_bytes()
    source.write_bytes(good + b'\nnot json\n[1]\n{"response": "caf\xe9"}\n' + good)
    summary = asyncio.run(execute_file(source, target, workers=1, mutation_testing=False))
    assert summary.counts == {"passed": 2, "no_code": 3}
    rows = [row for _, row in read_json_lines(target)]
    assert [row["status"] for row in rows] == ["passed", "no_code", "no_code", "no_code", "passed"]
    told = [(row["line"], row["text"], row["message"].partition(";")[0]) for row in rows[1:4]]
    assert told == [
        (3, "not json", "not JSON (Expecting value)"),
        (4, "[1]", "a JSON list"),
        (5, '{"response": "caf\ufffd"}', "this line is not UTF-8"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{]\n{]\n", r"in\.jsonl: no row has a field \(line 1: not JSON"),
        ('{"prompt": "x", "solution": "y"}\n', r'"response" \(its fields are prompt, solution\); name'),
        ('{"Response": "x"}\nnot json\n', 'did you mean "Response"'),
        ('{"response": null}\n', 'no row has a text in its field "response"'),
        (None, "cannot read"),
    ],
)
def test_an_input_without_anything_to_judge_is_named_and_leaves_no_output(
    content: str | None, message: str, tmp_path: Path
) -> None:
    """An unreadable input, or one whose answers have another name; no half-written output stays behind."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    if content is not None:
        source.write_text(content)
    with pytest.raises(UserError, match=message):
        asyncio.run(execute_file(source, target, workers=1, mutation_testing=False))
    assert [path.name for path in tmp_path.iterdir()] == (["in.jsonl"] if content is not None else [])


def test_what_the_output_would_replace_stays_unless_told_so(tmp_path: Path) -> None:
    """The input itself, a folder, a device and a link are never replaced, an older output only with --overwrite."""
    source = write(tmp_path / "in.jsonl", ROWS[:1])
    old = write(tmp_path / "old.jsonl", ROWS[:3])
    (tmp_path / "link.jsonl").symlink_to(old)
    (tmp_path / "same.jsonl").hardlink_to(source)
    before = {path: path.read_bytes() for path in (source, old)}
    for target, more, message in [
        (source, ["--overwrite"], "holds the rows to judge"),
        (tmp_path / "same.jsonl", ["--overwrite"], "holds the rows to judge"),
        (tmp_path, ["--overwrite"], "is a folder"),
        (tmp_path / "verdicts.csv", [], "rows are written to files that end in .jsonl"),
        (Path("/dev/null"), ["--overwrite"], "is no regular file"),
        (tmp_path / "link.jsonl", ["--overwrite"], "is a link"),
        (old, [], "exists and is finished: give --overwrite to replace it"),
    ]:
        done = CliRunner().invoke(app, ["execute", str(source), str(target), *more])
        assert isinstance(done.exception, UserError)
        assert message in str(done.exception)
    assert {path: path.read_bytes() for path in (source, old)} == before
    done = CliRunner().invoke(app, ["execute", str(source), str(old), "--workers", "1", "--overwrite"])
    assert done.exit_code == 0, done.output
    assert len(list(read_json_lines(old))) == 1


def test_an_unwritable_output_is_named(tmp_path: Path) -> None:
    """A folder that does not exist is found before anything is run."""
    source = write(tmp_path / "in.jsonl", ROWS[:1])
    with pytest.raises(UserError, match="cannot write"):
        asyncio.run(execute_file(source, tmp_path / "nowhere" / "out.jsonl", workers=1))


def test_a_field_that_the_verdict_replaces_is_no_field_of_a_response(tmp_path: Path) -> None:
    """Its text would be gone from the rows."""
    source = tmp_path / "in.jsonl"
    source.write_text('{"output": "def f(): return 1", "tests": "assert f() == 1"}\n')
    command = ["execute", str(source), str(tmp_path / "out.jsonl"), "--response-field", "output"]
    error = CliRunner().invoke(app, command).exception
    assert isinstance(error, UserError)
    assert 'the verdict goes into the field "output"' in str(error)
    assert not (tmp_path / "out.jsonl").exists()


def test_tests_in_a_field_of_another_name_are_hinted_at(tmp_path: Path) -> None:
    """Before the rows are judged; responses that hold their own tests need no such field."""
    source = tmp_path / "in.jsonl"
    row = {"response": "def f(): return 1", "test_cases": ["assert f() == 1"]}
    source.write_text(json.dumps(row) + "\n")
    done = CliRunner().invoke(app, ["execute", str(source), str(tmp_path / "out.jsonl")])
    assert "if they are in test_cases, name it with --tests-field" in done.stderr
    source.write_text(json.dumps({"response": "def f(): return 1\nassert f() == 1"}) + "\n")
    done = CliRunner().invoke(app, ["execute", str(source), str(tmp_path / "other.jsonl")])
    assert "--tests-field" not in done.stderr
