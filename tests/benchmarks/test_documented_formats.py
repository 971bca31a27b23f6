"""LiveCodeBench, DS-1000 and EvalPerf: rows of the documented formats, written by us, and the few real samples."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from typing import Any

import pytest

from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.benchmarks.ds1000 import ask
from selfcodealign.benchmarks.evalperf import rank
from selfcodealign.benchmarks.inside.scripts import near_number, same_number, same_output
from selfcodealign.benchmarks.livecodebench import _unpack
from selfcodealign.benchmarks.problem_files import load_rows
from selfcodealign.errors import BenchmarkError
from tests.support.grading import BE_ALONE, LEAVE_A_PROCESS, judge, read, skip_without_pid_namespaces
from tests.support.places import find_shared


def question(**changes: Any) -> dict[str, Any]:
    """A problem as the hub's code_generation_lite has it, with packed private tests."""
    public = [{"input": "2\n3 4\n", "output": "7\n", "testtype": "stdin"}]
    private = json.dumps([{"input": "3\n1 1 1", "output": "3.0", "testtype": "stdin"}])
    row = {
        "question_title": "Sum",
        "question_content": "Read n and n numbers, print their sum.",
        "platform": "codeforces",
        "question_id": "1_A",
        "contest_id": "1",
        "contest_date": "2024-01-01T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps(public),
        "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(private))).decode(),
        "metadata": "{}",
    }
    return row | changes


def function_question() -> dict[str, Any]:
    cases = [{"input": '[1, 2]\n"ab"', "output": '[1, 2, "ab"]', "testtype": "functional"}]
    return question(
        question_id="lc/1",
        starter_code="class Solution:\n    def append(self, xs: List[int], y: str) -> List:\n        ",
        public_test_cases=json.dumps(cases),
        private_test_cases="[]",
        metadata='{"func_name": "append"}',
    )


def test_livecodebench_judges_programs_and_methods() -> None:
    """Standard input is given, output compared line by line and as numbers; methods are called with JSON arguments."""
    benchmark, (script, method) = read("livecodebench", question(), function_question())
    assert (script.group, benchmark.prompt(script, "chat").text.count("stdin")) == ("easy", 1)
    assert "starter code" in method.instruction
    programs = [
        "n = int(input())\nprint(sum(map(int, input().split())))",
        "import sys\nif __name__ == '__main__':\n    print(sum(map(int, sys.stdin.read().split()[1:])))\n    exit()",
        "print(7)",
        "n = input()\nraise ValueError('no')",
        "print(sum(map(int, input().split())), end='')\nprint('extra')",
        "import sys; sys.exit(3)",
    ]
    methods = [
        "class Solution:\n    def append(self, xs: List[int], y: str) -> List:\n        return (*xs, y)",
        "class Solution:\n    def append(self, xs, y):\n        return xs + y",
        "def append(xs, y):\n    return xs + [y]",
    ]
    first, second = judge((benchmark, script, programs), (benchmark, method, methods))
    assert [one.status for one in first] == ["passed", "passed", "failed", "error", "failed", "error"]
    assert [one.status for one in second] == ["passed", "error", "passed"]
    assert "ValueError: no" in first[3].detail


def test_a_method_named_like_a_function_of_the_prelude_is_found() -> None:
    """`count` of itertools is in scope, and the answer's method is what the task means."""
    row = function_question() | {"metadata": '{"func_name": "count"}'}
    benchmark, (problem,) = read("livecodebench", row)
    method = "class Solution:\n    def count(self, xs: List[int], y: str) -> List:\n        return xs + [y]"
    function = "def count(xs, y):\n    return xs + [y]\nclass Solution: pass"
    ((first, second, none),) = judge((benchmark, problem, [method, function, "class Solution: pass"]))
    assert [first.status, second.status, none.status] == ["passed", "passed", "error"]


def test_programs_end_as_an_interpreter_ends() -> None:
    """Threads that nobody joins, exit handlers, files that nobody closes: what they print counts."""
    benchmark, (script,) = read("livecodebench", question())
    total = "sum(map(int, open(0).read().split()[1:]))"
    programs = [
        f"import threading, time\ndef main():\n    time.sleep(0.05)\n    print({total})\n"
        "threading.Thread(target=main).start()",
        f"import atexit\natexit.register(lambda: print({total}))\nimport sys\nsys.exit()",
        f"import io, atexit\nout = io.StringIO()\nsys.stdout = out\n"
        f"atexit.register(lambda: sys.__stdout__.write(out.getvalue()))\nprint({total})",
        f"out = open(1, 'w')\nout.write(str({total}))",
        f"from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\n"
        f"pool.submit(lambda: print({total}))",
        "import threading\nthreading.Thread(target=lambda: print(0)).start()\nraise ValueError('late')",
    ]
    (found,) = judge((benchmark, script, programs))
    assert [one.status for one in found] == ["passed"] * 5 + ["error"]
    assert "ValueError: late" in found[-1].detail


