"""Each status has its evidence; the kinds of programs; limits of one's own; repeatable runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from selfcodealign.sandbox import Limits, Program, Sandbox, Status, Verdict
from selfcodealign.sandbox.python import program as python
from tests.support.judge import LIMITS, Judge

ADD = "def add(a, b):\n    return a + b\n"


@pytest.mark.one_mode
def test_a_failed_assertion_says_where_and_why(judge: Judge) -> None:
    """Line and both sides of the comparison are in the verdict."""
    verdict = judge(ADD, "print('so far')\n\nassert add(1, 2) == 4")
    assert (verdict.status, verdict.error_type, verdict.line) == (Status.FAILED, "AssertionError", 3)
    assert "left 3, right 4" in verdict.message
    assert verdict.output == "so far\n"


@pytest.mark.one_mode
def test_an_assertions_own_message_is_kept(judge: Judge) -> None:
    """The message that the tests give is the verdict's."""
    assert judge(ADD, "assert add(1, 2) == 4, 'three is not four'").message == "three is not four"


@pytest.mark.one_mode
def test_an_error_says_its_type_and_line(judge: Judge) -> None:
    """An exception is an error with its type, message and the line of the tests it came through."""
    verdict = judge("def half(x):\n    return 1 / x\n", "\nassert half(0) == 1")
    assert (verdict.status, verdict.error_type, verdict.line) == (Status.ERROR, "ZeroDivisionError", 2)
    assert verdict.message == "division by zero"


@pytest.mark.parametrize(
    ("response", "tests", "status", "error_type"),
    [
        ("def add(a, b:\n    pass", "assert add(1, 2) == 3", Status.ERROR, "SyntaxError"),
        (ADD, "assert add(1, 2) ==", Status.ERROR, "SyntaxError"),
        ("import no_such_module_anywhere\n" + ADD, "assert add(1, 2) == 3", Status.ERROR, "ModuleNotFoundError"),
        ("I am sorry, I cannot help.", "assert add(1, 2) == 3", Status.NO_CODE, ""),
        ("", "assert True", Status.NO_CODE, ""),
        ("```bash\nls\n```", "assert True", Status.NO_CODE, ""),
        (ADD, "", Status.NO_TESTS, ""),
        (ADD, "There are no tests:\n```text\nnone\n```", Status.NO_TESTS, ""),
        (ADD, "print(add(1, 2))", Status.NO_TESTS, ""),
        (ADD, "assert True", Status.WEAK_TESTS, ""),
        ("def add(a, b):\n    import os\n    os.abort()\n", "assert add(1, 2) == 3", Status.CRASHED, None),
        ("def add(a, b):\n    return [0] * 10**10\n", "assert add(1, 2) == 3", Status.MEMORY, "MemoryError"),
        ("def add(a, b):\n    return add(a, b)\n", "assert add(1, 2) == 3", Status.ERROR, "RecursionError"),
        ("def add(a, b):\n    open('/etc/x', 'w')\n", "assert add(1, 2) == 3", Status.BLOCKED, None),
        ("def add(a, b):\n    raise KeyboardInterrupt\n", "assert add(1, 2) == 3", Status.ERROR, "KeyboardInterrupt"),
        ("def add(a, b):\n    raise SystemExit(3)\n", "assert add(1, 2) == 3", Status.ERROR, "SystemExit"),
        ("x = '\\ud800'\nraise ValueError(x)", "assert x", Status.ERROR, "ValueError"),
        ("class B(Exception):\n    def __str__(self): raise B\nraise B", "assert B", Status.ERROR, "B"),
        ("x = " + "(" * 300 + ")" * 300, "assert 1", Status.ERROR, None),
        ("x = " + "(" * 90 + "1" + ")" * 90, "assert 1", Status.WEAK_TESTS, None),
        ("x = " + "-" * 5000 + "1", "assert x", None, None),
        ("x = 1" + " + 1" * 20000, "assert x", None, None),
        ("x = \0", "assert x", Status.ERROR, None),
    ],
)  # fmt: skip
def test_every_status(response: str, tests: str, status: Status | None, error_type: str | None, judge: Judge) -> None:
    """Programs come to the status that describes them, whatever they do to the parser or to messages."""
    verdict = judge(response, tests)
    assert verdict.status is not Status.NOT_JUDGED, verdict
    assert not verdict.passed
    assert status is None or verdict.status is status, verdict
    assert error_type is None or verdict.error_type == error_type, verdict


