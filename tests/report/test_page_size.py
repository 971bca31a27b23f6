"""The report is small for any run: lists, rows, texts and curves are bounded, and what is left out is told."""

from __future__ import annotations

from dataclasses import replace

from selfcodealign.report.facts import EvaluationTable, RateTable, RunFacts, Shown, Training
from selfcodealign.report.page.render import MOST_BYTES, render
from selfcodealign.rows import Books
from tests.support.page_parts import read_page
from tests.support.report_facts import make_facts, make_rate, make_row

CODE = "```python\n" + "x = [(1, 'a'), {'b': lambda y: y ** 2}]\n" * 3_300 + "```"


def make_monstrous_facts() -> RunFacts:
    """A thousand reasons, 5,000 rows of scores, long texts, a hundred thousand steps."""
    reasons = {f"reason_{number}": number + 1 for number in range(1_000)}
    stages = [replace(one, books=Books(1_000_000, 10, reasons), whole={}) for one in make_facts().stages] * 10
    steps = [{"step": float(number), "loss": 1 / number, "reward": 0.5} for number in range(1, 100_001)]
    proof = [(f"row {number}", [(CODE, True), (CODE, False)] * 100) for number in range(50)]
    repeat = replace(
        make_facts().repeat,
        recipe="[a]\n" + "b = 1\n" * 50_000,
        decided_by={f"stage {n}": {f"key {m}": "v" * 5_000 for m in range(300)} for n in range(100)},
        files={f"train-{n:05}.parquet": "0" * 64 for n in range(10_000)},
    )
    long = make_row(seed=CODE, instruction=CODE, response=CODE, tests=CODE, output=CODE, status="failed", line=7)
    return make_facts(
        stages=stages,
        rates=[RateTable(by, [make_rate(f"{by} {n}", 1, 2) for n in range(3_000)]) for by in ("stage", "concept")],
        passes=dict.fromkeys(range(10_000), 1),
        evaluation=EvaluationTable(
            [f"head {n}" for n in range(200)], [["12.5 [8.0–17.0]"] * 200] * 5_000, ["note " * 1_000] * 1_000
        ),
        training=[Training("train", {f"figure {n}": "v" * 9_000 for n in range(900)}, steps, 100_000, proof)] * 20,
        shown=[Shown("responses", False, "failed", CODE, long)] * 60,
        repeat=repeat,
        licences={f"licence {n}": n for n in range(5_000)},
        warnings=["w" * 10_000] * 1_000,
    )


def test_a_monstrous_run_has_a_small_page() -> None:
    """3 MB at most, with the reasons, rows and letters that are left out in numbers."""
    page = render(make_monstrous_facts())
    assert len(page.encode()) <= MOST_BYTES
    told = " ".join(read_page(page).text.split())
    assert "more reasons" in told
    assert "more characters" in told
    assert "more columns not shown" in told
    assert "rows to read" in told.lower()


def test_rows_of_usual_length_are_shown_whole() -> None:
    """Thirty rows of 6,000 letters in each text stay within the limit without a cut."""
    text = "```python\n" + "value = compute(left, right)\n" * 70 + "```"
    row = make_row(seed=text, response=text, tests=text)
    page = render(make_facts(shown=[Shown("selection", True, "", "", row)] * 30))
    assert "more characters" not in page
    assert len(page.encode()) <= MOST_BYTES
