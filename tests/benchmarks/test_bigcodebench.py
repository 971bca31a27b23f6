"""BigCodeBench: rows of our own in both formats, judged in the real sandbox, and a real model's recorded answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.benchmarks.bigcodebench import HARD
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.benchmarks.problem_files import load_rows
from selfcodealign.errors import BenchmarkError
from tests.support.benchmark_rows import read_lines
from tests.support.grading import BE_ALONE, LEAVE_A_PROCESS, judge, read, skip_without_pid_namespaces
from tests.support.places import find_shared

#: Hard tasks that need no other library: numbers.
STANDARD_LIBRARY = (273, 310, 324, 346, 454, 592, 720, 777, 854, 857, 906, 928, 971, 990, 999, 1039)
START = "import json\nfrom pathlib import Path\ndef task_func(name):"
TESTS = """
import unittest
from unittest.mock import patch
class TestCases(unittest.TestCase):
    def test_is_read(self):
        Path("a.json").write_text('{"n": 3}')
        self.assertEqual(task_func("a.json"), 3)
    def test_twice(self):
        with patch("json.loads", return_value={"n": 5}) as loads:
            Path("b.json").write_text("")
            self.assertEqual(task_func("b.json"), 5)
            loads.assert_called_once()
    @unittest.skip("not on this machine")
    def test_never(self):
        self.fail()
"""
BODY = '    return json.loads(Path(name).read_text())["n"]\n'


def row(number: int = 13, **changes: Any) -> dict[str, Any]:
    """A task of our own in the hub's format."""
    found = {
        "task_id": f"BigCodeBench/{number}",
        "complete_prompt": f'{START}\n    """Read n from a JSON file."""\n',
        "instruct_prompt": f"Read n from a JSON file.\nStart with:\n```\n{START}\n```",
        "code_prompt": START,
        "canonical_solution": BODY,
        "test": TESTS,
        "entry_point": "task_func",
        "libs": "['json', 'pathlib']",
    }
    return found | changes


WHOLE = f"{START}\n{BODY}"
ANSWERS = {
    "right": (WHOLE, "passed"),
    "right without the imports of the task": (WHOLE.partition("Path\n")[2], "passed"),
    "wrong": (f"{START}\n    return 3\n", "failed"),
    "raises": (f'{START}\n    return json.loads(Path(name).read_text())["m"]\n', "error"),
    "does not parse": (f"{START}\n    return (\n", "error"),
    "is empty": ("", "failed"),
    "skips its tests": (f"{START}\n    import unittest\n    raise unittest.SkipTest('no')\n", "failed"),
    "replaces an assertion": (
        "import unittest\nunittest.TestCase.assertEqual = lambda *given: None\n" + f"{START}\n    json.loads('1')\n",
        "failed",
    ),
    "replaces the result of tests": (
        "import unittest\nclass Good(unittest.TestResult):\n    failures = errors = property(lambda self: [], "
        f"lambda self, value: None)\nunittest.TestResult = unittest.TextTestResult = Good\n{START}\n    return 3\n",
        "failed",
    ),
    "gives the result other attributes": (
        "import unittest\nunittest.TestResult.failures = unittest.TestResult.errors = property(lambda self: [], "
        f"lambda self, value: None)\n{START}\n    return 3\n",
        "failed",
    ),
    "replaces the code of an assertion": (
        "import unittest\ndef good(self, *given): pass\nunittest.TestCase.assertEqual.__code__ = good.__code__\n"
        f"{START}\n    json.loads('1')\n",
        "failed",
    ),
    "replaces the module of its tests": (
        "import sys, types, unittest as real\nunittest = types.ModuleType('unittest')\n"
        "unittest.__dict__.update(vars(real))\nclass Good(real.TestCase):\n    def assertEqual(self, *given): pass\n"
        f"unittest.TestCase = Good\nsys.modules['unittest'] = unittest\n{START}\n    json.loads('1')\n",
        "failed",
    ),
    "replaces a builtin of the judge": (
        f"{START}\n    import builtins, unittest\n    if name == 'a.json': return 3\n    get = getattr\n"
        "    builtins.getattr = lambda *given: given[1] == '__unittest_skip__' or get(*given)\n"
        "    raise unittest.SkipTest('no')\n",
        "failed",
    ),
    "sets the length of its differences": (f"import unittest\nunittest.TestCase.maxDiff = None\n{WHOLE}", "passed"),
    "ends its process": (f"{START}\n    import os\n    os._exit(0)\n", "crashed"),
    "writes to every descriptor": (
        f"{START}\n    import os\n    for fd in range(3, 256):\n        try: os.write(fd, b'pass' * 30)\n"
        "        except OSError: pass\n    os._exit(0)\n",
        "crashed",
    ),
    "leaves": ("import sys\nsys.exit(0)\n", "error"),
    "leaves a file to the next": (f"Path('a.json').mkdir()\n{WHOLE}", "error"),
}


