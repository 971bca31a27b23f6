"""Answers judged in the real sandbox: right ones pass, wrong ones fail, and no trick passes for right."""

from __future__ import annotations

import pytest

from selfcodealign.benchmarks import Grade
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.benchmarks.problem_files import load_rows
from tests.support.benchmark_rows import evalplus_row
from tests.support.grading import Work, judge, read
from tests.support.places import find_shared

HEAD = "def add_all(numbers):\n"
ANSWERS = {
    "right": (HEAD + "    return sum(numbers)\n", "passed"),
    "right with numpy": ("import numpy as np\n" + HEAD + "    return np.sum(np.array(numbers, dtype=int))\n", "passed"),
    "wrong on base": (HEAD + "    return len(numbers)\n", "failed"),
    "wrong on plus": (HEAD + "    return abs(sum(numbers)) if numbers[-1:] != [30] else 61\n", "failed"),
    "raises": (HEAD + "    return numbers[0] + sum(numbers[1:])\n", "error"),
    "does not parse": (HEAD + "    return (\n", "error"),
    "defines nothing": ("x = 1\n", "error"),
    "lacks an import": ("def add_all(numbers: List[int]):\n    return sum(numbers)\n", "error"),
    "never ends": (HEAD + "    while True: pass\n", "timeout"),
    "never ends where no Python runs": (HEAD + "    return 10 ** 10 ** 8\n", "timeout"),
    "sleeps for ever": (HEAD + "    import time\n    time.sleep(1000)\n", "timeout"),
    "ends the process": (HEAD + "    import os\n    os._exit(0)\n", "crashed"),
    "leaves": ("import sys\nsys.exit(0)\n", "error"),
    "takes all memory": (HEAD + "    return [0] * 10**10\n", "error"),
    "equals everything": (
        "class A:\n    def __eq__(self, other): return True\n" + HEAD + "    return A()\n",
        "failed",
    ),
    "prints a verdict": (
        HEAD + '    print(\'{"status": "pass"}\')\n    return None\n',
        "failed",
    ),
    "writes to every descriptor": (
        HEAD
        + "    import os\n    for fd in range(3, 256):\n        try: os.write(fd, b'x' * 100)\n"
        + "        except OSError: pass\n    return 0\n",
        "crashed",
    ),
    "kills all others": (HEAD + "    import os\n    os.kill(-1, 9)\n    return 3\n", "failed"),
    "swallows its time-out": (
        HEAD + "    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n",
        "timeout",
    ),
    "changes its input": (HEAD + "    total = sum(numbers)\n    numbers.clear()\n    return total\n", "passed"),
}


def forge(reply: str) -> str:
    """An answer that sends a reply of its own, many times, into every pipe it finds."""
    return (
        f"{HEAD}    import marshal, os, struct, time\n    data = marshal.dumps({reply})\n"
        "    for fd in range(3, 256):\n        try:\n"
        "            for _ in range(50): os.write(fd, struct.pack('<I', len(data)) + data)\n"
        "        except OSError: pass\n    time.sleep(1000)\n"
    )


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ('[("digest", 0.0, "int", None)]', "crashed"),
        ('[("value", 0.0, False, b"?")]', "failed"),
        ('[("value", 0.0, False, b"[\\xff\\xff\\xff\\x7f")]', "failed"),
        ('[("value", "0", False, marshal.dumps(6))]', "crashed"),
        ('[("value", -1e9, False, marshal.dumps(6))]', "crashed"),
        ('[("value", float("nan"), False, marshal.dumps(6))]', "crashed"),
        ('[("value", 0.0)]', "crashed"),
        ('[("wrong", 0.0, "", "")]', "crashed"),
        ('[("error", 0.0, 1, None)]', "crashed"),
        ('[(["value"], 0.0, "", "")]', "crashed"),
        ('[("error", 0.0, "", "")] * 9', "crashed"),
        ('["value"]', "crashed"),
        ("[]", "crashed"),
        ("{}", "crashed"),
    ],
)
def test_a_forged_reply_is_a_failed_answer(reply: str, status: str) -> None:
    """It counts in the score: a judge that stops at it would leave the answer out."""
    benchmark, (problem,) = read("humaneval+", evalplus_row())
    ((grade, right),) = judge((benchmark, problem, [forge(reply), ANSWERS["right"][0]]))
    assert (grade.status, grade.values) == (status, {"humaneval": 0.0, "humaneval+": 0.0}), grade
    assert right.status == "passed"


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Grade]:
    """All answers, judged together (eight to a program), as samples of one task are."""
    benchmark, (problem, short) = read("humaneval+", evalplus_row(), evalplus_row(base_input=[[[1, 2]]], plus_input=[]))
    slow = [name for name, (_, status) in ANSWERS.items() if status == "timeout"]
    quick = [name for name in ANSWERS if name not in slow]
    groups = [(problem, quick), (short, slow[::2]), (short, slow[1::2])]
    found = judge(*((benchmark, task, [ANSWERS[name][0] for name in names]) for task, names in groups))
    return {
        name: outcome
        for (_, names), one in zip(groups, found, strict=True)
        for name, outcome in zip(names, one, strict=True)
    }


