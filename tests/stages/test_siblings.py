"""The matrix of siblings: handmade answers in a real sandbox, what follows from a matrix, and a run that keeps it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from math import isnan, nan
from pathlib import Path

import pytest

from selfcodealign import Sampling, ScriptedModel, run_recipe
from selfcodealign.rejudge import rejudge_run
from selfcodealign.sandbox import Sandbox, Verdict
from selfcodealign.settings import Recipe
from selfcodealign.stages.siblings import Sibling, Standing, compare, fill_matrix, rate
from tests.support.command_line import call
from tests.support.journey import answer, scripted_model, small_recipe, write_sources
from tests.support.runs import everything, rows_of

RIGHT = "def double(n):\n    return 2 * n\n"
RIGHT_TOO = "def double(n):\n    return n + n\n"
WRONG = "def double(n):\n    return n ** 2\n"  # as the right one for 0 and 2
OTHER = "def twice(n):\n    return 2 * n\n"
STRONG, WEAK, THEIRS = "assert double(3) == 6", "assert double(2) == 4\nassert double(0) == 0", "assert twice(3) == 6"
IMPORTED = "from solution import double\nassert double(4) == 8"
#: (response, tests, how it ended with its own): one right, one wrong with weak tests, one with another name, one right
#: with wrong tests, and one that could not be read.
SAMPLES = [
    Sibling(RIGHT, STRONG, "passed"),
    Sibling(WRONG, WEAK, "passed"),
    Sibling(OTHER, THEIRS, "passed"),
    Sibling(RIGHT_TOO, "assert double(3) == 7", "failed"),
    Sibling(RIGHT_TOO, IMPORTED, "passed"),
    Sibling(),
]


class Counting:
    """A sandbox that counts the programs it is given."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.programs: list[tuple[str, str]] = []

    async def run_against(self, response: str, tests: Sequence[str]) -> list[Verdict]:
        self.programs += [(response, one) for one in tests]
        return await self.sandbox.run_against(response, tests)


def filled(samples: Sequence[Sibling]) -> tuple[list[list[str]], list[tuple[str, str]]]:
    async def run() -> tuple[list[list[str]], list[tuple[str, str]]]:
        async with Sandbox(workers=1, warm=()) as sandbox:
            counting = Counting(sandbox)
            return await fill_matrix(samples, counting.run_against), counting.programs

    return asyncio.run(run())


@pytest.fixture(scope="module")
def matrix() -> list[list[str]]:
    return filled(SAMPLES)[0]


def test_each_cell_says_how_an_answer_ended_against_the_tests_of_a_sibling(matrix: list[list[str]]) -> None:
    """Passes, failures, names that are another answer's, and nothing where there is no code or there are no tests."""
    other = "other_names"
    assert matrix == [
        ["passed", "passed", other, "failed", "passed", ""],
        ["failed", "passed", other, "failed", "failed", ""],
        [other, other, "passed", other, other, ""],
        ["passed", "passed", other, "failed", "passed", ""],
        ["passed", "passed", other, "failed", "passed", ""],
        [""] * 6,
    ]


def test_agreement_is_of_the_answers_that_pass_the_same_tests(matrix: list[list[str]]) -> None:
    """The right ones are three, one of them not verified, and pass three tests; names of others count for nobody."""
    right, wrong, other, unverified, _, unread = rate(matrix)
    assert [one.agreement for one in (right, wrong, other, unverified)] == [9, 1, 1, 9]
    assert (right.passes_siblings, wrong.passes_siblings) == (2 / 3, 0)
    assert (right.tests_pass, wrong.tests_pass) == (2 / 3, 1)
    assert isnan(other.passes_siblings)
    assert (unread.siblings, isnan(unread.agreement)) == ([], True)