def test_no_process_of_a_program_outlives_its_test() -> None:
    """The next test of the same answer, and the next answer, run alone, also after a session of its own."""
    skip_without_pid_namespaces()
    benchmark, (script,) = read("livecodebench", question())
    total = "print(sum(map(int, open(0).read().split()[1:])))\n"
    (found,) = judge((benchmark, script, [BE_ALONE + total + LEAVE_A_PROCESS, BE_ALONE + total]))
    assert [one.status for one in found] == ["passed", "passed"], found


def test_integers_may_have_any_number_of_digits() -> None:
    """Python's limit of 4300 digits holds neither for tests nor for answers."""
    digits = "7" * 5000
    cases = [{"input": digits, "output": str(digits), "testtype": "stdin"}]
    script = question(public_test_cases=json.dumps(cases), private_test_cases="[]")
    calls = [{"input": f"[{digits}]\n2", "output": f"[{digits}, 2]", "testtype": "functional"}]
    method = function_question() | {"public_test_cases": json.dumps(calls)}
    benchmark, (first, second) = read("livecodebench", script, method)
    found = judge(
        (benchmark, first, ["print(int(input()))"]),
        (benchmark, second, ["class Solution:\n    def append(self, xs, y): return [int(str(xs[0])), y]"]),
        (benchmark, second, ["class Solution:\n    def append(self, xs, y): return xs[0] + 1"]),
    )
    assert [one[0].status for one in found] == ["passed", "passed", "failed"]


def test_livecodebench_has_a_second_score_for_floats() -> None:
    """The first is LiveCodeBench's; an answer off by 1e-7 passes only the second, and later tests still count."""
    cases = [{"input": "3", "output": "0.3333333333"}, {"input": "4", "output": "0.25"}]
    benchmark, (script,) = read("livecodebench", question(public_test_cases=json.dumps(cases), private_test_cases="[]"))
    programs = ["print(round(1 / int(input()), 7))", "print(0.3333333)", "print(1 / int(input()) + 0.1)"]
    (found,) = judge((benchmark, script, programs))
    assert [list(one.values.values()) for one in found] == [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert list(found[0].values) == ["livecodebench", "livecodebench-approx"]
    assert found[0].detail.startswith("tests test 0: printed '0.3333333\\n'")


def test_a_program_that_takes_all_memory_fails_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the judge dies of it."""
    benchmark, (script,) = read("livecodebench", question())
    hog = "import os\nwhile os.fork() or True:\n    held = bytearray(1 << 28)\n"
    ((outcome,),) = judge((benchmark, script, [hog]))
    assert outcome.status not in ("passed", "not_judged")
    assert outcome.values == {"livecodebench": 0.0, "livecodebench-approx": 0.0}


@pytest.mark.parametrize(
    ("name", "files", "tasks"),
    [
        ("livecodebench", "123456", "abc"),
        ("livecodebench-release-latest", "123456", "abc"),
        ("livecodebench-release_v2", "12", "abc"),
        ("livecodebench-v6", "6", "abc"),
        ("livecodebench-v4_v5", "45", "abc"),
        ("livecodebench@2024-02..", "123456", "bc"),
        ("livecodebench-release-v5@2024-01-02..2024-02", "12345", "b"),
        ("livecodebench@..2024-01-01", "123456", "a"),
    ],
)
def test_a_name_chooses_release_and_dates(name: str, files: str, tasks: str) -> None:
    """LiveCodeBench's version tags, and a window of contest dates with both ends."""
    dates = {"a": "2024-01-01", "b": "2024-02-29", "c": "2025-03-05"}
    rows = [question(question_id=task, contest_date=f"{date}T00:00:00") for task, date in dates.items()]
    benchmark, problems = read(name, *rows)
    assert benchmark.source.files == tuple(f"test{number if number > '1' else ''}.jsonl" for number in files)
    assert "".join(problem.task_id for problem in problems) == tasks
    assert benchmark.scores == (name, f"{name}-approx")


def test_wrong_releases_and_empty_windows_are_refused() -> None:
    """The message says what there is."""
    for name in ("livecodebench-v9", "livecodebench-5", "livecodebench@2024", "livecodebench@2024-1..2024-2"):
        with pytest.raises(BenchmarkError, match="-release-v5"):
            find_benchmark(name)
    with pytest.raises(BenchmarkError, match="last release is before"):
        find_benchmark("livecodebench-v5-v4")
    with pytest.raises(BenchmarkError, match="the file has 2024-01-01 to 2024-01-01"):
        read("livecodebench@2025-01..", question())
    with pytest.raises(BenchmarkError, match="contest_date"):
        read("livecodebench@2025-01..", {"id": 1, "content": "", "test": ""})


def test_livecodebench_stops_programs_that_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a time limit."""
    monkeypatch.setattr("selfcodealign.benchmarks.livecodebench.SECONDS", 0.5)
    benchmark, (script,) = read("livecodebench", question())
    ((outcome,),) = judge((benchmark, script, ["while True: pass"]))
    assert outcome.status == "timeout"


def test_packed_tests_hold_texts_only() -> None:
    """A pickle that names anything to call is refused before it is called."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (print, ("called",))

    packed = base64.b64encode(zlib.compress(pickle.dumps(Trap()))).decode()
    with pytest.raises(BenchmarkError, match=r"builtins\.print"):
        _unpack(packed)
    with pytest.raises(BenchmarkError, match="cannot be read"):
        _unpack("not base64!")


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("7\n", "7", True),
        (" 7  \n\n", "7\n", True),
        ("7.0", "7", True),
        ("1 2.50", "1.0 2.5", True),
        ("7\n8", "7", False),
        ("yes", "YES", False),
        ("", "0", False),
        ("0.1", "0.10000000001", False),
    ],
)
def test_outputs_are_compared_as_livecodebench_does(output: str, expected: str, same: bool) -> None:
    """White space around lines is nothing, numbers are numbers, exactly."""
    assert same_output(output, expected, same_number) is same


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("0.1", "0.1000001", True),
        ("area 2.0000001", "area 2", True),
        ("1234567.9", "1234567.1", True),
        ("0.1", "0.10001", False),
        ("50000000000000000", "50000000000000001", False),
        ("nan", "0.5", False),
        ("1e999999999999", "0.5", False),
        ("7.0 8", "7", False),
    ],
)
def test_the_second_score_lets_printed_floats_differ(output: str, expected: str, same: bool) -> None:
    """By 1e-6, or that share of the expected value; integers stay exact."""
    assert same_output(output, expected, near_number) is same