def test_every_kind_of_answer_gets_its_verdict() -> None:
    """Each answer has a process and an empty folder of its own; answer and tests share one module."""
    benchmark, (problem,) = read("bigcodebench", row())
    (grades,) = judge((benchmark, problem, [code for code, _ in ANSWERS.values()]))
    assert {name: grade.status for name, grade in zip(ANSWERS, grades, strict=True)} == {
        name: status for name, (_, status) in ANSWERS.items()
    }, grades
    assert all(grade.values["bigcodebench"] == float(grade.status == "passed") for grade in grades)
    assert grades[2].detail == "test_twice: AssertionError: 3 != 5"


def test_an_endless_answer_ends_by_its_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its program are judged."""
    for limit in ("SECONDS", "WAITS"):
        monkeypatch.setattr(f"selfcodealign.benchmarks.bigcodebench.{limit}", 1.0)
    benchmark, (problem,) = read("bigcodebench", row())
    endless = (
        f"{START}\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n"
    )
    waiting = f"{START}\n    import time\n    time.sleep(600)\n"
    ((slow, asleep, right),) = judge((benchmark, problem, [endless, waiting, WHOLE]))
    assert (slow.status, asleep.status, right.status) == ("timeout", "timeout", "passed")


def test_no_process_outlives_its_answer() -> None:
    """Not one with a session of its own either."""
    skip_without_pid_namespaces()
    benchmark, (problem,) = read("bigcodebench", row())
    (grades,) = judge((benchmark, problem, [BE_ALONE + WHOLE, LEAVE_A_PROCESS + WHOLE, BE_ALONE + WHOLE]))
    assert [grade.status for grade in grades] == ["passed"] * 3, grades


def test_what_this_machine_lacks_is_no_fault_of_an_answer() -> None:
    """A missing library is named with its package; where the task's own solution fails, its failure is told."""
    tests = f"import no_such_library, cv2_missing\n{TESTS}"
    needy, broken = row(test=tests), row(17, canonical_solution="    return Path('/etc/passwd').read_text()\n")
    benchmark, (first, second) = read("bigcodebench", needy, broken)
    (missing,), (fails,) = judge((benchmark, first, [WHOLE]), (benchmark, second, [WHOLE]))
    assert (missing.status, missing.values) == ("not_judged", {})
    assert missing.detail == (
        "libraries not installed here: cv2_missing, no_such_library (pip install cv2_missing no_such_library)"
    )
    assert fails.status == "not_judged"
    assert "own solution does not pass here" in fails.detail
    assert "FileNotFoundError" in fails.detail


def test_both_formats_say_the_same() -> None:
    """The annotation repository has other names for the same fields."""
    hub = row()
    local = {name: hub[name] for name in ("task_id", "canonical_solution", "test", "entry_point", "libs")}
    local |= {"prompt": hub["complete_prompt"], "instruction": hub["instruct_prompt"], "prompt_wo_doc": START}
    benchmark, (first, second) = read("bigcodebench", hub, local)
    assert first == second
    assert benchmark.prompt(first, "completion").text == hub["complete_prompt"]
    assert benchmark.prompt(first, "chat").text == hub["instruct_prompt"]
    assert benchmark.join(first, BODY).endswith(f'"""\n{BODY}')
    with pytest.raises(BenchmarkError, match="code_prompt"):
        read("bigcodebench", {name: value for name, value in hub.items() if name != "code_prompt"})


def test_the_hard_tasks_are_chosen_by_number() -> None:
    """From any file; a file without one of them is refused."""
    assert len(HARD) == 148
    _, problems = read("bigcodebench-hard", row(13), row(14))
    assert [problem.task_id for problem in problems] == ["BigCodeBench/13"]
    with pytest.raises(BenchmarkError, match="none of the 148"):
        read("bigcodebench-hard", row(14))


def test_recorded_verdicts_agree() -> None:
    """Hard tasks that need the standard library only, as the official tool judged a real model's answers to them."""
    folder = Path("recorded/bigcodebench-qwen2.5-coder-7b-base")
    stem = "hard-completion-sanitized-calibrated"
    recorded = json.loads(find_shared(str(folder / f"{stem}_hard_eval_results.json")).read_text("utf-8"))["eval"]
    answers = {one["task_id"]: one["solution"] for one in read_lines(find_shared(str(folder / f"{stem}.jsonl")))}
    assert set(answers) == HARD
    benchmark = find_benchmark("bigcodebench-hard")
    path = find_shared("bigcodebench/BigCodeBench.jsonl.gz")
    file = load_rows(benchmark.name, benchmark.source, path)
    assert file.version == "bigcodebench-annotation, 1140 tasks"
    problems = {problem.task_id: problem for problem in benchmark.problems(file.rows)}
    assert set(problems) == HARD
    wanted = [f"BigCodeBench/{number}" for number in STANDARD_LIBRARY]
    found = judge(*((benchmark, problems[task], [answers[task]]) for task in wanted))
    ours = {task: grade.status == "passed" for task, (grade,) in zip(wanted, found, strict=True)}
    assert "not_judged" not in {grade.status for (grade,) in found}
    assert ours == {task: recorded[task][0]["status"] == "pass" for task in wanted}