def test_seconds_and_memory_are_measured(judge: Judge) -> None:
    """A program that sleeps and fills memory is seen to."""
    verdict = judge(
        "import time\nx = bytearray(60 << 20)\ntime.sleep(0.2)\n" + ADD, "assert add(1, 2) == 3", mutation_testing=False
    )
    assert verdict.passed
    assert 0.2 <= verdict.seconds < 3
    assert 60 < verdict.peak_memory_mib < 200


def test_output_keeps_the_end(judge: Judge) -> None:
    """Of a long output, the last `keep_output_kib` are kept; bytes that are no text do no harm."""
    text = "import os\nfor n in range(5000): print(n)\nos.write(1, b'\\xff\\xfe end')"
    verdict = judge(text, kind="script", keep_output_kib=1)
    assert verdict.passed
    assert len(verdict.output.encode()) <= 1200
    assert verdict.output.endswith("\ufffd\ufffd end")


def test_script_reads_stdin(judge: Judge) -> None:
    """A script gets its input, may leave with status 0, and its output comes back whole."""
    text = "import sys\na, b = map(int, sys.stdin.read().split())\nprint(a + b)\nsys.exit(0)"
    verdict = judge(text, kind="script", stdin="19 23\n")
    assert (verdict.status, verdict.output) == (Status.PASSED, "42\n")
    assert judge("input()\ninput()", kind="script", stdin="one line").error_type == "EOFError"
    assert judge("import sys\nsys.exit(2)", kind="script").status is Status.ERROR


def test_long_stdin_arrives_whole(judge: Judge) -> None:
    """Megabytes of input are no problem."""
    text = "import sys\nprint(len(sys.stdin.read()))"
    assert judge(text, kind="script", stdin="x" * (3 << 20)).output == f"{3 << 20}\n"


@pytest.mark.one_mode
def test_check_runs_a_benchmarks_tests(judge: Judge) -> None:
    """`check(candidate)` is called with the entry point; its end without an exception is the pass."""
    tests = "def check(candidate):\n    assert candidate(1, 2) == 3\n"
    assert judge(ADD, tests, kind="check", entry_point="add").passed
    assert judge(ADD.replace("+", "-"), tests, kind="check", entry_point="add").status is Status.FAILED
    assert judge("import os\nos._exit(0)", tests, kind="check", entry_point="add").status is Status.ERROR
    assert judge(ADD, tests, kind="check", entry_point="sub").error_type == "KeyError"
    assert judge(ADD, "add(1, 2)", kind="check").passed


def test_records_survive_a_time_out(judge: Judge) -> None:
    """Values that the tests of a benchmark record are there, also when the program is stopped later."""
    tests = "for n in range(3): __record__({'n': n, 'ok': add(n, 1) == n + 1})\nwhile True: pass"
    verdict = judge(ADD, tests, kind="check", limits=Limits(seconds=0.5))
    assert verdict.status is Status.TIMEOUT
    assert verdict.records == [{"n": n, "ok": True} for n in range(3)]


def test_limits_of_one_program(judge: Judge) -> None:
    """A program's own limits replace the sandbox's."""
    slow = "import time\ntime.sleep(1)"
    assert judge(slow, kind="script", limits=Limits(seconds=0.2)).status is Status.TIMEOUT
    assert judge(slow, kind="script", limits=Limits(seconds=5)).passed


def test_a_limit_on_cpu_time_spares_a_program_that_is_slowed_down(judge: Judge) -> None:
    """The clock ends only a program that waits; the CPU time of its children counts."""
    limits = Limits(seconds=0.4, cpu_seconds=0.6)
    now_and_then = (
        "import time\nfor _ in range(20):\n    end = time.process_time() + 0.01\n"
        "    while time.process_time() < end: pass\n    time.sleep(0.05)\n"
    )
    assert judge(now_and_then, kind="script", limits=limits).passed
    assert judge("import time\ntime.sleep(60)", kind="script", limits=limits).status is Status.TIMEOUT
    forks = "import os\nfor _ in range(3):\n    if os.fork() == 0: break\nelse: os.wait()\nwhile True: pass"
    for endless in ("while True: pass", forks):
        verdict = judge(endless, kind="script", limits=limits)
        assert (verdict.status, verdict.message) == (Status.TIMEOUT, "used more than 0.6 s of CPU time")


ENDED_CHILDREN = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        while time.process_time() < 0.3: pass
        os._exit(0)
    try: os.wait()
    except ChildProcessError: pass
"""
CHILDREN_OF_A_THREAD = """
import os, threading, time
def work():
    for _ in range(3):
        if os.fork() == 0:
            while True: pass
    time.sleep(60)