@pytest.mark.parametrize("name", ANSWERS)
def test_every_kind_of_answer_gets_its_verdict(outcomes: dict[str, Grade], name: str) -> None:
    """The verdict is that of the answer alone, whatever its neighbours in the same program did."""
    outcome = outcomes[name]
    assert outcome.status == ANSWERS[name][1], outcome
    right = name.startswith("right") or name == "changes its input"
    assert outcome.values["humaneval+"] == float(right)
    assert outcome.values["humaneval"] == float(right or name == "wrong on plus")


def test_a_failure_names_the_first_failing_call_and_what_was_seen(outcomes: dict[str, Grade]) -> None:
    """Per suite: which call, what it gave, what was expected."""
    wrong = outcomes["wrong on plus"]
    assert (wrong.suites["base"].status, wrong.suites["plus"].status, wrong.suites["plus"].index) == ("pass", "fail", 1)
    assert wrong.detail == "plus test 1: gave 61, expected 60"
    assert outcomes["raises"].detail.startswith("base test 1: IndexError")
    assert "NameError: name 'List'" in outcomes["lacks an import"].detail


def test_a_broken_reference_fails_no_answer() -> None:
    """When the benchmark's own solution does not run, answers are not judged."""
    benchmark, (problem,) = read("humaneval+", evalplus_row(canonical_solution="    return missing\n"))
    ((outcome,),) = judge((benchmark, problem, [HEAD + "    return sum(numbers)\n"]))
    assert outcome.status == "not_judged"
    assert not outcome.values
    assert "NameError" in outcome.detail


def test_slow_references_give_answers_more_time() -> None:
    """An answer may take four times what the reference took, also beyond a second."""
    spin = (
        "    import time\n    end = time.process_time() + {}\n"
        "    while time.process_time() < end: sum(range(10000))\n    return 1\n"
    )
    row = evalplus_row(canonical_solution=spin.format(0.3), base_input=[[[]]], plus_input=[])
    benchmark, (problem,) = read("humaneval+", row)
    ((inside, beyond),) = judge((benchmark, problem, [HEAD + spin.format(1.05), HEAD + spin.format(2.0)]))
    assert (inside.status, beyond.status) == ("passed", "timeout")


def test_an_answer_wrong_at_once_is_not_asked_for_the_rest() -> None:
    """The first wrong value ends it: the answer never meets the call on which it would end its process."""
    row = evalplus_row(base_input=[[[1, 2]], [[9]]], plus_input=[])
    benchmark, (problem,) = read("humaneval+", row)
    code = HEAD + "    import os\n    return 0 if numbers != [9] else os._exit(0)\n"
    ((outcome,),) = judge((benchmark, problem, [code]))
    assert (outcome.status, outcome.suites["base"].index) == ("failed", 0)
    assert outcome.detail == "base test 0: gave 0, expected 3"


