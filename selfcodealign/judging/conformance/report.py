"""Print how a judge did on the suite: a table by kind, then each program that got what it must not get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from selfcodealign.judging.conformance.other import Answers
from selfcodealign.judging.conformance.own import OwnRun
from selfcodealign.judging.conformance.suite import KINDS, MAY_PASS, ConformanceProgram

#: Why it matters when a program of the kind gets what it must not get.
MATTERS = {
    "honest": "a right answer is lost",
    "broken": "a wrong answer is kept",
    "vacuous": "an answer of which nothing is known is kept",
    "forged": "cheating is rewarded",
    "hostile": "a program took what it must not have, or the judge waits for it",
}


def print_own_run(run: OwnRun, console: Console) -> None:
    """Print one mode's table, its deviations, and what was not run."""
    walls = ", ".join(probe.wall for probe in run.missing_walls)
    console.print(f"{len(run.probes)} walls probed: {f'missing: {walls}' if walls else 'all hold'}", highlight=False)
    table = _table(f"Verdicts ({run.mode})", "programs", "as they must", "other", "not run", "seconds")
    for kind in KINDS:
        judged = [one for one in run.judged if one.program.kind == kind]
        left_out = sum(program.kind == kind for program, _ in run.left_out)
        wrong = sum(bool(one.fault) for one in judged)
        seconds = sum(one.verdict.seconds for one in judged)
        numbers = (len(judged) + left_out, len(judged) - wrong, wrong, left_out, f"{seconds:.1f}")
        table.add_row(kind, *map(str, numbers))
    console.print(table)
    for one in run.deviations:
        _say(console, one.program, one.fault)
    for program, reason in run.left_out:
        console.print(f"{program.id}: not run: {reason}", markup=False, highlight=False, soft_wrap=True)
    right = len(run.judged) - len(run.deviations)
    console.print(f"{right} of {len(run.judged)} programs got what they must, in {run.seconds:.1f} s", highlight=False)


def print_answers(programs: Sequence[ConformanceProgram], answers: Answers, console: Console) -> int:
    """Print what another judge said; return how many programs got no verdict or a wrong one."""
    table = _table("Verdicts of the other judge", "programs", "passed", "refused", "wrong", "no verdict")
    wrong: list[tuple[ConformanceProgram, str]] = []
    for kind in KINDS:
        of_kind = [one for one in programs if one.kind == kind]
        if not of_kind:
            continue
        counts = Counter(answers.verdict(one.id) for one in of_kind)
        faults = [(one, fault) for one in of_kind if (fault := _fault(one, answers))]
        wrong += faults
        numbers = (len(of_kind), counts[True], counts[False], len(faults) - counts[None], counts[None])
        table.add_row(kind, *map(str, numbers))
    console.print(table)
    silent = Counter(fault for program, fault in wrong if answers.verdict(program.id) is None)
    for fault, count in silent.items():
        console.print(f"{count} programs: {fault}", markup=False, highlight=False, soft_wrap=True)
    for program, fault in wrong:
        if fault not in silent:
            _say(console, program, fault)
    if answers.stray_lines:
        shown = "; ".join(map(repr, answers.strays))
        text = f"{answers.stray_lines} lines of the judge are no verdict on a row: {shown}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if answers.errors and None in map(answers.verdict, (one.id for one in programs)):
        text = f"the end of the judge's stderr:\n{answers.errors}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(programs) - len(wrong)} of {len(programs)} programs got what they must", highlight=False)
    return len(wrong)


def _fault(program: ConformanceProgram, answers: Answers) -> str:
    passed = answers.verdict(program.id)
    if passed is None:
        return f"no verdict: {answers.faults[program.id]}"
    if passed is (program.kind == MAY_PASS):
        return ""
    return "must not pass, and passed" if passed else "must pass, and was refused"


def _say(console: Console, program: ConformanceProgram, fault: str) -> None:
    text = f"{program.id}: {fault}. {program.why} So {MATTERS[program.kind]}."
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("kind")
    for name in columns:
        table.add_column(name, justify="right")
    return table