threading.Thread(target=work).start()
"""


@pytest.mark.parametrize("code", [ENDED_CHILDREN, CHILDREN_OF_A_THREAD])
def test_cpu_time_of_children_that_nobody_waits_for_counts(judge: Judge, code: str) -> None:
    """Those that end while their parent ignores their end, and those that another thread started."""
    verdict = judge(code, kind="script", limits=Limits(seconds=8, cpu_seconds=0.9))
    assert verdict.message == "used more than 0.9 s of CPU time"


def test_memory_of_a_threads_children_counts(judge: Judge) -> None:
    """The limit on memory holds for all of them together."""
    code = CHILDREN_OF_A_THREAD.replace(
        "while True: pass", "held = bytearray(os.urandom(1 << 20) * 60); time.sleep(60)"
    )
    verdict = judge(code, kind="script", limits=Limits(seconds=8, memory_mib=128))
    assert verdict.status is Status.MEMORY, verdict


@pytest.mark.parametrize(
    "bad", [{"seconds": 0}, {"cpu_seconds": 0}, {"memory_mib": 1}, {"open_files": 3}, {"processes": 0}]
)
def test_impossible_limits_are_refused(bad: dict[str, float]) -> None:
    """Limits under which nothing can run are an error of the caller, not verdicts."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        Limits(**bad)  # type: ignore[arg-type]


def test_runs_are_repeatable(judge: Judge) -> None:
    """Hashes, random numbers, locale and time zone are the same in every run."""
    text = (
        "import locale, random, time, uuid\nimport numpy as np\n"
        "print({'a', 'b', 'c'}, hash('x'), random.random(), np.random.rand(), time.tzname, locale.getlocale())"
    )
    first, second = (judge(text, kind="script").output for _ in range(2))
    assert first == second != ""
    assert "UTC" in first


@pytest.mark.one_mode
def test_flaky_verdicts_are_not_passes(mode: str) -> None:
    """A pass that depends on the hash seed is recorded as flaky."""
    flaky = Judge(mode, workers=1, flake_reruns=2, mutation_testing=False)  # type: ignore[arg-type]
    try:
        response = "def first(words):\n    return next(iter(set(words)))\n"
        order = flaky("print(next(iter(set('abcdefgh'))))", kind="script").output.strip()
        verdict = flaky(response, f"assert first('abcdefgh') == {order!r}")
        assert verdict.status is Status.FLAKY
        assert flaky(ADD, "assert add(1, 2) == 3").passed
    finally:
        flaky.close()


@pytest.mark.one_mode
def test_many_programs_at_once(judge: Judge) -> None:
    """Any number of concurrent calls is queued, and each gets its own verdict."""
    programs = [
        Program(f"def f():\n    return {n}\n", f"assert f() == {n - n % 2}", mutation_testing=False) for n in range(200)
    ]
    verdicts = judge.all(programs)
    assert [verdict.passed for verdict in verdicts] == [n % 2 == 0 for n in range(200)]


def test_cancelling_a_run_frees_its_worker(judge: Judge) -> None:
    """A cancelled call ends its program; its answer does not reach the next program."""

    async def cancel_one() -> None:
        endless = asyncio.create_task(judge.sandbox.run(Program("while True: pass", kind="script")))
        await asyncio.sleep(0.2)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless

    for _ in range(3):
        judge.wait(cancel_one())
    assert judge(ADD, "assert add(1, 2) == 3").passed
    assert judge.sandbox.count_programs() == 0


