"""A run against a moody server that is killed again and again, and what must hold in the end."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.moody_server import MoodyServer

#: Arguments: the folder of sources, the folder of the run, the samples, the servers (none: answers come without).
RUN = """
import asyncio, logging, sys
from pathlib import Path
from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.errors import UserError
from selfcodealign.models import endpoints
from tests.support.journey import small_recipe
from tests.support.moody_server import moody_answer
logging.disable(logging.WARNING)
endpoints.FIRST_PAUSE = 0.05  # a tenth of the real pauses
sources, out, samples, *urls = sys.argv[1:]
recipe = small_recipe(Path(sources), "model.name=demo", f"model.urls={urls or ['localhost:9']}", "few_shot.file=tiny",
    "model.concurrency=64", "model.request_seconds=1", "model.retry_seconds=120", "flush_seconds=5",
    f"responses.samples={samples}", "execution.mutation_testing=false", "instructions.per_seed=2")
model = None if urls else ScriptedModel(moody_answer, name="demo", revision="unknown")
try:
    asyncio.run(run_recipe(recipe, Path(out), until="selection", model=model))
except UserError as error:
    sys.exit(f"{error}")
"""
#: What ends a session: kill -9 of all its processes, or a full disk; kill -9 of processes of the sandbox does not.
ENDINGS = ("kill", "kill", "disk", "sandbox")
#: Seconds before a kill from which on an answer must not be lost.
SAFE_SECONDS = 5.0


@dataclass
class Course:
    """What happened to a run: how its sessions ended, by kind, and when; lines said by those that gave up."""

    endings: Counter[str] = field(default_factory=Counter)
    ended_at: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def lost(self, again: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Of the requests asked again after their answer, those answered more than `SAFE_SECONDS` before an end."""
        return [
            (answered, asked)
            for answered, asked in again
            if not any(answered <= end <= min(asked, answered + SAFE_SECONDS) for end in self.ended_at)
        ]


def start(sources: Path, out: Path, urls: Sequence[str], samples: int) -> subprocess.Popen[str]:
    """Start a session of the run, in a process group."""
    words = [sys.executable, "-c", RUN, str(sources), str(out), str(samples), *urls]
    return subprocess.Popen(words, start_new_session=True, stderr=subprocess.PIPE, text=True)


def run_through(
    sources: Path,
    out: Path,
    server: MoodyServer,
    samples: int,
    pauses: Callable[[random.Random], float],
    sessions: int,
    draw: random.Random,
) -> Course:
    """Run until the end, ending the first `sessions` sessions after a random time. Raises `RuntimeError` when a session
    that nobody ended fails."""
    course = Course()
    while True:
        process = start(sources, out, server.urls, samples)
        how = "sandbox"
        while how == "sandbox" and process.poll() is None:  # the run goes on after that
            how = draw.choice(ENDINGS) if sum(course.endings.values()) < sessions else ""
            try:
                process.wait(pauses(draw) if how else None)
            except subprocess.TimeoutExpired:
                course.endings[how] += 1
                _end(process, how, draw)
        _, said = process.communicate()
        course.ended_at.append(time.monotonic())
        if process.returncode == 0:
            return course
        if process.returncode != -signal.SIGKILL:
            course.said.append(said.strip().splitlines()[-1] if said.strip() else "nothing")
            if how != "disk" or "make room" not in said:
                raise RuntimeError(f"a session ended with {process.returncode} (it was to end by {how!r}): {said}")


def _end(process: subprocess.Popen[str], how: str, draw: random.Random) -> None:
    if how == "sandbox":  # the run goes on
        found = _below(process.pid)
        for one in draw.sample(found, min(2, len(found))):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    elif how == "disk":
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    else:
        os.killpg(process.pid, signal.SIGKILL)


def _below(pid: int) -> list[int]:
    """The processes that a process has begun, and theirs."""
    try:
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(deeper for child in children for deeper in _below(child))]