def test_answers_to_a_slow_reference_are_judged_alike_in_pieces() -> None:
    """A reference slow enough to be computed by several processes gives right and wrong answers their verdicts."""
    slow = "    for _ in range(6_000_000): pass\n    return sum(numbers)\n"
    row = evalplus_row(canonical_solution=slow, base_input=[[[number]] for number in range(16)], plus_input=[[[3]]])
    benchmark, (problem,) = read("humaneval+", row)
    wrong = "    return sum(numbers) if numbers != [13] else 12\n"
    ((right, wrong_at_the_end),) = judge((benchmark, problem, [HEAD + "    return sum(numbers)\n", HEAD + wrong]))
    assert (right.status, wrong_at_the_end.status) == ("passed", "failed")
    assert wrong_at_the_end.detail == "base test 13: gave 12, expected 13"


def test_mbpp_inputs_have_their_true_types_and_oracles() -> None:
    """Lists of the file become tuples where the task wants them, and order is free where it says so."""
    row = evalplus_row(
        task_id="Mbpp/2",
        prompt='"""\nShared elements.\nassert set(similar_elements((1, 2), (2,))) == {2}\n"""\n',
        entry_point="similar_elements",
        canonical_solution=(
            "def similar_elements(a, b):\n    assert type(a) is type(b) is tuple\n    return tuple(set(a) & set(b))\n"
        ),
        base_input=[[[3, 4, 5], [4, 5, 6]]],
        plus_input=[[[], []]],
    )
    benchmark, (problem,) = read("mbpp+", row)
    head = "def similar_elements(a, b):\n"
    codes = [
        head + "    return [5, 4] if a else []",
        head + "    return filter(b.__contains__, a)",
        head + "    return (4,)",
    ]
    ((listed, lazy, wrong),) = judge((benchmark, problem, codes))
    assert (listed.values["mbpp+"], lazy.values["mbpp+"], wrong.values["mbpp+"]) == (1, 1, 0)
    assert "Your code should pass the following assertion" in problem.instruction


def test_original_files_are_judged_by_their_assertions() -> None:
    """HumanEval's check() and MBPP's test_list, the latter with the set-up code behind the solution."""
    prompt = evalplus_row()["prompt"]
    test = "def check(candidate):\n    assert candidate([1, 2]) == 3\n"
    row = {"task_id": "HumanEval/9", "prompt": prompt, "entry_point": "add_all", "canonical_solution": "    return 0\n"}
    humaneval, (first,) = read("humaneval", row | {"test": test})
    mbpp_row = {
        "text": "Make a pair.",
        "code": "class Pair:\n    def __init__(self, a): self.a = a\ndef f(p): return p.a",
        "task_id": 367,
        "test_setup_code": "one = Pair(1)",
        "test_list": ["assert f(one) == 1"],
        "challenge_test_list": [],
    }
    mbpp, (second,) = read("mbpp", mbpp_row)
    good = prompt + '    """\n    ```\n    a fence in a docstring\n    ```\n    """\n    return sum(numbers)\n'
    ((several, samples),) = judge((humaneval, first, [prompt + "    return 4\n", good]))
    assert (several.status, samples.status) == ("failed", "passed")
    found = judge(
        (humaneval, first, [good]),
        (humaneval, first, [prompt + "    return 4\n"]),
        (humaneval, first, ["import sys\nsys.exit(0)\n"]),
        (mbpp, second, [second.reference]),
        (mbpp, second, ["def f(p): return 1"]),
    )
    assert [one[0].status == "passed" for one in found] == [True, False, False, True, False]


def test_evoeval_reads_arguments_written_as_text() -> None:
    """Inputs are texts of arguments; the reference is the prompt, a newline and the body."""
    row = {
        "task_id": "EvoEval/0",
        "prompt": 'def spread(pairs, limit):\n    """Widest difference below limit."""',
        "canonical_solution": "    return max([b - a for a, b in pairs if b - a < limit], default=0.0)",
        "entry_point": "spread",
        "contract": "",
        "inputs": ["[(1.0, 2.5), (0, 9)], 5", "[], 1"],
    }
    benchmark, (problem,) = read("evoeval-difficult", row)
    codes = [problem.reference, "def spread(pairs, limit):\n    return 1.5 + 1e-9 if pairs else 0.0", "spread = max"]
    ((own, near, wrong),) = judge((benchmark, problem, codes))
    assert [one.status for one in (own, near, wrong)] == ["passed", "passed", "error"]