def test_readable_paths_can_be_added(mode: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Further folders are readable on request, and not writable."""
    folder = tmp_path_factory.mktemp("data")
    folder.joinpath("known.txt").write_text("known")
    folder.chmod(0o755)  # programs are not the user who started the sandbox when that was root
    reader = Judge(mode, workers=1, readable=[str(folder)])  # type: ignore[arg-type]
    try:
        text = f"print(open({str(folder / 'known.txt')!r}).read())\nopen({str(folder / 'new.txt')!r}, 'w')"
        verdict = reader(text, kind="script")
        assert (verdict.output, verdict.status) == ("known\n", Status.BLOCKED)
        assert not folder.joinpath("new.txt").exists()
    finally:
        reader.close()


def test_unsafe_runs_only_on_request() -> None:
    """Mode "unsafe" judges, too, and says that it is unsafe."""

    async def judge() -> tuple[str, bool]:
        async with Sandbox(workers=1, limits=LIMITS, mode="unsafe") as sandbox:
            return sandbox.mode, (await sandbox.run(Program(ADD, "assert add(1, 2) == 3"))).passed

    assert asyncio.run(judge()) == ("unsafe", True)


WRONG_ADD = "def add(a, b):\n    return a - b"


@pytest.mark.one_mode
@pytest.mark.parametrize(
    "tests",
    [
        "assert isinstance(add(1, 2), int)",
        "r = add(1, 2)\nassert r is not None and type(r) == int",
        "import unittest\nclass T(unittest.TestCase):\n  def test(self):\n    self.assertIsInstance(add(1, 2), int)",
        "import unittest\nclass T(unittest.TestCase):\n    def test_add(self):\n        self.assertTrue(add(1, 2), 3)",
        "assert add(1, 2), 3",
        "import pytest\npytest.skip('no', allow_module_level=True)\ndef test_add():\n    assert add(1, 2) == 3",
        "import pytest\npytest.importorskip('no_such_library')\ndef test_add():\n    assert add(1, 2) == 3",
        "import unittest\nraise unittest.SkipTest('no')",
        "import pytest\npytestmark = pytest.mark.skip\ndef test_add():\n    assert add(1, 2) == 3",
        "The tests are left to the reader.",
    ],
)
def test_tests_that_ask_for_no_value_prove_nothing(tests: str, judge: Judge) -> None:
    """A type, a value given as the message, and tests that are skipped: a wrong answer does not pass them."""
    assert judge(WRONG_ADD, tests).status in (Status.WEAK_TESTS, Status.NO_TESTS)


@pytest.mark.one_mode
def test_the_type_of_ones_own_class_is_a_value(judge: Judge) -> None:
    """That a dog is an animal may be what the task asks for."""
    response = "class Animal:\n    pass\nclass Dog(Animal):\n    pass\ndef make():\n    return Dog()"
    assert judge(response, "assert isinstance(make(), Animal)").passed


@pytest.mark.one_mode
def test_a_skip_after_an_assertion_is_no_way_out(judge: Judge) -> None:
    """A response that raises pytest's skip is tampering."""
    response = "import pytest\ndef f(x):\n    if x > 1:\n        pytest.skip('enough')\n    return x"
    assert judge(response, "assert f(1) == 1\nassert f(2) == 3").status is Status.TAMPERING


def test_what_was_mended_is_told(judge: Judge) -> None:
    """The verdict names it, for a pass and for a failure; tests are read alike."""
    verdict = judge("```python\ndef f():\n\u00a0\u00a0return 1\n```<|im_end|>", "\ufeffassert f() == 1<|im_end|>")
    assert (verdict.status, verdict.repairs) == (Status.PASSED, "special tokens, no-break spaces")
    assert judge("def f():\n    return 1", "assert f() == 2").repairs == ""


@pytest.mark.parametrize(
    "report",
    [
        {},
        [],
        {"end": True},
        {"end": True, "failures": 3},
        {"failure": None},
        {"failure": [1, 2, 3]},
        {"unready": 5},
        {"begun": True, "record": 1},
        {"failure": [2**63, ""]},
        {"failure": [1, "x" * 20_000]},
    ],
)
def test_a_report_in_another_form_ends_no_command(report: Any) -> None:
    """A program that finds the secret of its report may write what it likes: that is tampering, and a verdict."""
    job = python.prepare_job(Program("def f(): return 1", "assert f() == 1"), Limits())
    assert not isinstance(job, Verdict)
    outcome = {"reports": [{"begun": True}, report], "output": "", "seconds": 0.1, "peak_memory_mib": 1.0}
    verdict = python.judge(job, outcome | {"exit_code": 0, "ended_by": ""})
    assert (verdict.status, verdict.error_type) == (Status.TAMPERING, "Tampering")


def test_texts_that_take_the_compiler_long_are_built_under_the_programs_limits(walled: Judge) -> None:
    """The compiler writes the block of a `finally` twice: nested, each doubles its time and memory."""
    text = "x = 1\n"
    for _ in range(24):
        inner = "".join(f" {line}\n" for line in text.splitlines())
        text = f"try:\n pass\nfinally:\n{inner}"
    verdict = walled(text + ADD, "assert add(1, 2) == 3", limits=Limits(seconds=1, memory_mib=256))
    assert verdict.status in (Status.TIMEOUT, Status.MEMORY), verdict


def test_deep_trees_are_built_and_judged(judge: Judge) -> None:
    """A chain of calls is deeper than the server builds: the program's process does, and it passes."""
    chain = "class A:\n    def __call__(self):\n        return self\n"
    tests = "assert add(1, 2) == 3\ndef unused():\n    A()" + "()" * 120 + "\n"
    assert judge(chain + ADD, tests, mutation_testing=False).passed
