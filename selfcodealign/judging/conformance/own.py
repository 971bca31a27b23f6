"""Run the suite through the sandbox of this machine, in each mode that it allows."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from selfcodealign.judging.conformance.suite import ABILITIES, ConformanceProgram
from selfcodealign.progress import Progress
from selfcodealign.sandbox import Limits, Probe, Program, Sandbox, Verdict
from selfcodealign.sandbox.pool import Mode
from selfcodealign.sandbox.probes import probe_walls_async
from selfcodealign.sandbox.worker import WallMissing

#: CPU time is limited, so that a busy machine changes no verdict; the clock ends only what waits.
LIMITS = Limits(
    seconds=3.0,
    cpu_seconds=1.0,
    memory_mib=512,
    processes=24,
    open_files=64,
    file_mib=4,
    scratch_mib=16,
    output_kib=512,
)
#: Libraries that the sandbox replaces where they are not installed.
PROVIDED = ("pytest",)
_PROOFS = ("", "shared", "split")


@dataclass(frozen=True, slots=True)
class Judged:
    """A program, its verdict, and the seconds that the verdict took, all its runs included."""

    program: ConformanceProgram
    verdict: Verdict
    seconds: float

    @property
    def fault(self) -> str:
        """What the verdict is not that it must be; "" where it is right."""
        program, verdict = self.program, self.verdict
        if verdict.status not in program.statuses:
            return f"must get {' or '.join(program.statuses)}, got {_describe(verdict)}"
        if verdict.passed and _PROOFS.index(verdict.proof) < _PROOFS.index(program.proof):
            return f"must pass with proof {program.proof}, got proof {verdict.proof}"
        return ""


@dataclass(frozen=True, slots=True)
class OwnRun:
    """One mode's verdicts; `left_out` has the programs that were not run, with the reason."""

    mode: str
    probes: list[Probe]
    judged: list[Judged]
    left_out: list[tuple[ConformanceProgram, str]]
    seconds: float

    @property
    def deviations(self) -> list[Judged]:
        return [one for one in self.judged if one.fault]

    @property
    def missing_walls(self) -> list[Probe]:
        return [probe for probe in self.probes if not probe.held]


async def judge_suite(
    programs: Sequence[ConformanceProgram], mode: Mode, progress: Progress, workers: int | None = None
) -> OwnRun | str:
    """Probe the walls of `mode`, then judge the programs; hostile ones only where every wall holds.

    Returns the reason where this machine does not allow the mode. Raises `SandboxError` for other faults.
    """
    began = monotonic()
    try:
        with progress.waiting(f"probing the walls ({mode})"):
            probes = await probe_walls_async(mode)
    except WallMissing as missing:
        return str(missing)
    missing_walls = ", ".join(probe.wall for probe in probes if not probe.held)
    reasons = [(one, _why_not(one, mode, missing_walls)) for one in programs]
    left_out = [(one, reason) for one, reason in reasons if reason]
    wanted = [one for one, reason in reasons if not reason]
    task = f"verdicts ({mode})"
    async with Sandbox(workers, LIMITS, mode, warm=("numpy",)) as sandbox:
        progress.start(task, len(wanted), "programs")
        judged = await asyncio.gather(*(_judge(one, sandbox, progress, task) for one in wanted))
    progress.finish(task, f"{len(judged)} programs judged")
    return OwnRun(mode, probes, judged, left_out, monotonic() - began)


async def _judge(program: ConformanceProgram, sandbox: Sandbox, progress: Progress, task: str) -> Judged:
    began = monotonic()
    verdict = await sandbox.run(Program(program.response, program.tests))
    progress.advance(task)
    return Judged(program, verdict, monotonic() - began)


def _why_not(program: ConformanceProgram, mode: str, missing_walls: str) -> str:
    if program.kind == "hostile" and missing_walls:
        return f"walls missing: {missing_walls}"
    for need in program.needs:
        if need in ABILITIES:
            if mode != "namespaces":
                return f"{ABILITIES[need]} exist with namespaces only"
        elif need not in PROVIDED and importlib.util.find_spec(need) is None:
            return f"{need} is not installed"
    return ""


def _describe(verdict: Verdict) -> str:
    detail = " ".join(f"{verdict.error_type} {verdict.message}".split())
    return verdict.status if verdict.passed or not detail else f"{verdict.status} ({detail[:160]})"
