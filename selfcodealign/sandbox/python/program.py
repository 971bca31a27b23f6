"""Python programs: extract code from Markdown, prepare jobs for the server, judge what the server observed.

This module implements `language.Language`; `harness.py` runs inside a program's process.
"""

from __future__ import annotations

import errno
import re
import signal
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfcodealign.fences import read_answer, read_tests, read_verbatim
from selfcodealign.sandbox.python.mutants import GATES, NO_VALUE_GATE, VALUE_GATE
from selfcodealign.sandbox.python.split.wire import INTERRUPTED
from selfcodealign.sandbox.verdict import Limits, MutantOutcome, Program, Status, Verdict

__all__ = [
    "GATES",
    "NO_VALUE_GATE",
    "RUNNER",
    "VALUE_GATE",
    "Job",
    "imported_modules",
    "judge",
    "judge_mutant",
    "judge_split",
    "judge_untouched",
    "mutants_of",
    "prepare_job",
    "touched",
]

RUNNER: str = "selfcodealign.sandbox.python.harness"

_TESTS_SECTION = re.compile(r"<tests?>(.*?)(?:</tests?>|\Z)", re.DOTALL | re.IGNORECASE)
_RESPONSE_SECTION = re.compile(r"<response>(.*?)(?:</response>|\Z)", re.DOTALL | re.IGNORECASE)
_TESTS_HEADING = re.compile(r"^(?:#{1,6}[ \t]*|\*\*)(?:unit |example )?tests?\b[^\n]*$", re.MULTILINE | re.IGNORECASE)
_IMPORTED = re.compile(r"^[ \t]*(?:from|import)[ \t]+([\w., \t]+)", re.MULTILINE)
_FORBIDDEN = frozenset(
    {errno.EPERM, errno.EACCES, errno.EROFS, errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
    | {errno.ENETUNREACH, errno.EAGAIN, errno.ENOSYS, errno.EXDEV}
)
_ENDED_BY = {
    "timeout": (Status.TIMEOUT, "", "ran longer than {seconds:g} s"),
    "cpu": (Status.TIMEOUT, "", "used more than {cpu_seconds:g} s of CPU time"),
    "memory": (Status.MEMORY, "", "all processes together used more than {memory_mib} MiB"),
    "output": (Status.BLOCKED, "OutputLimit", "wrote more than {output_kib} KiB"),
    "processes": (Status.BLOCKED, "ProcessLimit", "started more than {processes} processes"),
    "scratch": (
        Status.BLOCKED,
        "ScratchLimit",
        "filled its scratch folder beyond {scratch_mib} MiB, 65,536 files or 200 folders in each other",
    ),
    "tampering": (Status.TAMPERING, "Tampering", "wrote to the harness's own report"),
}


def split_sections(text: str) -> tuple[str, str]:
    """Split a text into response and tests: tagged sections, or what follows a heading "Tests"."""
    tests = _TESTS_SECTION.search(text)
    if tests:
        response = _RESPONSE_SECTION.search(text)
        return response[1] if response else text[: tests.start()], tests[1]
    heading = _TESTS_HEADING.search(text)
    if heading:
        return text[: heading.start()], text[heading.end() :]
    return text, ""


@dataclass(frozen=True, slots=True)
class Job:
    """A program prepared for a server."""

    response: str
    tests: str
    tests_inside: bool
    program: Program
    limits: Limits
    repairs: str = ""

    def message(
        self,
        versions: Sequence[str | None] = (None,),
        mutants_wanted: bool = False,
        together: dict[str, float] | None = None,
        against: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The message to the server and the harness."""
        return {
            "response": self.response,
            "tests": self.tests,
            "tests_inside": self.tests_inside,
            "kind": self.program.kind,
            "entry_point": self.program.entry_point,
            "stdin": self.program.stdin,
            "keep_output_kib": self.program.keep_output_kib,
            "as_command": self.program.as_command,
            "files": {name: b64encode(data).decode() for name, data in self.program.files.items()},
            "fetch": list(self.program.fetch),
            "limits": {name: getattr(self.limits, name) for name in Limits.__slots__},
            "versions": list(versions),
            "mutants_wanted": mutants_wanted,
            "together": together,
            "against": list(against),
        }


def prepare_job(program: Program, limits: Limits) -> Job | Verdict:
    """Extract the code from the texts; return a verdict when there is nothing to run."""
    response, tests = program.response, program.tests
    if program.kind == "tests" and not tests.strip():
        response, tests = split_sections(response)
    repairs = ""
    if program.kind == "tests":
        reading, test_code = read_answer(response), read_tests(tests).code
        code, repairs = reading.code, ", ".join(reading.repairs)
    else:
        code, test_code = response if program.as_command else read_verbatim(response), read_verbatim(tests)
    if not code.strip():
        return Verdict(Status.NO_CODE, message="no Python code in the response")
    if program.kind != "script" and tests.strip() and not test_code.strip():
        return Verdict(Status.NO_TESTS, message="no Python code in the tests")
    inside = program.kind == "tests" and not test_code.strip()
    return Job(code, test_code, inside, program, program.limits or limits, repairs)


def imported_modules(job: Job) -> set[str]:
    """Return the top-level names of all modules in a program's import statements."""
    names: set[str] = set()
    for found in _IMPORTED.finditer(job.response + "\n" + job.tests):
        names |= {part.strip().split(".")[0].split(" ")[0] for part in found[1].split(",")}
    return names


def judge(job: Job, outcome: dict[str, Any]) -> Verdict:
    """Return the verdict on what the server observed (`Watch.supervise`), before mutation testing and reruns."""
    reports = outcome["reports"]
    if not all(map(_is_report, reports)):
        return Verdict(Status.TAMPERING, "Tampering", "a report that the harness did not write", repairs=job.repairs)
    seen = {
        "output": outcome["output"],
        "stderr": outcome.get("errors", ""),
        "files": {name: b64decode(data) for name, data in outcome.get("files", {}).items()},
        "seconds": outcome["seconds"],
        "peak_memory_mib": outcome["peak_memory_mib"],
        "exit_code": outcome["exit_code"],
        "repairs": job.repairs,
        "records": [report["record"] for report in reports if "record" in report],
    }
    final = [report for report in reports if "end" in report]
    forked_failures = [report["failure"] for report in reports if "failure" in report]
    if outcome["ended_by"]:
        status, kind, message = _ENDED_BY[outcome["ended_by"]]
        return Verdict(status, kind, message.format(**job.message()["limits"]), **seen)
    if len(final) != 1:
        return _judge_early_end(outcome["exit_code"], seen, job)
    summary = final[0]
    seen["assertions"] = summary["held"]
    if summary["tampering"] and job.program.kind != "script":
        line, what = summary["tampering"]
        message = f"the response reaches for machinery: {what}"
        return Verdict(Status.TAMPERING, "Tampering", message, line or None, **seen)
    failures = forked_failures + summary["failures"]
    if (failures and job.program.kind != "check") or (failures and not summary["end"]):
        line, message = failures[0]
        return Verdict(Status.FAILED, "AssertionError", message, line or None, **seen)
    if summary["error"]:
        return _judge_error(job, summary["error"], seen)
    if not summary["end"]:
        return Verdict(Status.FAILED, "AssertionError", "a test failed", **seen)
    if job.program.kind == "tests":
        return _judge_proof(summary, seen)
    return Verdict(Status.PASSED, **seen)


#: What the report of a run's end holds (`Evidence.summary`), with the types.
_SUMMARY = {"end": bool, "sites": int, "held": int, "proved": int, "failures": list, "error": dict, "phase": str}
_SUMMARY |= {"always_equal": str, "patched": str, "unproven": str, "tampering": list, "mutants": list}
#: What the judge reports of a run in two processes (`Judge.summary`), with the types.
_SPLIT = {
    "forged": str,
    "ended": bool,
    "lost": str,
    "inexact": list,
    "objects": bool,
    "doubtful": str,
    "unclear": str,
    "liar": str,
    "raised": bool,
    "touched": bool,
    "seen": list,
    "circular": str,
    "alone": bool,
}
#: Tests that ask what a function or an object is, where a stand-in may differ from it.
_ASKS_FUNCTIONS = re.compile(r"\b(inspect|pickle|capfd|__\w+__|id|is(?! (not )?(None|True|False)\b))\b")
_ASKS_OBJECTS = re.compile(r"\b(isinstance|issubclass|type|is_dataclass|hasattr|getattr|vars)\b")
#: The examples of the response's docstrings are looked for where the tests are, and are not there.
_LOOKS_FOR_EXAMPLES = re.compile(r"\bdoctest\b")
_ERROR = {"type": str, "message": str, "line": int, "in_tests": bool, "phase": str, "errno": int}
_ERROR |= {"is_assertion": bool, "at_site": bool}


_MOST_COUNT = 2**53  # what JSON and Parquet can hold
_LONGEST_TEXT = 10_000


def _is_report(report: Any) -> bool:
    """Whether a message has the form of the harness's: a program that writes its own must not break the judge."""
    if type(report) is not dict:
        return False
    if "end" not in report:
        if report.keys() == {"split"}:
            return type(report["split"]) is dict and _has(report["split"], _SPLIT)
        return report.keys() in ({"record"}, {"begun"}) or (report.keys() == {"failure"} and _is_line(*report.values()))
    whole = _has(report, _SUMMARY) and all(map(_is_line, report["failures"]))
    whole = whole and (not report["tampering"] or _is_line(report["tampering"]))
    whole = whole and all(type(name) is str and len(name) < _LONGEST_TEXT for name in report["mutants"])
    return whole and (not report["error"] or _has(report["error"], _ERROR))


def _has(values: dict[str, Any], types: dict[str, type]) -> bool:
    return values.keys() == types.keys() and all(_is_plain(values[name], kind) for name, kind in types.items())


def _is_plain(value: Any, kind: type) -> bool:
    if type(value) is not kind:
        return False
    return not (kind is int and abs(value) > _MOST_COUNT) and not (kind is str and len(value) > _LONGEST_TEXT)


def _is_line(value: Any) -> bool:
    """Whether a value is a line of the program with a text."""
    return type(value) is list and len(value) == 2 and _is_plain(value[0], int) and _is_plain(value[1], str)


def _judge_early_end(exit_code: int, seen: dict[str, Any], job: Job) -> Verdict:
    if exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in signal.Signals._value2member_map_ else str(-exit_code)
        if name == "SIGXCPU":
            return Verdict(Status.TIMEOUT, "", "used up its processor time", **seen)
        if name == "SIGXFSZ":
            return Verdict(Status.BLOCKED, "FileLimit", f"wrote a file beyond {job.limits.file_mib} MiB", **seen)
        if name == "SIGSYS":
            return Verdict(Status.BLOCKED, "SystemCall", "made a forbidden system call", **seen)
        return Verdict(Status.CRASHED, name, f"ended by {name}", **seen)
    if job.program.kind == "script" and exit_code == 0:
        return Verdict(Status.PASSED, **seen)
    return Verdict(Status.ERROR, "Exit", f"left with status {exit_code} before the tests had ended", **seen)


def _judge_error(job: Job, error: dict[str, Any], seen: dict[str, Any]) -> Verdict:
    kind, message, line = error["type"], error["message"], error["line"] or None
    if kind == "SystemExit":
        message = f"left with status {message or 0} before the tests had ended"
    elif error["is_assertion"]:
        message = message or "assertion failed"
    # The lines of a program without tests can be nothing else.
    phases = ("tests", "units", "response") if job.program.kind == "tests" else ("tests", "units")
    if not error["in_tests"] and error["phase"] in phases and line:
        message = f"{message} (line of the response)".lstrip()
    if error["is_assertion"]:
        return Verdict(Status.FAILED, kind, message, line, **seen)
    if kind == "MemoryError":
        return Verdict(Status.MEMORY, kind, message or f"needed more than {job.limits.memory_mib} MiB", line, **seen)
    if kind == "PermissionError" or error["errno"] in _FORBIDDEN:
        return Verdict(Status.BLOCKED, kind, message, line, **seen)
    return Verdict(Status.ERROR, kind, message, line, **seen)


def _judge_proof(summary: dict[str, Any], seen: dict[str, Any]) -> Verdict:
    """The program ran to its end: decide whether it proved anything about the response's own code."""
    if not summary["sites"] and not summary["proved"]:
        return Verdict(Status.NO_TESTS, message="nothing is asserted", **seen)
    for weakness, text in (("patched", "{} was replaced"), ("always_equal", "{}")):
        if summary[weakness]:
            return Verdict(Status.WEAK_TESTS, message=text.format(summary[weakness]), **seen)
    if not summary["proved"]:
        return Verdict(Status.WEAK_TESTS, message="no assertion about the response's own code was executed", **seen)
    if summary["unproven"]:
        return Verdict(Status.WEAK_TESTS, message=summary["unproven"], **seen)
    return Verdict(Status.PASSED, **seen)


def judge_split(job: Job, verdict: Verdict, outcome: dict[str, Any]) -> Verdict:
    """Return the verdict on a program that passed in one process, after its run in two.

    A run in two processes that ended for its own reasons (a value that cannot cross, a process that died, a patch that
    reached only one side) says nothing about the response: the pass stays, with proof "shared". What the response's own
    process returned or raised does.
    """
    shared = replace(verdict, proof="shared")
    told = _told(outcome)
    if outcome["ended_by"] == "output":  # a program that prints the same in both runs is ended in neither
        return replace(judge(job, outcome), mutation_score=verdict.mutation_score)
    if outcome["ended_by"] or told is None:
        return shared
    if told["liar"]:
        return replace(verdict, status=Status.WEAK_TESTS, message=told["liar"])
    if told["forged"]:
        return replace(verdict, status=Status.TAMPERING, error_type="Tampering", message=told["forged"])
    if told["lost"]:
        ended = told["ended"] and outcome.get("response_exit_code") != INTERRUPTED
        message = "the response ended its process or its link to the tests, which it did not beside them"
        return replace(verdict, status=Status.ERROR, error_type="Exit", message=message) if ended else shared
    again = judge(job, outcome)
    if again.status in (Status.PASSED, Status.WEAK_TESTS, Status.NO_TESTS) and told["doubtful"]:
        return replace(verdict, status=Status.WEAK_TESTS, message=told["doubtful"])
    if again.passed:
        return shared if told["unclear"] else replace(verdict, proof="split")
    if again.status in (Status.WEAK_TESTS, Status.NO_TESTS):
        return shared
    line = job.tests.splitlines()[again.line - 1 : again.line] if again.line else []
    asks = any(map(_ASKS_FUNCTIONS.search, line)) or (told["objects"] and any(map(_ASKS_OBJECTS.search, line)))
    by_data = again.status is Status.FAILED and not asks and not _LOOKS_FOR_EXAMPLES.search(job.tests)
    if told["inexact"] or again.error_type == "RecursionError" or not (by_data or told["raised"]):
        return shared
    return replace(again, message=f"{again.message} (in a process apart from the tests)", output=verdict.output)


def touched(outcome: dict[str, Any]) -> list[list[int]] | None:
    """Return what the judge has seen of assertions, if the response changed arguments or files of the tests."""
    told = _told(outcome)
    if told is None or not told["touched"]:
        return None
    plain = all(
        type(one) is list and len(one) == 4 and all(_is_plain(part, int) for part in one) for one in told["seen"]
    )
    return told["seen"] if plain else None


def judge_untouched(job: Job, verdict: Verdict, outcome: dict[str, Any]) -> Verdict:
    """Return the verdict on a program with split proof, after a run in which its response changed nothing of the tests.

    Tests of what a response changes fail there, and rightly so. An assertion that compares the change with what the
    response returned is no proof.
    """
    told = _told(outcome)
    if told is None or outcome["ended_by"] or told["lost"]:
        return replace(verdict, proof="shared")
    if not told["circular"]:
        return verdict
    if told["alone"]:
        return replace(verdict, status=Status.WEAK_TESTS, message=told["circular"])
    return replace(verdict, proof="shared")


def _told(outcome: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the judge of a run in two processes reported."""
    told = next((report["split"] for report in outcome["reports"] if _has(report, {"split": dict})), None)
    return told if told is not None and _has(told, _SPLIT) else None


def mutants_of(outcome: dict[str, Any]) -> list[str]:
    """Return the names of the mutants that the harness reported."""
    return next((report["mutants"] for report in outcome["reports"] if "end" in report), [])


def judge_mutant(job: Job, outcome: dict[str, Any]) -> MutantOutcome | None:
    """Return how the tests reacted to a mutant; None when the mutant failed before any test ran."""
    final = next((report for report in outcome["reports"] if "end" in report), None)
    if final and not job.tests_inside and final["phase"] in ("response", "parse response", "parse tests", "build"):
        return None
    verdict = judge(job, outcome)
    if verdict.status in (Status.PASSED, Status.WEAK_TESTS, Status.NO_TESTS):
        return MutantOutcome.SURVIVED
    asserted = verdict.status is Status.FAILED or (
        final is not None and bool(final["error"]) and final["error"]["at_site"]
    )
    return MutantOutcome.KILLED_BY_ASSERTION if asserted else MutantOutcome.KILLED