def test_the_real_livecodebench_samples_can_be_solved() -> None:
    """Our own solutions of the three published samples pass all their tests."""
    benchmark = find_benchmark("livecodebench")
    path = find_shared("livecodebench/code_eval_live_code_bench_v1.jsonl")
    problems = {one.task_id: one for one in benchmark.problems(load_rows("livecodebench", benchmark.source, path).rows)}
    solutions = {
        "codeforces/1873_A": (
            "for _ in range(int(input())):\n"
            "    print('YES' if sum(a != b for a, b in zip(input(), 'abc')) <= 2 else 'NO')"
        ),
        "leetcode/2727": (
            "class Solution:\n    def countSeniors(self, details: List[str]) -> int:\n"
            "        return sum(int(one[11:13]) > 60 for one in details)"
        ),
        "atcoder/abc301_a": (
            "n, s = int(input()), input().strip()\nt, a = s.count('T'), s.count('A')\n"
            "print('T' if t > a or (t == a and s[-1] == 'A') else 'A')"
        ),
    }
    assert set(solutions) == set(problems)
    found = judge(*((benchmark, problems[task], [code]) for task, code in solutions.items()))
    assert [one[0].status for one in found] == ["passed"] * 3


CONTEXT = '''
import copy
def generate_test_case(number):
    import numpy as np
    data = np.arange(3 * number)
    return data, data * 2
def exec_test(result, answer):
    import numpy as np
    np.testing.assert_array_equal(result, answer)
    return 1
exec_context = r"""
import numpy as np
a = test_input
[insert]
"""
def test_execution(solution: str):
    code = exec_context.replace("[insert]", solution)
    for number in (1, 2):
        test_input, expected = generate_test_case(number)
        environment = {"test_input": test_input}
        exec(code, environment)
        assert exec_test(environment["result"], expected)
def test_string(solution: str):
    assert "for" not in solution
'''


