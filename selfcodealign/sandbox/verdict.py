"""The protocol: a program and its limits go in, a verdict comes out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Literal

from selfcodealign.sandbox.isolation.scratch_files import check_names


class Status(StrEnum):
    """How a program ended. Only `passed` is a pass; `not_judged` is a fault of the sandbox, not of the program."""

    PASSED = "passed"
    FAILED = "failed"  # an assertion was false
    ERROR = "error"  # an exception, or an exit before the end
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"  # killed by a signal that it caused
    BLOCKED = "blocked"  # tried what the walls forbid, and ended there
    NO_CODE = "no_code"
    NO_TESTS = "no_tests"
    WEAK_TESTS = "weak_tests"  # nothing about the response's own code was proven
    TAMPERING = "tampering"  # the response reaches for the judge, the libraries that judge it, or the tests
    FLAKY = "flaky"  # the verdict changed with the hash seed
    NOT_JUDGED = "not_judged"


class MutantOutcome(Enum):
    """How the tests reacted to a mutant of the response."""

    SURVIVED = 0
    KILLED = 1  # by an exception before any assertion failed
    KILLED_BY_ASSERTION = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use: times in seconds, sizes in MiB (2**20 bytes) or KiB.

    `seconds` is wall time. With `cpu_seconds`, the CPU time of all its processes is limited instead, so that a busy
    machine ends no program, and after `seconds` of wall time a program ends only if it waits: used less than a fiftieth
    of a core.

    Raises `ValueError` for limits under which no interpreter can run.
    """

    seconds: float = 10.0
    cpu_seconds: float | None = None
    memory_mib: int = 4096
    processes: int = 64
    open_files: int = 256
    file_mib: int = 64
    scratch_mib: int = 256
    output_kib: int = 16 * 1024

    def __post_init__(self) -> None:
        least = {"memory_mib": 16, "processes": 1, "open_files": 32, "file_mib": 1, "scratch_mib": 1, "output_kib": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be at least {bound}, not {getattr(self, name)}")
        if not self.seconds > 0:
            raise ValueError(f"seconds must be above 0, not {self.seconds}")
        if self.cpu_seconds is not None and not self.cpu_seconds > 0:
            raise ValueError(f"cpu_seconds must be above 0, not {self.cpu_seconds}")


@dataclass(frozen=True, slots=True)
class Program:
    """One response and what judges it. Texts are Markdown with fenced code blocks, or plain code.

    `kind` says who wrote the tests, which decides what a pass requires:

    - "tests": a model wrote the tests. Assertions about the response's own code ran, all held, the program reached its
      end, and (with `mutation_testing`) an assertion killed a mutant of the response. An empty `tests` means that
      `response` holds both sections.
    - "check": a benchmark wrote the tests; they are trusted. The tests, and `check(entry_point)` where they define it,
      ran to their end without an exception. `__record__(value)` in the tests adds a value (None, numbers, text,
      lists, dictionaries) to `Verdict.records` immediately, so records survive a later time-out.
    - "script": there are no tests. The response runs as a script that reads `stdin`; it passes when it ends without
      an exception or with exit status 0. Compare `Verdict.output`, and raise `keep_output_kib` for long outputs.

    For scripts only: `as_command` ends as `python FILE` would, with the interpreter's status as `Verdict.exit_code` and
    with tracebacks on stderr, which `Verdict.stderr` has apart from `output`; the text is taken as it stands. `files`
    are put into the scratch, the current folder, before the script starts; those named in `fetch` are read from it when
    all its processes have ended, into `Verdict.files`. Names are relative paths. Raises `ValueError` for names that
    lead elsewhere.

    `limits`, `mutation_testing` and `split` override those of the sandbox for this program.
    """

    response: str
    tests: str = ""
    kind: Literal["tests", "check", "script"] = "tests"
    entry_point: str | None = None
    stdin: str = ""
    limits: Limits | None = None
    mutation_testing: bool | None = None
    split: bool | None = None
    keep_output_kib: int = 8
    as_command: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict, hash=False)
    fetch: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.as_command or self.files or self.fetch:
            if self.kind != "script":
                raise ValueError('as_command, files and fetch are for kind="script"')
            check_names(self.files)
            check_names(self.fetch, alone=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status of a program, with the evidence.

    `line` is the line of the tests (or, when the exception came from the response alone, of the response) in the
    extracted code; `output` is the end of stdout and stderr (with `as_command` of stdout, and `stderr` that of stderr;
    `files` are those fetched); `peak_memory_mib` is resident memory including the
    interpreter; `mutation_score` is the share of mutants that the tests killed (None: not measured). `killed_by_value`
    says whether an assertion noticed that the response returned other values of the same types (None: not measured, or
    nothing plain reaches the tests). `repairs`
    names what was left out of the response or mended in it before it ran: thinking, special tokens, no-break spaces.
    `proof` says how a passing program was judged: with its tests in one process ("shared"), or apart from them as well
    ("split"); empty for a program that did not pass.
    """

    status: Status
    error_type: str = ""
    message: str = ""
    line: int | None = None
    output: str = ""
    seconds: float = 0.0
    peak_memory_mib: float = 0.0
    mutation_score: float | None = None
    killed_by_value: bool | None = None
    assertions: int = 0
    exit_code: int | None = None
    records: list[Any] = field(default_factory=list)
    repairs: str = ""
    proof: Literal["", "shared", "split"] = ""
    stderr: str = ""
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED

    @property
    def strength(self) -> float | None:
        """Deprecated name of `mutation_score`."""
        warnings.warn("Verdict.strength is now Verdict.mutation_score", DeprecationWarning, stacklevel=2)
        return self.mutation_score
