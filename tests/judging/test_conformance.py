"""The conformance suite: whole, told apart by kind, judged by our sandbox as each program must be."""

from __future__ import annotations

import ast
import asyncio
import json
from pathlib import Path

import pytest

from selfcodealign.judging.conformance.own import OwnRun, judge_suite
from selfcodealign.judging.conformance.suite import ABILITIES, KINDS, load_suite, parse_kind
from selfcodealign.progress import Progress
from selfcodealign.sandbox import Status
from tests.support.command_line import call

SUITE = load_suite()


def judge(mode: str) -> OwnRun:
    run = asyncio.run(judge_suite(SUITE, mode, Progress()))  # type: ignore[arg-type]
    if isinstance(run, str):
        pytest.skip(run)
    return run


def check(mode: str) -> None:
    run = judge(mode)
    assert not run.missing_walls
    assert [(one.program.id, one.fault) for one in run.deviations] == []
    assert len(run.judged) + len(run.left_out) == len(SUITE)
    assert all(program.needs for program, _ in run.left_out)


def test_every_program_gets_what_it_must_with_namespaces() -> None:
    """Every status and proof is one that the suite allows, hostile programs included."""
    check("namespaces")


@pytest.mark.slow
def test_every_program_gets_what_it_must_with_landlock() -> None:
    """The same in the other mode."""
    check("landlock")


def test_the_suite_is_whole() -> None:
    """Ids and programs differ, only honest ones may pass, hostile ones come last."""
    assert len({one.id for one in SUITE}) == len(SUITE) >= 120
    assert len({(one.response, one.tests) for one in SUITE}) == len(SUITE)
    assert [kind for kind in KINDS for one in SUITE if one.kind == kind] == [one.kind for one in SUITE]
    assert KINDS[-1] == "hostile"
    for one in SUITE:
        assert (one.kind == "honest") == (one.statuses == (Status.PASSED,)) == bool(one.proof), one.id
        assert Status.NOT_JUDGED not in one.statuses
        assert one.why.endswith(".")
        assert set(one.needs) <= {"numpy", "pytest", *ABILITIES}


def test_programs_say_what_they_need() -> None:
    """A program that imports numpy or pytest says so; all of Python's own runs everywhere."""
    for one in SUITE:
        for library in ("numpy", "pytest"):
            try:
                nodes = list(ast.walk(ast.parse(one.row()["program"])))
            except SyntaxError:
                continue
            names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
            if any(name.split(".")[0] == library for name in names):
                assert library in one.needs, one.id


def test_a_broken_section_is_refused() -> None:
    """A section without tests, or with an unknown property, is an error that names it."""
    with pytest.raises(ValueError, match="honest/one: a sentence, a response and tests are wanted"):
        parse_kind("honest", "# H\n- status: passed\n\n## one\n\nWords.\n\n```python\nx = 1\n```\n")
    with pytest.raises(ValueError, match="none of status, proof, needs"):
        parse_kind("honest", "# H\n- statuses: passed\n\n## one\n")
    with pytest.raises(ValueError, match="'well' is not a valid Status"):
        parse_kind("honest", "# H\n- status: well\n\n## one\n\nWords.\n\n```python\nx\n```\n\n```python\ny\n```\n")


def test_the_suite_is_exported_without_hostile_programs_unless_asked(tmp_path: Path) -> None:
    """One JSON object per program; an existing file stays."""
    file = tmp_path / "suite.jsonl"
    done = call("doctor", "--verdicts", "--export", str(file))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert rows == [one.full_row() for one in SUITE if one.kind != "hostile"]
    assert rows[0]["program"] == f"{rows[0]['response']}\n\n{rows[0]['tests']}"
    again = call("doctor", "--verdicts", "--export", str(file), "--hostile")
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists: name a new file" in again.stderr
    other = tmp_path / "all.jsonl"
    assert call("doctor", "--verdicts", "--export", str(other), "--hostile").returncode == 0
    assert len(other.read_text("utf-8").splitlines()) == len(SUITE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--judge", "true"], "--judge is about the conformance suite: give --verdicts as well"),
        (["--hostile"], "--hostile is about the conformance suite"),
        (["--verdicts", "--hostile"], "--hostile belongs to --judge and --export"),
        (["--verdicts", "--judge", "true", "--sandbox", "landlock"], "--sandbox is for the sandbox of this machine"),
        (["--verdicts", "--judge", "true", "--export", "x"], "exclude each other"),
        (["--verdicts", "--sandbox", "unsafe"], "behind walls only"),
        (["--verdicts", "--judge", "no-such-judge"], "cannot start no-such-judge"),
        (["--verdicts", "--judge", "'"], "quote it as a shell would read it"),
        (["--verdicts", "--judge", " "], "name a command"),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], said: str) -> None:
    """Nothing is run, and the fix is named."""
    done = call("doctor", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
