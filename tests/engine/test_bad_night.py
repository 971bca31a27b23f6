"""Everything goes wrong at once: the end is that of a good night, and nothing is paid for twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

from selfcodealign import ScriptedModel, run_recipe
from tests.support.faulted_run import run_through, small_night
from tests.support.journey import write_sources
from tests.support.moody_server import MoodyServer, moody_answer
from tests.support.runs import everything
from tests.support.taken_answers import DEFECTS

SAMPLES, ENDINGS = 4, ("kill", "disk", "sandbox", "kill")


def test_a_bad_night_ends_with_the_rows_of_a_good_one(tmp_path: Path) -> None:
    """A server that fails in eleven ways, kill -9 of the run and of its children, a full disk, several times: the same
    command ends with exactly the rows of a run without faults, and no answer that was kept is asked for again."""
    sources = write_sources(tmp_path / "source", 24)
    model = ScriptedModel(moody_answer, name="demo", revision="unknown")
    asyncio.run(run_recipe(small_night(sources, SAMPLES), tmp_path / "calm", until="selection", model=model))
    with MoodyServer(0.02, 7) as server:

        def wait(process: subprocess.Popen[str], draw: random.Random) -> None:
            until = server.look()[1] + draw.randrange(15, 45)
            server.hold(until)  # a fast machine would have all answers before the kill
            while process.poll() is None and server.look()[1] < until:
                time.sleep(0.02)

        course = run_through(sources, tmp_path / "run", server, SAMPLES, wait, ENDINGS, random.Random(3))
        kinds, _, again = server.look()
    assert course.endings == Counter(ENDINGS)
    assert sum(number for kind, number in kinds.items() if kind) > 10
    assert any(one.what == "kept" for one in course.told)
    assert course.defects(again) == [], course.sort(again)
    assert {reason for reason, number in course.sort(again).items() if number}.isdisjoint(DEFECTS)
    assert everything(tmp_path / "run") == everything(tmp_path / "calm")