def test_nothing_is_run_twice() -> None:
    """Equal programs, and what an answer's own run has told, cost nothing; white space around makes no other."""
    first, wrong = Sibling(RIGHT, STRONG, "passed"), Sibling(WRONG, WEAK, "passed")
    samples = [first, Sibling(f"\n{RIGHT}\n\n", f"{STRONG}\n", "passed"), wrong, wrong]
    found, programs = filled(samples)
    assert sorted(programs) == sorted([(RIGHT.rstrip(), WEAK), (WRONG.rstrip(), STRONG)])
    assert found == [["passed"] * 4] * 2 + [["failed", "failed", "passed", "passed"]] * 2


@pytest.mark.parametrize(
    ("response", "tests", "word"),
    [
        (RIGHT, "from solution import triple\nassert triple(1) == 3", "other_names"),
        (RIGHT, "import json.nothing\nassert double(1) == 2", "other_names"),
        (RIGHT, "assert double(3).push(1) is None", "other_names"),
        ("def double(n):\n    return None\n", "assert double(3).bit_length() == 3", "error"),
        ("def double(n):\n    return m\n", STRONG, "error"),
        ("def double(n):\n    return n.push()\n", STRONG, "error"),
        ("def double(n, m):\n    return n\n", STRONG, "error"),
    ],
)
def test_names_that_are_missing_are_told_from_errors_of_the_answer(response: str, tests: str, word: str) -> None:
    """A name of the sibling, or of its tests, is not this answer's to have; its own mistakes are errors."""
    sibling = Sibling("class Stack:\n    def push(self, n): ...\ndef triple(n): ...", tests, "weak_tests")
    assert filled([Sibling(response, "", "no_tests"), sibling])[0][0][1] == word


def test_programs_that_ran_into_a_limit_take_no_part() -> None:
    """Each of their cells could take as long again."""
    samples = [Sibling(RIGHT, STRONG, "passed"), *(Sibling(WRONG, WEAK, one) for one in ("timeout", "memory"))]
    found, programs = filled(samples)
    assert found == [["passed", "", ""], [""] * 3, [""] * 3]
    assert programs == []


def test_the_order_of_the_samples_changes_only_the_places() -> None:
    """Each answer stands where it stood."""

    async def run(samples: Sequence[Sibling]) -> list[Standing]:
        async with Sandbox(workers=1, warm=()) as sandbox:
            return await compare(samples, sandbox.run_against)

    forth, back = asyncio.run(run(SAMPLES)), asyncio.run(run(SAMPLES[::-1]))
    for one, same in zip(forth, back[::-1], strict=True):
        assert one.siblings == same.siblings[::-1]
        assert repr((one.passes_siblings, one.tests_pass, one.agreement)) == repr(
            (same.passes_siblings, same.tests_pass, same.agreement)
        )


def test_nothing_follows_from_no_samples() -> None:
    """An empty matrix, and one of one answer."""
    assert rate([]) == []
    (alone,) = rate([["passed"]])
    assert (alone.siblings, alone.agreement, repr(alone.passes_siblings)) == (["passed"], 1, repr(nan))


def answers(prompt: str, sampling: Sampling, seed: int) -> str:
    """As `scripted_model`; some answers are wrong except where their tests look, and some tests look elsewhere."""
    said = answer(prompt, sampling, seed)
    if "assert" not in said:
        return said
    if seed % 4 == 0:
        return re.sub(r"return n \+ (\d+)", r"return n + \1 + n * (n - 10)", said)
    return re.sub(r"\((0|10)\) == (\d+)", lambda one: f"({int(one[1]) + 1}) == {int(one[2]) + 1}", said)


@pytest.fixture
def recipe_of(tmp_path: Path) -> Callable[..., Recipe]:
    sources = write_sources(tmp_path / "source", 5)

    def make(*settings: str) -> Recipe:
        return small_recipe(sources, "responses.stop_after_passes=0", *settings)

    return make


CROSS = ("execution.cross=true", "selection.choose=agreement")


