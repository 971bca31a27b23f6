"""Judge and response in two processes: what they hold and share, how they end, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.sandbox import Program
from selfcodealign.sandbox.worker import WorkerDied
from tests.support.processes import process_tree, wait_for
from tests.support.split_runner import SplitJudge, records

LINK = 253
#: Defines `held()`: the open descriptors below 1024, each with its kind and its inode.
HELD = """
import os, stat

def held():
    found = {}
    for number in range(1024):
        try:
            status = os.fstat(number)
        except OSError:
            continue
        found[number] = [stat.S_IFMT(status.st_mode), status.st_ino]
    return list(found.items())
"""
PLAIN = "def f():\n    return 1\n"
PASSES = "assert f() == 1\n"
#: Passes with the response in its own process and in another one.
EITHER = "try:\n    f\nexcept NameError:\n    def f():\n        return ask('f()')\nassert f() == 1\n"


@pytest.fixture(scope="module")
def judge(mode: Any) -> Iterator[SplitJudge]:
    """A sandbox with one worker, and a runner that executes plain texts in both processes."""
    judge = SplitJudge(mode)
    yield judge
    judge.close()


def test_each_process_holds_its_own_descriptors_and_the_link(judge: SplitJudge) -> None:
    """The response has input, output and the link; the judge has a pipe for its reports as well, and no one else's."""
    outcome = judge.pair(HELD, HELD + "tell(held())\ntell(ask('held()'))\n")
    judges, responses = map(dict, records(outcome))
    assert list(responses) == [0, 1, 2, LINK]
    assert list(judges) == [0, 1, 2, 250, LINK]
    assert judges[1] == responses[1] == judges[2] == responses[2]
    assert judges[LINK] != responses[LINK]
    assert judges[250] not in responses.values()


def test_processes_that_either_starts_inherit_no_more(judge: SplitJudge) -> None:
    """A program that is executed in a new process gets input and output only."""
    code = HELD + (
        "import subprocess, sys\n"
        "listed = [sys.executable, '-c', 'import os\\nfor n in range(1024):\\n try: os.fstat(n)\\n except OSError: pass"
        '\\n else: print(n, end=" ")\']\n'
        "def started():\n    return subprocess.run(listed, stdout=subprocess.PIPE, text=True, close_fds=False).stdout\n"
    )
    assert records(judge.pair(code, code + "tell(started())\ntell(ask('started()'))\n")) == ["0 1 2 ", "0 1 2 "]


def test_the_two_see_each_other_over_the_link_only(judge: SplitJudge) -> None:
    """Neither can signal the other, whatever it knows of it; they share the output and the scratch."""
    response = (
        "import os, signal\nprint('from the response', flush=True)\nopen('left', 'w').write('by the response')\n"
        "def attack(pid):\n"
        "    try:\n        os.kill(pid, signal.SIGKILL)\n"
        "    except OSError as error:\n        return type(error).__name__\n"
        "    return 'signalled'\n"
    )
    tests = (
        "import os\nprint('from the judge', flush=True)\npid = ask('os.getpid()')\n"
        "tell(ask(f'attack({os.getpid()})') if os.getpid() != pid else 'apart')\ntell(open('left').read())\n"
    )
    outcome = judge.pair(response, tests)
    refusal, left = records(outcome)
    assert refusal in ("apart", "PermissionError", "ProcessLookupError")
    assert left == "by the response"
    assert all(word in outcome["output"] for word in ("from the judge", "from the response"))


def test_the_judge_goes_on_when_the_response_has_ended(judge: SplitJudge) -> None:
    """It sees the end of the link, and its own exit is the program's."""
    tests = "try:\n    ask('os._exit(7)')\nexcept (EOFError, ConnectionError):\n    tell('closed')\n"
    outcome = judge.pair("import os", tests)
    assert records(outcome) == ["closed"]
    assert (outcome["exit_code"], outcome["response_exit_code"]) == (0, 7)


def test_the_response_and_all_it_started_end_with_the_judge(judge: SplitJudge) -> None:
    """One that does not look at its link is killed, with its children, in sessions of their own too."""
    response = (
        "import os, time\n"
        "for _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(60)\n"
        "def stay():\n    if os.fork() == 0:\n        return 1\n    time.sleep(60)\n"
    )
    outcome = judge.pair(response, "tell(ask('stay()'))\n")
    assert records(outcome) == [1]
    assert (outcome["exit_code"], outcome["response_exit_code"]) == (0, None)
    assert outcome["seconds"] < 30
    assert judge.sandbox.count_programs() == 0


