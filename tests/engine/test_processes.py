"""Processes of a run: they never import the user's script, which has no main guard, and they end with the run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from selfcodealign.engine.processes import work_in_processes
from selfcodealign.errors import UserError
from tests.support.journey import write_sources
from tests.support.scripts import UNGUARDED, run_script, start_script

#: A module with a stage whose work does not end and does not let other threads of its process run.
ENDLESS = """
import re
from pathlib import Path
from selfcodealign.rows import Seed
from selfcodealign.stages import Each

def work(row):
    Path(f"begun-{row.id}").touch()
    re.match("(a+)+$", "a" * 60 + "b")
    return [row]

STAGE = Each(name="endless", takes=Seed, gives=Seed, build=lambda context: work, cpu=True,
             decided_by=lambda context: {}, rows_at_once=lambda context: 2)
"""


@pytest.mark.parametrize("how", ["file", "stdin", "-c"])
def test_a_script_without_a_main_guard_runs_once(how: str, tmp_path: Path) -> None:
    """As a file, from stdin and with -c: the run ends, and the script's own lines are run once."""
    sources = write_sources(tmp_path / "source", 6)
    code = UNGUARDED + (
        'result = run(recipe, "run", model=scripted_model())\n'
        'kept = [result.books[name].kept for name in ("seeds", "near_dedup")]\n'
        "print(kept, result.dataset, result.tuned, result.scores)\n"
        "print(result)\n"
    )
    done = run_script(how, code, str(sources), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == ["main script", "[6, 6] run/dataset None []", "run folder: run"]
    assert "  seeds: 6 in, 6 kept\n" in done.stdout
    assert "seeds: 6 files in, 6 seeds kept" in done.stderr  # progress, in lines
    assert "Traceback" not in done.stderr


def test_work_of_the_main_script_is_refused_in_one_line(tmp_path: Path) -> None:
    """Other processes do not see it; the error names what to move."""
    sources = write_sources(tmp_path / "source", 2)
    code = UNGUARDED + (
        "from selfcodealign.rows import Seed\n"
        "from selfcodealign.stages import Each\n"
        "def same(row): return [row]\n"
        "SAME = Each(name='same', takes=Seed, gives=Seed, build=lambda context: same, cpu=True,\n"
        "            decided_by=lambda context: {}, rows_at_once=lambda context: 1)\n"
        "recipe = recipe.model_copy(update={'journey': ['seeds', 'same', *recipe.journey[1:]]})\n"
        "run(recipe, 'run', model=scripted_model(), stages=[SAME])\n"
    )
    done = run_script("file", code, str(sources), cwd=tmp_path)
    assert 'RecipeError: the stage "same" works in other processes' in done.stderr
    assert "move same to a file of its own" in done.stderr


def die_once(row: SimpleNamespace) -> list[str]:
    """Be killed, as by a system without memory, where no process was before."""
    try:
        row.marker.touch(exist_ok=False)
    except FileExistsError:
        return [row.id]
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def die(row: SimpleNamespace) -> list[str]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


async def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    """The row that it worked on, and those that waited, are worked on again."""
    rows = [SimpleNamespace(id=f"row {number}", marker=tmp_path / "killed") for number in range(4)]
    with work_in_processes("dying", die_once, None) as work:  # type: ignore[arg-type]
        assert await asyncio.gather(*map(work, rows)) == [[row.id] for row in rows]


async def test_a_row_that_kills_its_process_ends_the_run_in_one_line() -> None:
    """Not for ever: the error names stage and row."""
    with work_in_processes("dying", die, None) as work:  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"dying: processes of this stage were killed 5 times.*the row row 1 was"):
            await work(SimpleNamespace(id="row 1"))


def _list_session(number: int) -> list[int]:
    """The processes of a session that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == number and state != "Z":
            found.append(int(path.parent.name))
    return found


def _wait(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_killed_run(how: signal.Signals, tmp_path: Path) -> None:
    """Neither those that wait for work nor those that work; the fork server and its tracker end too."""
    sources = write_sources(tmp_path / "source", 2)
    (tmp_path / "endless.py").write_text(ENDLESS, "utf-8")
    code = UNGUARDED + (
        "from endless import STAGE\n"
        "recipe = recipe.model_copy(update={'journey': ['seeds', 'endless', *recipe.journey[1:]]})\n"
        "run(recipe, 'run', model=scripted_model(), stages=[STAGE], until='endless')\n"
    )
    process = start_script(code, str(sources), cwd=tmp_path)
    try:
        _wait(lambda: len(list(tmp_path.glob("begun-*"))) == 2, 60)
        assert len(_list_session(process.pid)) > 3
        process.send_signal(how)
        # A process that lives would hold stderr open.
        errors = process.communicate(timeout=600)[1]
        assert process.returncode == -how
        _wait(lambda: not _list_session(process.pid), 20)
        assert "Warning" not in errors
    finally:
        for left in _list_session(process.pid):
            os.kill(left, signal.SIGKILL)
