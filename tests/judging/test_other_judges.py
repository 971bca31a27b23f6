"""Another judge is asked about the suite: whatever it does costs verdicts of rows and nothing more."""

from __future__ import annotations

import asyncio
import io
import shlex
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from selfcodealign.judging.conformance.other import Answers, ask_judge
from selfcodealign.judging.conformance.report import print_answers
from selfcodealign.judging.conformance.suite import MAY_PASS, load_suite
from selfcodealign.progress import Progress
from tests.support.command_line import call
from tests.support.places import ROOT
from tests.support.processes import wait_for

SUITE = load_suite()
HARMLESS = [one for one in SUITE if one.kind in ("honest", "broken")]
#: A judge's text begins with this; none of these judges runs a program.
BEGIN = """
import json, os, sys, time
rows = [json.loads(line) for line in sys.stdin]
def say(row, **fields):
    print(json.dumps({"id": row["id"], **fields}), flush=True)
"""


def ask(text: str, tmp_path: Path, timeout: float = 60) -> Answers:
    path = tmp_path / "judge.py"
    path.write_text(BEGIN + text, "utf-8")
    return asyncio.run(ask_judge(shlex.join([sys.executable, str(path)]), HARMLESS, timeout, Progress()))


def report(answers: Answers) -> tuple[int, str]:
    out = io.StringIO()
    wrong = print_answers(HARMLESS, answers, Console(file=out, width=100))
    return wrong, out.getvalue()


def test_a_right_judge_has_no_fault(tmp_path: Path) -> None:
    """In any order, by `passed` or by `status`, each row is read."""
    text = (
        "for row in reversed(rows):\n    right = row['kind'] == 'honest'\n"
        "    say(row, passed=right) if len(row['id']) % 2 else say(row, status='passed' if right else 'failed')\n"
    )
    answers = ask(text, tmp_path)
    assert not answers.faults
    wrong, said = report(answers)
    assert wrong == 0
    assert f"{len(HARMLESS)} of {len(HARMLESS)} programs got what they must" in said


def test_a_judge_that_passes_everything_passes_what_it_must_not(tmp_path: Path) -> None:
    """Each program that passed wrongly is named with its sentence and what follows."""
    wrong, said = report(ask("for row in rows: say(row, passed=True)", tmp_path))
    assert wrong == sum(one.kind != MAY_PASS for one in HARMLESS)
    assert "broken/wrong-answer: must not pass, and passed. The operator is wrong. So a wrong answer is kept." in said
    wrong, said = report(ask("for row in rows: say(row, passed=False)", tmp_path))
    assert "honest/plain-asserts: must pass, and was refused." in said
    assert wrong == sum(one.kind == MAY_PASS for one in HARMLESS)


def test_a_judge_that_dies_is_told_for_each_row_that_it_missed(tmp_path: Path) -> None:
    """With its exit status, and the end of what it wrote to stderr."""
    text = "say(rows[0], passed=True)\nprint('out of luck', file=sys.stderr, flush=True)\nos._exit(3)"
    answers = ask(text, tmp_path)
    assert answers.verdict(HARMLESS[0].id) is True
    assert set(answers.faults.values()) == {"the judge ended with exit status 3 and said nothing about it"}
    assert len(answers.faults) == len(HARMLESS) - 1
    wrong, said = report(answers)
    assert wrong == len(HARMLESS) - 1
    assert "out of luck" in said


def _has_ended(pid: str) -> bool:
    """Whether a process is gone, or only its entry is left."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    return True


def test_a_judge_that_hangs_is_ended(tmp_path: Path) -> None:
    """With all processes of its group, when no verdict has come for the time that it was given."""
    text = (
        "child = os.fork()\nif child == 0:\n    time.sleep(600)\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child}}')\n"
        "say(rows[0], passed=True)\nwhile True:\n    print('thinking', flush=True)\n    time.sleep(0.05)\n"
    )
    answers = ask(text, tmp_path, timeout=3)
    assert answers.verdict(HARMLESS[0].id) is True
    assert set(answers.faults.values()) == {"the judge gave no verdict for 3 s and was ended"}
    for pid in (tmp_path / "pids").read_text().split():
        assert wait_for(partial(_has_ended, pid)), "a process of the judge lives on"


def test_a_judge_that_ends_while_a_child_holds_its_output_is_not_waited_for(tmp_path: Path) -> None:
    """Its verdicts count, the child is ended."""
    text = "for row in rows: say(row, passed=True)\nif os.fork() == 0:\n    time.sleep(600)\n"
    answers = ask(text, tmp_path)
    assert not answers.faults
    assert len(answers.passed) == len(HARMLESS)


@pytest.mark.parametrize(
    "line",
    [
        "'no json'",
        "'[' * 100000",
        "'x' * 3000000",
        "json.dumps([1])",
        "json.dumps({'id': 'honest/unknown', 'passed': True})",
        "json.dumps({'id': 5, 'passed': True})",
    ],
)
def test_garbage_is_counted_and_harms_no_verdict(line: str, tmp_path: Path) -> None:
    """Lines that are no verdict on a row are told, and the rows keep theirs."""
    answers = ask(f"print({line}, flush=True)\nfor row in rows: say(row, passed=True)", tmp_path)
    assert not answers.faults
    assert answers.stray_lines == 1
    assert "1 lines of the judge are no verdict on a row" in report(answers)[1]


def test_a_line_that_is_no_verdict_or_contradicts_another_is_the_rows_fault(tmp_path: Path) -> None:
    """A program that writes into the judge's output gets no pass by it."""
    text = (
        "say(rows[0], passed='yes')\nsay(rows[1])\nsay(rows[2], passed=True)\nsay(rows[2], passed=False)\n"
        "for row in rows[3:]:\n    say(row, passed=True)\n    say(row, passed=True)\n"
    )
    answers = ask(text, tmp_path)
    neither = 'its line has neither "passed" (true or false) nor "status" (a text)'
    first, second, third = (one.id for one in HARMLESS[:3])
    assert answers.faults == {first: neither, second: neither, third: "two lines that contradict each other"}
    assert answers.verdict(third) is None


def test_the_example_judge_accepts_what_ends_with_status_0() -> None:
    """Exit status 0 alone lets forged and vacuous programs pass, and no broken one."""
    command = shlex.join([sys.executable, str(ROOT / "examples" / "another_judge.py")])
    done = call("doctor", "--verdicts", "--judge", command)
    assert done.returncode == 1, done.stderr
    assert "forged/equal-to-everything: must not pass, and passed." in done.stdout
    assert "vacuous/assert-true: must not pass, and passed." in done.stdout
    assert "honest/plain-asserts" not in done.stdout
    assert "broken/wrong-answer" not in done.stdout
    assert "no verdict:" not in done.stdout
    assert "hostile" not in done.stdout