@pytest.mark.parametrize("endless", ["response", "judge", "both"])
def test_time_ends_both_whoever_uses_it(endless: str, judge: SplitJudge) -> None:
    """The clock of a program is that of its two processes."""
    loop = "while True:\n    pass\n"
    response, tests = loop if endless != "judge" else "", loop if endless != "response" else "ask('1')\n"
    outcome = judge.pair(response + "x = 1\n", tests, seconds=0.4)
    assert outcome["ended_by"] == "timeout"
    assert judge.sandbox.count_programs() == 0


def test_cpu_time_is_that_of_both(judge: SplitJudge) -> None:
    """Each stays below the limit; together they exceed it."""
    work = (
        "import time\ndef work(seconds):\n    end = time.process_time() + seconds\n"
        "    while time.process_time() < end:\n        pass\n"
    )
    tests = work + "ask('work(0.7)')\nwork(0.7)\ntime.sleep(10)\n"
    assert judge.pair(work, tests, seconds=30, cpu_seconds=1.0)["ended_by"] == "cpu"


def test_memory_is_that_of_both(judge: SplitJudge) -> None:
    """Each stays below the limit; together they exceed it."""
    hold = "held = bytearray(60 << 20)\n"
    tests = "import time\nask('len(held)')\n{}time.sleep({})\n"
    one = judge.pair(hold, tests.format("", 0.3), memory_mib=100)
    assert (one["ended_by"], one["exit_code"]) == ("", 0)
    assert 60 < one["peak_memory_mib"] < 120
    assert judge.pair(hold, tests.format(hold, 20), memory_mib=100)["ended_by"] == "memory"


def test_processes_are_those_of_both(judge: SplitJudge) -> None:
    """The limit is on all that the two have started; the two themselves do not count."""
    start = (
        "import os, time\ndef start(count):\n    for _ in range(count):\n"
        "        if os.fork() == 0:\n            time.sleep(60)\n"
    )
    tests = start + "ask('start({0})')\nstart({0})\ntime.sleep(0.3)\n"
    assert judge.pair(start, tests.format(5), processes=12)["ended_by"] == ""
    more = judge.pair(start, tests.format(10), processes=12)
    assert more["ended_by"] == "processes" or more["exit_code"] == 1  # refused by the kernel
    assert judge.sandbox.count_programs() == 0


def test_output_is_that_of_both(judge: SplitJudge) -> None:
    """A flood of either ends the program."""
    flood, part = "print('x' * 2_000_000, flush=True)\n", "print('x' * 400_000, flush=True)\n"
    for response, tests in ((flood, ""), ("", flood), (part, part)):
        assert judge.pair(response + "pass\n", tests + "ask('1')\n")["ended_by"] == "output"


def test_what_a_run_leaves_in_the_scratch_the_next_does_not_find(judge: SplitJudge) -> None:
    """In whichever order runs in one process and in two follow each other, and both can write where they are."""
    look = (
        "import os\n"
        "def look():\n"
        "    seen = os.listdir() + [name for name in ('.', os.environ['TMPDIR']) if not os.path.samefile('.', name)]\n"
        "    open('left', 'w').write('x')\n    os.makedirs('folder/below', exist_ok=True)\n    return seen\n"
    )
    for kinds in ("plain", "pair", "pair", "plain", "plain", "pair", "plain"):
        if kinds == "plain":
            assert judge(Program(look + "print(look())", kind="script")).output == "[]\n"
        else:
            outcome = judge.pair(look, look + "tell(ask('look()'))\ntell(look())\n")
            assert records(outcome) == [[], ["left", "folder"]] or records(outcome) == [[], ["folder", "left"]]


