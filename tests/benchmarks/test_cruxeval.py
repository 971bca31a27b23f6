"""CRUXEval: rows of our own judged in the real sandbox, and the recorded scores of a real model, to the last digit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from selfcodealign.evaluation import Candidate, evaluate
from selfcodealign.settings import EvaluateSettings, ExecutionSettings
from tests.support.benchmark_rows import write_lines
from tests.support.grading import judge, read
from tests.support.places import find_shared

ROW = {
    "id": "sample_0",
    "code": "def f(words, n):\n    words = words * n\n    return words",
    "input": "['a', '=='], 2",
    "output": "['a', '==', 'a', '==']",
}
VALUES = {
    "['a', '=='] * 2": "passed",
    "['a', '==', 'a', '=='] # four": "passed",
    "[str(one) for one in ('a', '==')] * 2": "passed",
    "assert f(['a', '=='], 2) == ['a', '==', 'a', '==']": "passed",
    "['a', '==']": "failed",
    "'a', '=='": "failed",
    "['a', '==', 'a', '==']\nprint(1)": "failed",
    "[] or True": "failed",
    "f(['a', '=='], 2)": "failed",
    "type('A', (), {'__eq__': lambda *given: True})()": "failed",
    "([f for f in [1]] and f(['a', '=='], 2))": "failed",
    "([eval for eval in [1]] and eval('f([\\'a\\', \\'==\\'], 2)'))": "failed",
    "((f := 1) and words)": "failed",
    "(x for x in [1]).gi_frame.f_globals['f'](['a', '=='], 2)": "failed",
    "[f for f in [words for words in (['a', '==']) * 2]]": "passed",
    "['a'": "error",
    "": "error",
    "10 ** 10 ** 8": "timeout",
}
INPUTS = {
    "f(['a', '=='], 2)": "passed",
    "f(['a', '==', 'a', '=='], 1)": "passed",
    "assert f(['a', '=='], n=2) == ['a', '==', 'a', '==']": "passed",
    "f(*[[x for x in ('a', '==')], 2])": "passed",
    "f(**{'words': ['a', '=='], 'n': 2})": "passed",
    "f(['a'], 2)": "failed",
    "['a', '=='], 2": "failed",
    "f([], 0) or ['a', '==', 'a', '==']": "failed",
    "f(words, 2)": "failed",
    "f(['a', '=='])": "error",
}


@pytest.mark.parametrize(("name", "answers"), [("cruxeval-o", VALUES), ("cruxeval-i", INPUTS)])
def test_every_kind_of_answer_gets_its_verdict(name: str, answers: dict[str, str]) -> None:
    """An answer is one expression; no expression that holds for every value is right."""
    benchmark, (problem,) = read(name, ROW)
    (grades,) = judge((benchmark, problem, list(answers)))
    assert {text: grade.status for text, grade in zip(answers, grades, strict=True)} == answers
    assert [grade.values[name] for grade in grades] == [float(status == "passed") for status in answers.values()]
    ((reference,),) = judge((benchmark, problem, [problem.reference]))
    assert reference.status == "passed"


def test_prompts_show_what_is_given_and_not_what_is_asked() -> None:
    """The value is hidden for output prediction, the arguments for input prediction, in every mode."""
    for name, hidden, shown in (("cruxeval-o", "output", "input"), ("cruxeval-i", "input", "output")):
        benchmark, (problem,) = read(name, ROW)
        for mode in ("completion", "few-shot", "chat"):
            prompt = benchmark.prompt(problem, mode)
            text = prompt.text + prompt.response_prefix
            assert ROW[hidden] not in text
            assert ROW[shown] in text
            assert ROW["code"] in text
            assert text == text.rstrip()


@pytest.mark.parametrize(
    ("name", "continued", "said", "found"),
    [
        ("cruxeval-o", " [1, 2]", "```python\nassert f(['a', '=='], 2) == [1, 2]\n```", "[1, 2]"),
        ("cruxeval-i", "(['=='], 2) == [1]", "It is\n```python\nassert f(['=='], 2) == [1]\n```\n.", "f(['=='], 2)"),
    ],
)
def test_the_expression_is_found_in_a_text(name: str, continued: str, said: str, found: str) -> None:
    """In the continuation of a prompt, and in a chat answer with the whole assertion."""
    benchmark, (problem,) = read(name, ROW)
    assert benchmark.join(problem, continued) == found
    assert benchmark.solution(problem, said) == found


def test_recorded_scores_come_out_exactly(tmp_path: Path) -> None:
    """pass@1 and pass@5 of Code Llama 7B's ten recorded answers to each of the first 100 tasks, answer by answer."""
    problems = find_shared("cruxeval/cruxeval.jsonl")
    folder = "recorded/cruxeval-codellama-7b"
    generations = json.loads(find_shared(f"{folder}/generations_output.json").read_text("utf-8"))
    scored = json.loads(find_shared(f"{folder}/scored_output.json").read_text("utf-8"))["raw_scored_generations"]
    rows = [{"task_id": task, "solution": text} for task, texts in generations.items() for text in texts]
    samples = write_lines(tmp_path / "codellama.jsonl", rows)
    settings = EvaluateSettings(limit=100, k=[1, 5])
    candidate = Candidate(label="codellama", samples={"cruxeval-o": samples})
    out, files = tmp_path / "out", {"cruxeval-o": problems}
    evaluation = asyncio.run(evaluate([candidate], ["cruxeval-o"], out, settings, ExecutionSettings(), files))
    assert evaluation.scores[0].version == "CRUXEval, 800 tasks"
    found: dict[str, list[bool]] = {}
    for line in (out / "codellama/cruxeval-o/results.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["task_id"], []).append(row["value:cruxeval-o"] == 1.0)
    assert found == {f"sample_{number}": scored[f"sample_{number}"] for number in range(100)}
