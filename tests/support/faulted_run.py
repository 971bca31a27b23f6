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
from threading import Thread

from selfcodealign.settings import Recipe
from tests.support.journey import small_recipe
from tests.support.moody_server import MoodyServer
from tests.support.taken_answers import DEFECTS, REASONS, Told, read_told, why_again

#: Arguments: the folder of sources, the folder of the run, the samples, the servers (none: answers come without).
RUN = """
import asyncio, logging, sys
from pathlib import Path
from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.errors import UserError
from selfcodealign.models import endpoints
from tests.support.faulted_run import small_night
from tests.support.moody_server import moody_answer
from tests.support.taken_answers import tell_answers
logging.disable(logging.WARNING)
endpoints.FIRST_PAUSE = 0.05  # a tenth of the real pauses
sources, out, samples, *urls = sys.argv[1:]
if urls:
    tell_answers()
recipe = small_night(Path(sources), int(samples), urls)
model = None if urls else ScriptedModel(moody_answer, name="demo", revision="unknown")
try:
    asyncio.run(run_recipe(recipe, Path(out), until="selection", model=model))
except UserError as error:
    sys.exit(f"{error}")
"""


def small_night(sources: Path, samples: int, urls: Sequence[str] = ()) -> Recipe:
    """The recipe of such a run; without servers, a model has to be given."""
    return small_recipe(
        sources,
        "model.name=demo",
        f"model.urls={list(urls) or ['localhost:9']}",
        "few_shot.file=tiny",
        "model.concurrency=64",
        "model.request_seconds=1",
        "model.retry_seconds=120",
        "flush_seconds=5",
        f"responses.samples={samples}",
        "execution.mutation_testing=false",
        "instructions.per_seed=2",
    )


#: What ends a session: kill -9 of all its processes, or a full disk; kill -9 of processes of the sandbox does not.
ENDINGS = ("kill", "kill", "disk", "sandbox")


@dataclass
class Course:
    """What happened to a run: how its sessions were ended, by kind; from when to when each of them ended (the first
    moment is that of the kill, or since when the disk was full); lines said by those that gave up; what the sessions
    told of the answers."""

    endings: Counter[str] = field(default_factory=Counter)
    ended: list[tuple[float, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    def sort(self, again: Sequence[tuple[str, float, float]]) -> dict[str, int]:
        """Count the requests that were asked again after the server had answered, by why (`REASONS`)."""
        found = Counter(why_again(one, self.told, self.ended) for one in again)
        return {reason: found[reason] for reason in REASONS}

    def defects(self, again: Sequence[tuple[str, float, float]]) -> list[str]:
        """All that is known of requests that should not have been asked again."""
        return [
            f"answered {one[1]:.1f}, asked again {one[2]:.1f}: "
            + ", ".join(f"{what} {when:.1f}" for what, name, when in self.told if name == one[0])
            + f"; interrupted: {[(round(since, 1), round(until, 1)) for since, until in self.ended]}"
            for one in again
            if why_again(one, self.told, self.ended) in DEFECTS
        ]


def start(sources: Path, out: Path, urls: Sequence[str], samples: int) -> subprocess.Popen[str]:
    """Start a session of the run, in a process group."""
    words = [sys.executable, "-c", RUN, str(sources), str(out), str(samples), *urls]
    return subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_through(
    sources: Path,
    out: Path,
    server: MoodyServer,
    samples: int,
    wait: Callable[[subprocess.Popen[str], random.Random], None],
    endings: Sequence[str],
    draw: random.Random,
) -> Course:
    """Run until the end, interrupted by each of `endings` in turn; `wait` returns when that is to happen, or when the
    session has ended, and may hold the server, which then goes on. Raises `RuntimeError` when a session that nobody
    ended fails, or one on a full disk with a traceback."""
    course, planned = Course(), iter(endings)
    while True:
        before = server.look()[1]
        server.hold(before + 1)
        process = start(sources, out, server.urls, samples)
        listener = Thread(target=lambda told=process.stdout: course.told.extend(read_told(told)))
        listener.start()
        how, since = "sandbox", None
        while how == "sandbox" and process.poll() is None:  # the run goes on after that
            how = next(planned, "")
            if how:
                _wait_for_answers(process, server, before + 1)
                server.hold(None)
                wait(process, draw)
            if how and process.poll() is None:
                course.endings[how] += 1
                since = time.monotonic()
                _end(process, how, draw)
            # On a full disk the run asks on until it writes: some answers are enough for that.
            server.hold(server.look()[1] + 10 if how == "disk" else None)
        assert process.stderr is not None
        said = process.stderr.read()
        process.wait()
        server.hold(None)
        listener.join()
        course.ended.append((since or time.monotonic(), time.monotonic()))
        if process.returncode == 0:
            return course
        if process.returncode != -signal.SIGKILL:
            course.said.append(said.strip().splitlines()[-1] if said.strip() else "nothing")
            if how != "disk" or "Traceback" in said:
                raise RuntimeError(f"a session ended with {process.returncode} (it was to end by {how!r}): {said}")


def _wait_for_answers(process: subprocess.Popen[str], server: MoodyServer, count: int) -> None:
    """Wait until the server has given `count` different answers, or the session has ended."""
    while process.poll() is None and server.look()[1] < count:
        time.sleep(0.05)


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