def data_science_row(**changes: Any) -> dict[str, Any]:
    prompt = (
        "Problem:\nDouble the array a.\n<code>\nimport numpy as np\na = np.arange(3)\n</code>\n\nA:\n<code>\n"
        "import numpy as np\na = np.arange(3)\n</code>\nresult = ... # put solution in this variable\n"
        "BEGIN SOLUTION\n<code>\n"
    )
    return {
        "prompt": prompt,
        "reference_code": "result = a * 2",
        "metadata": {"problem_id": 7, "library": "Numpy", "perturbation_type": "Origin"},
        "code_context": CONTEXT,
    } | changes


def test_ds1000_runs_the_answer_in_its_context() -> None:
    """Both checks of the context have to hold; end markers and repeated context are cut off."""
    benchmark, (problem,) = read("ds1000", data_science_row())
    assert (problem.task_id, problem.group) == ("DS-1000/7", "Numpy")
    answers = [
        benchmark.join(problem, text)
        for text in (
            "result = a * 2\n</code>\nEND SOLUTION",
            benchmark.prompt(problem, "chat").response_prefix.removeprefix("```python\n") + "result = a + a",
            "result = a * 3",
            "result = a * 0\nfor i in range(2): result = result + a",
            "result = undefined",
        )
    ]
    found = judge(*((benchmark, problem, [answer]) for answer in answers))
    assert [one[0].status == "passed" for one in found] == [True, True, False, False, False]


def test_ds1000_problems_become_instructions_with_an_open_answer() -> None:
    """The context that precedes the solution begins the model's answer, in a fence that is still open."""
    instruction, prefix = ask(data_science_row()["prompt"])
    assert instruction.startswith("Double the array a.")
    assert "<code>" not in instruction + prefix
    assert prefix.startswith("```python\nimport numpy as np")
    assert prefix.endswith("# Solution\n")
    assert prefix.count("```") == 1
    plot = "import matplotlib.pyplot as plt\n# draw a line\n# SOLUTION START\n"
    instruction, prefix = ask(plot)
    assert instruction.endswith("# draw a line\n```")
    assert prefix == "```python\nimport matplotlib.pyplot as plt\n# draw a line\n# Solution\n"


def performance_row() -> dict[str, Any]:
    slow = "def total(n):\n    s = 0\n    for i in range(n):\n        for j in range(20): s += i\n    return s // 20\n"
    middle = "def total(n):\n    s = 0\n    for i in range(n): s += i\n    return s\n"
    fast = "def total(n):\n    return n * (n - 1) // 2\n"
    return {
        "task_id": "HumanEval/999",
        "prompt": 'def total(n):\n    """Sum of all numbers below n."""\n',
        "entry_point": "total",
        "pe_input": json.dumps([[200_000]]),
        "reference": [slow, middle, fast],
        "scores": [20.0, 60.0, 100.0],
    }


def test_evalperf_ranks_right_answers_among_the_references() -> None:
    """An answer like the fastest, one between the others, a slower one, and a wrong one."""
    row = performance_row()
    benchmark, (problem,) = read("evalperf", row)
    between = row["reference"][0].replace("range(20)", "range(8)").replace("// 20", "// 8")
    slower = row["reference"][0].replace("range(20)", "range(60)").replace("// 20", "// 60")
    codes = [between, slower, "def total(n): return 0", row["reference"][1].replace("range(n)", "range(n // 4)")]
    ((middle, last, wrong, cheat),) = judge((benchmark, problem, codes))
    assert middle.values == {"evalperf": 1.0, "evalperf-dps": 0.2, "evalperf-dps-norm": pytest.approx(1 / 3)}
    assert last.values == {"evalperf": 1.0, "evalperf-dps": 0.0, "evalperf-dps-norm": 0.0}
    assert wrong.values == cheat.values == {"evalperf": 0.0}


def test_evalperf_gives_the_rank_of_the_fastest_reference_reached() -> None:
    """Costs decide; equal to the fastest is the full score."""
    _, (problem,) = read("evalperf", performance_row())
    costs = [3.0, 2.0, 1.0]
    assert rank(problem, {"cost": 1.0, "costs": costs}) == {"evalperf-dps": 1.0, "evalperf-dps-norm": 1.0}  # type: ignore[arg-type]
    assert rank(problem, {"cost": 1.5, "costs": costs})["evalperf-dps"] == 0.6  # type: ignore[arg-type]
    assert rank(problem, {"cost": 9.0, "costs": costs})["evalperf-dps"] == 0.0  # type: ignore[arg-type]
    assert rank(problem, {}) == {}  # type: ignore[arg-type]
