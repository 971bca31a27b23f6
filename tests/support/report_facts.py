"""Facts of runs made by hand, for the report's page: a rich run like the quickstart, and one that has only begun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from selfcodealign.models.usage import Usage
from selfcodealign.report.asked import AskedAccount
from selfcodealign.report.facts import (
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
from selfcodealign.report.funnel import StageAccount
from selfcodealign.rows import Books
from selfcodealign.run_folder.marks import Mark

_SEED = '''def selective_find(str, char, index, pos):
    """Return a pair (index, pos), indicating the next occurrence of
    char in str."""
    l = len(str)
    while 1:
        pos += 1
        if pos == l:
            return (-1, -1)
        c = str[pos]
        if c == char:
            return index+1, pos
        elif c < char:
            index += 1
'''
_OF_FILES = {"test_code": 964, "vendored": 225, "no_functions": 133, "generated": 4}
_OF_FUNCTIONS = {
    "no_docstring": 1259,
    "needs_module_names": 856,
    "no_return_value": 258,
    "too_few_arguments": 177,
    "self_argument": 28,
    "trivial_docstring": 20,
    "relative_import": 16,
    "too_long": 15,
    "star_import": 11,
    "undefined_names": 2,
}


def make_rate(name: str, passed: int, judged: int) -> Rate:
    """A rate with an interval around its share."""
    share = passed / judged
    return Rate(name, passed, judged, max(0.0, share - 0.08), min(1.0, share + 0.08))


def make_row(**given: Any) -> dict[str, Any]:
    """A response as it is stored."""
    return {
        "seed_id": "047bce46bb09573e",
        "seed": _SEED,
        "function": "selective_find",
        "origin": "CPython 3.11.7",
        "source_path": "encodings/punycode.py",
        "source_line": 30,
        "licence": "PSF-2.0",
        "kind": "functions",
        "concepts": ["range iteration", "slicing"],
        "instruction_id": "533788336496148a",
        "category": "function",
        "language": "Python",
        "difficulty": "easy",
        "instruction": "Define `added(a, b)` to do this: take the sum of `a` and `b`.",
        "response_id": "a51deff04c4a7233",
        "sample": 0,
        "completion": "",
        "response": "The sum:\n\n```python\ndef added(a, b):\n    return a + b\n```",
        "tests": "```python\nassert added(7, 1) == 7 + 1\nassert added(6, 5) == 6 + 5\n```",
        "status": "passed",
        "error_type": "",
        "message": "",
        "line": -1,
        "output": "",
        "seconds": 0.021,
        "mutation_score": 1.0,
        "proof": "split",
        **given,
    }


def make_shown() -> list[Shown]:
    """Kept and dropped rows of several stages."""
    failed = make_row(
        response_id="b61deff04c4a7233",
        status="failed",
        error_type="AssertionError",
        message="11 == 30",
        line=2,
        proof="",
        output="AssertionError: 11 == 30",
        tests="```python\nassert added(7, 1) == 7 + 1\nassert added(6, 5) == 6 * 5\n```",
    )
    seed = {name: value for name, value in make_row().items() if name in ("seed_id", "seed", "origin", "licence")}
    return [
        Shown("selection", True, "", "", make_row()),
        Shown("responses", False, "failed", "11 == 30", failed),
        Shown("near_dedup", False, "near_copy", "of 03fe16da9bf9bb25, 0.91", seed),
        Shown("seeds", False, "test_code", "tests/test_punycode.py", {"source_id": "a1", "seed": None}),
    ]


def _stages() -> list[StageAccount]:
    def stage(
        name: str, entered: int, kept: int, dropped: dict[str, int], units: tuple[str, str, str], **given: Any
    ) -> StageAccount:
        return StageAccount(name, Books(entered, kept, dropped), True, *units, **given)

    seeds, lists, tasks, answers = "seeds", "concept lists", "instructions", "responses"
    close = {"near_copy": 39, "over_limit": 25}
    same = {"same_names": 63, "same_response": 61, "contaminated": 7, "echo": 2}
    return [
        stage("seeds", 1790, 385, _OF_FILES | _OF_FUNCTIONS, ("files", "functions", seeds), whole=_OF_FILES),
        stage("decontamination", 385, 384, {"contaminated": 1}, (seeds,) * 3, whole={"contaminated": 1}),
        stage("near_dedup", 384, 320, close, (seeds,) * 3, whole=close),
        stage("concepts", 320, 319, {"copied": 1}, (seeds, lists, lists), whole={"copied": 1}),
        stage("instructions", 319, 638, {}, (lists, tasks, tasks)),
        stage("distinct", 638, 535, {"same_instruction": 103}, (tasks,) * 3, whole={"same_instruction": 103}),
        stage("responses", 535, 456, {"failed": 1115, "error": 33}, (tasks, answers, answers)),
        stage("selection", 456, 323, same, (answers,) * 3, whole=same),
    ]


def _histogram(name: str, unit: str, counts: Iterable[int], step: float) -> Histogram:
    found = list(counts)
    edges = [place * step for place in range(len(found) + 1)]
    return Histogram(name, unit, edges, found, sum(found), 2.5 * step, 2 * step, 8 * step)


def _concepts() -> Concepts:
    return Concepts(
        lists=319,
        distinct=142,
        groups=131,
        once=60,
        top=[("list comprehension", 61), ("string formatting", 44), ("slicing", 33), ("default arguments", 12)],
        near_duplicates=[ConceptGroup([("for loop", 9), ("For loops", 4), ("for-loop", 1)])],
        several=1,
        coverage=[(1, 3), (50, 61), (100, 88), (200, 120), (319, 142)],
    )


def _contamination() -> Contamination:
    hit = ContaminationHit(
        "selection",
        "08e4279dd1248c61",
        "text",
        "tiny-eval",
        "tiny/423",
        "Implement `format_upper_slash_doubled(name, count)`. It should return `name` in capitals.",
        "Implement `format_upper_slash_doubled(name, count)`. It returns `name` in capital letters.",
    )
    return Contamination(["tiny-eval", "humaneval"], {"tiny-eval": 7}, [hit], 7, {"mbpp": "no file of this name"})


def _training() -> Training:
    steps = [{"step": float(n), "loss": 1.5 / n, "learning_rate": 5e-4 * (1 - n / 124)} for n in range(1, 124)]
    piece = [("### Instruction\nImplement `multiplied(x, y)`.\n\n### Response\n", False), ("return x * y<|end|>", True)]
    figures = {"Base model": "embedded", "Data set": "323 rows", "Loss": "1.2977 → 0.0279", "Time": "24.1 s"}
    return Training("train", figures, steps, 123, [("row 162", piece)])


def _repeat() -> Repeat:
    return Repeat(
        recipe='[model]\nname = "embedded"\n\n[responses]\nsamples = 8\n',
        journey=["seeds", "concepts", "instructions", "responses", "selection", "dataset", "train", "evaluate"],
        versions={"selfcodealign": "0.1.0", "python": "3.11.7", "command": "selfcodealign run quickstart --out RUN"},
        models={"model": {"name": "embedded", "revision": "sha256:cf676b2ebde6f808", "engine": "transformers"}},
        decided_by={"responses": {"responses.samples": 8, "responses.parts": ["response", "tests"]}},
        rows={"responses": "eeb3ee4a9fc458e6", "selection": "9abb529212afecf4"},
        files={"train-00000.parquet": "cf676b2ebde6f808" * 4},
    )


def make_facts(**changed: Any) -> RunFacts:
    """The facts of a finished run; `changed` replaces fields."""
    found: dict[str, Any] = {
        "name": "quickstart",
        "path": Path("runs/quickstart"),
        "finished": True,
        "started": "2026-11-27T07:58:26+0000",
        "stages": _stages(),
        "asked": AskedAccount(
            {
                "concepts": Usage(320, 52282, 52282, 17472, 2657),
                "instructions": Usage(638, 58002, 0, 0, 21059),
                "responses": Usage(1605, 246712, 246712, 127062, 114104),
            },
            323,
            323,
        ),
        "spending": Spending(115.3, 0.357, 0.42, 0.0013, "USD"),
        "rates": [
            RateTable("stage", [make_rate("responses", 456, 1604)]),
            RateTable("category", [make_rate("function", 300, 900), make_rate("class", 10, 90)]),
            RateTable("difficulty", [make_rate("easy", 400, 1000), make_rate("hard", 56, 604)]),
            RateTable("concept", [make_rate("list comprehension", 40, 90), make_rate("slicing", 5, 60)], others=88),
        ],
        "passes": {0: 79, 1: 456},
        "scores": _histogram("mutation score", "share", [0, 0, 1, 4, 0, 12, 3, 40, 80, 316], 0.1),
        "lengths": [
            _histogram("instruction", "characters", [5, 60, 200, 150, 60, 20, 4], 30),
            _histogram("response", "characters", [40, 210, 150, 40, 10, 4, 2], 60),
        ],
        "concepts": _concepts(),
        "contamination": _contamination(),
        "licences": {"PSF-2.0": 300, "MIT": 23},
        "origins": {"CPython 3.11.7": 300, "requests==2.32": 23},
        "authors": [("seed", "people, as the origins say", "seeds"), ("instruction", "embedded", "instructions")],
        "training": [_training()],
        "evaluation": EvaluationTable(
            ["model", "asked by", "tiny-eval", "no code"],
            [
                ["base (chat)", "chat", "12.5 [8.0–17.0]", "2.0 %"],
                ["base (one example)", "few-shot", "66.5 [60.0–73.0]", "0.0 %"],
                ["tuned", "chat", "90.0 [86.0–94.0]", "0.0 %"],
            ],
            ["tuned is 77.5 points above base (chat) on tiny-eval (200 tasks, p < 0.001 by an exact test)."],
        ),
        "marks": MarkCounts(
            {"instruction": {"drop": 2}, "response": {"keep": 3, "drop": 1}},
            1,
            3,
            1,
            2,
            [Mark("a51deff04c4a7233", "drop", "wrong units", "ada", "2026-11-27T08:12:03+00:00")],
        ),
        "shown": make_shown(),
        "repeat": _repeat(),
        "warnings": [],
    }
    return RunFacts(**(found | changed))


def make_empty_facts(**changed: Any) -> RunFacts:
    """The facts of a run that has begun and has nothing yet."""
    nothing: Mapping[str, Any] = {}
    found: dict[str, Any] = {
        "name": "begun",
        "path": Path("runs/begun"),
        "finished": False,
        "started": "",
        "stages": [],
        "asked": AskedAccount({}, None),
        "spending": Spending(0.0),
        "rates": [],
        "passes": {},
        "scores": None,
        "lengths": [],
        "concepts": None,
        "contamination": None,
        "licences": {},
        "origins": {},
        "authors": [],
        "training": [],
        "evaluation": None,
        "marks": MarkCounts({}, 0, 0, 0, 0, []),
        "shown": [],
        "repeat": Repeat("", [], nothing, nothing, nothing, nothing, nothing),
    }
    return RunFacts(**(found | changed))