def test_a_cancelled_run_leaves_no_process(mode: str) -> None:
    """Its worker ends with all that runs below it; the next run has another."""
    judge = SplitJudge(mode)
    try:
        judge.pair("", "ask('1')\n")
        (worker,) = judge.sandbox._all
        run = asyncio.run_coroutine_threadsafe(judge.start_pair("while True: pass\n", "while True: pass\n"), judge.loop)
        assert wait_for(lambda: judge.sandbox.count_programs() == 2)
        pids = process_tree(worker.pid)
        run.cancel()
        assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        assert records(judge.pair("x = 1", "tell(ask('x'))\n")) == [1]
    finally:
        judge.close()


@pytest.mark.parametrize("which", [0, 1])
def test_a_process_killed_while_it_stood_ready_proves_nothing_about_the_program(which: int, mode: str) -> None:
    """Either of a pair; the program runs again in another worker."""
    judge = SplitJudge(mode)
    try:
        judge.pair("", "ask('1')\n")
        (worker,) = judge.sandbox._all

        def pair() -> list[int]:
            forkers = process_tree(worker.pid)[1:]
            return max(([*process_tree(pid)] for pid in forkers), key=len)

        assert wait_for(lambda: len(pair()) == 2)
        os.kill(sorted(pair())[which], signal.SIGKILL)
        outcome = judge.pair("x = 1", "tell(ask('x'))\n")
        assert (records(outcome), outcome["exit_code"]) == ([1], 0)
        assert judge.sandbox._all != {worker}
    finally:
        judge.close()


def test_a_program_with_a_worker_that_dies_again_has_shared_proof(mode: str) -> None:
    """The first run has shown what it has; our failure in the second takes nothing from it."""
    judge = SplitJudge(mode)

    async def die(*arguments: Any, **named: Any) -> Any:
        if named.get("split"):
            raise WorkerDied("killed")
        return await ask(*arguments, **named)

    ask, judge.sandbox._ask = judge.sandbox._ask, die  # type: ignore[method-assign]
    try:
        verdict = judge(PLAIN, PASSES)
        assert (verdict.passed, verdict.proof) == (True, "shared")
    finally:
        judge.close()


@pytest.mark.parametrize(
    ("program", "proof"),
    [
        (Program(PLAIN, PASSES), "shared"),
        (Program(PLAIN, EITHER), "split"),
        (Program(PLAIN, EITHER, split=False), "shared"),
        (Program(PLAIN, "assert f() == 2\n"), ""),
        (Program(PLAIN, PASSES, kind="check"), "shared"),
        (Program("print(1)", kind="script"), "shared"),
    ],
    ids=["not in two", "in two", "not wanted", "failed", "check", "script"],
)
def test_a_pass_says_how_it_was_judged(program: Program, proof: str, judge: SplitJudge) -> None:
    """Programs with tests by a model run in two processes as well, unless that is not wanted."""
    verdict = judge(program)
    assert (verdict.passed, verdict.proof) == (proof != "", proof)


def test_a_sandbox_without_split_runs_has_no_pair_forker(mode: str) -> None:
    """A program may ask for a run in two processes all the same, and gets another worker."""
    judge = SplitJudge(mode, split=False)
    try:
        assert judge(PLAIN, EITHER).proof == "shared"
        (worker,) = judge.sandbox._all
        assert wait_for(lambda: len(process_tree(worker.pid)) == 3)
        assert judge(PLAIN, EITHER, split=True).proof == "split"
        assert len(judge.sandbox._all) == 2
    finally:
        judge.close()


def test_nothing_piles_up_over_many_programs_of_both_kinds(judge: SplitJudge) -> None:
    """After 200 programs in turn, server and forkers hold the descriptors and the processes that they held before."""

    def run(number: int) -> None:
        if number % 2:
            assert judge(Program("open('x', 'w').write('x')" if number % 5 == 0 else "", kind="script"))
        else:
            assert records(judge.pair("def f(n): return n", f"tell(ask('f({number})'))\n")) == [number]

    def descriptors() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in servers]

    for number in range(4):
        run(number)
    (worker,) = judge.sandbox._all
    assert wait_for(lambda: len(process_tree(worker.pid)) == 6)
    servers = [pid for pid in process_tree(worker.pid) if process_tree(pid)]
    assert len(servers) == 3
    for number in range(200):
        run(number)
    assert wait_for(lambda: len(process_tree(worker.pid)) == 6)
    # A pair that is being made has up to nine more for a moment.
    assert wait_for(lambda: max(descriptors()) < 12)
    assert judge.sandbox._all == {worker}