async def test_a_run_keeps_the_matrix_and_is_the_same_in_any_order_and_resumed(
    tmp_path: Path, recipe_of: Callable[..., Recipe]
) -> None:
    """Kept and dropped answers have their rows of it; ids and texts are those of a run without; `show` draws it."""
    recipe = recipe_of(*CROSS)
    await run_recipe(recipe, tmp_path / "a", model=ScriptedModel(answers, concurrency=1))
    model = ScriptedModel(answers, concurrency=50, latency=0.003)
    await run_recipe(recipe, tmp_path / "b", until="instructions", model=model)
    await run_recipe(recipe, tmp_path / "b", model=model)
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    await run_recipe(recipe_of(), tmp_path / "without", model=ScriptedModel(answers))
    new = ("siblings", "passes_siblings", "tests_pass", "agreement")
    for kind in ("kept", "dropped"):
        rows, without = (rows_of(tmp_path / run, "responses", kind) for run in ("a", "without"))
        plain = [
            sorted(str({name: value for name, value in row.items() if name not in new}) for row in found)
            for found in (rows, without)
        ]
        assert plain[0] == plain[1]
        for row in rows:
            assert len(row["siblings"] or ()) == (4 if row["status"] else 0)
    kept = rows_of(tmp_path / "a", "responses")
    chosen = {row["instruction_id"]: row for row in rows_of(tmp_path / "a", "selection")}
    assert any(len({row["agreement"] for row in kept if row["instruction_id"] == one}) > 1 for one in chosen)
    for row in kept:
        best = chosen.get(row["instruction_id"])
        if best is not None:
            assert (-best["agreement"], best["response_id"]) <= (-row["agreement"], row["response_id"])
    shown = call("show", str(tmp_path / "a"), kept[0]["response_id"]).stdout
    assert "against the tests of their siblings" in shown
    assert "agreement" in shown
    card = (tmp_path / "a" / "dataset" / "README.md").read_text("utf-8")
    assert "`passes_siblings` is the share" in card
    assert "passes_siblings` is" not in (tmp_path / "without" / "dataset" / "README.md").read_text("utf-8")


async def test_a_finished_run_gets_its_matrix_without_its_model(
    tmp_path: Path, recipe_of: Callable[..., Recipe]
) -> None:
    """The rows are those of a run that measured it as it sampled; switched off again, they hold nothing of it."""
    new = ("siblings", "passes_siblings", "tests_pass", "agreement")

    def standings(run: str) -> set[tuple[str, ...]]:
        rows = rows_of(tmp_path / run, "responses") + rows_of(tmp_path / run, "responses", "dropped")
        return {tuple(str(row[name] or None) for name in ("response_id", "status", *new)) for row in rows}

    await run_recipe(recipe_of(*CROSS), tmp_path / "with", until="responses", model=ScriptedModel(answers))
    await run_recipe(recipe_of(), tmp_path / "run", until="selection", model=ScriptedModel(answers))
    plain = standings("run")
    await rejudge_run(tmp_path / "run", ["execution.cross=true"], apply=True)
    assert standings("run") == standings("with") != plain
    await rejudge_run(tmp_path / "run", ["execution.cross=false"], apply=True)
    assert standings("run") == plain


async def test_with_an_early_stop_the_matrix_is_of_what_was_drawn(tmp_path: Path) -> None:
    """As many places as samples."""
    recipe = small_recipe(write_sources(tmp_path / "source", 3), "execution.cross=true")
    await run_recipe(recipe, tmp_path / "run", until="responses", model=scripted_model())
    rows = rows_of(tmp_path / "run", "responses") + rows_of(tmp_path / "run", "responses", "dropped")
    drawn = [row["instruction_id"] for row in rows]
    for row in rows:
        assert len(row["siblings"] or ()) in (0, drawn.count(row["instruction_id"]))
    assert any(row["siblings"] for row in rows)