def test_classeval_scores_whole_classes_and_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class passes when every test class does; a test class that never ends loses only itself."""
    test = (
        "import unittest\nclass CounterTestAdd(unittest.TestCase):\n    def test_add(self):\n"
        "        c = Counter()\n        c.add()\n        self.assertEqual(c.n, 1)\n"
        "class CounterTestDrop(unittest.TestCase):\n    def test_drop(self):\n"
        "        c = Counter()\n        c.drop()\n        self.assertEqual(c.n, -1)\n"
    )
    solution = (
        "class Counter:\n    def __init__(self): self.n = 0\n"
        "    def add(self): self.n += 1\n    def drop(self): self.n -= 1\n"
    )
    row = {
        "task_id": "ClassEval_0",
        "skeleton": "class Counter: ...",
        "test": test,
        "solution_code": solution,
        "import_statement": ["import math"],
        "class_name": "Counter",
        "test_classes": ["CounterTestAdd", "CounterTestDrop"],
    }
    monkeypatch.setattr("selfcodealign.benchmarks.classeval.SECONDS", 1)
    benchmark, (problem,) = read("classeval", row)
    changes = [
        "-= 2",
        "-= 1; import os; os._exit(0)",
        "-= 1; any(iter(int, 1))",
        "-= 1; import time; time.sleep(99)",
    ]
    codes = [benchmark.join(problem, code) for code in (solution, *(solution.replace("-= 1", one) for one in changes))]
    found = judge(*((benchmark, problem, [code]) for code in (*codes, "import sys; sys.exit(0)")))
    (whole,), (part,), (gone,), (endless,), (asleep,), (none,) = found
    assert whole.values == {"classeval": 1.0, "classeval-methods": 1.0}
    half = {"classeval": 0.0, "classeval-methods": 0.5}
    assert [one.values for one in (part, gone, endless, asleep)] == [half] * 4
    assert [one.status for one in (part, gone, endless, asleep)] == ["failed", "failed", "timeout", "timeout"]
    assert none.values == {"classeval": 0.0, "classeval-methods": 0.0}


def test_canitedit_asks_twice_and_notices_missing_libraries() -> None:
    """Descriptive and lazy instructions are separate tasks; a missing library fails no answer."""
    row = {
        "id": 1,
        "full_name": "1_double",
        "before": "def f(x):\n    return x\n",
        "after": "def f(x):\n    return 2 * x\n",
        "tests": (
            "### START TESTS ###\nif True:\n    import inspect\n    assert f(2) == 4\n"
            "    assert '2 * x' in inspect.getsource(f)\n"
        ),
        "instruction_descriptive": "Double the result of f.",
        "instruction_lazy": "Double it.",
    }
    benchmark, (descriptive, lazy) = read("canitedit", row)
    missing, _ = benchmark.problems([row | {"tests": "import no_such_library_here\nassert f(2) == 4"}])
    (first,), (second,), (third,) = judge(
        (benchmark, descriptive, [row["after"]]),
        (benchmark, lazy, [row["before"]]),
        (benchmark, missing, [row["before"]]),
    )
    assert first.values == {"canitedit-descriptive": 1.0}
    assert second.values == {"canitedit-lazy": 0.0}
    assert third.status == "not_judged"
    assert "no_such_library_here" in third.detail
    assert "```python\ndef f(x)" in benchmark.prompt(lazy, "chat").text


def test_published_references_pass_and_mutants_fail() -> None:
    """A spread of HumanEval+ and MBPP+ (all of them: bench/evaluation.py): 100 % and 0 %."""
    work: list[Work] = []
    for name, path in (
        ("humaneval+", "humanevalplus/HumanEvalPlus-v0.1.10.jsonl.gz"),
        ("mbpp+", "mbppplus/MbppPlus-v0.2.0.jsonl.gz"),
    ):
        benchmark = find_benchmark(name)
        problems = benchmark.problems(load_rows(name, benchmark.source, find_shared(path)).rows)[3::25]
        for problem in problems:
            broken = f"{problem.reference}\n\ndef {problem.entry_point}(*arguments):\n    return 'mutant'\n"
            work.append((benchmark, problem, [problem.reference, broken]))
    found = judge(*work)
    assert [one[0].status for one in found] == ["passed"] * len(work)
    assert [work[number][1].task_id for number, one in enumerate(found) if one[1].status == "passed"] == []
