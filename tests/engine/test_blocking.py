"""A synchronous call: alone, inside a running loop, stopped by Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from selfcodealign import Progress, ScriptedModel, run
from selfcodealign.engine.blocking import run_blocking
from selfcodealign.errors import ModelError
from tests.support.journey import answer, scripted_model, small_recipe, write_sources


async def test_a_run_inside_a_running_loop(tmp_path: Path) -> None:
    """As in a notebook; paths are strings, and the recipe may be one."""
    recipe = small_recipe(write_sources(tmp_path / "source", 3))
    out = str(tmp_path / "run")
    result = run(recipe, out, until="concepts", model=scripted_model(), progress=Progress())
    assert result.folder == Path(out)
    assert result.books["concepts"].kept == 3
    assert list(result.books) == ["seeds", "decontamination", "near_dedup", "concepts"]
    assert result.dataset is None
    again = run(f"{out}/recipe.toml", out, until="concepts", model=scripted_model(fail_after=0), progress=Progress())
    assert again == result


async def test_errors_come_out_of_the_thread(tmp_path: Path) -> None:
    """With their class and message."""
    recipe = small_recipe(write_sources(tmp_path / "source", 3))
    with pytest.raises(ModelError, match="fails after 1"):
        run(recipe, tmp_path / "run", model=ScriptedModel(answer, fail_after=1), progress=Progress())


def in_a_notebook(call: Callable[[], object]) -> None:
    """Call from inside a running loop that does not handle Ctrl-C itself, as a notebook's does not."""

    async def cell() -> None:
        call()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(cell())
    finally:
        loop.close()


def interrupt_after(seconds: float) -> None:
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.mark.parametrize("calling", [in_a_notebook, lambda call: call()], ids=["notebook", "script"])
def test_an_interrupt_stops_it_cleanly(calling: Callable[[Callable[[], object]], None]) -> None:
    """Ctrl-C cancels the coroutine, waits for its end, and is raised."""
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            ended.append(True)

    interrupt_after(0.3)
    with pytest.raises(KeyboardInterrupt):
        calling(lambda: run_blocking(work))
    assert ended == [True]


def test_a_stopped_run_resumes(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a run: finished rows are on disk, and the same call goes on."""
    recipe = small_recipe(write_sources(tmp_path / "source", 8))
    slow = scripted_model(latency=30.0)
    interrupt_after(3.0)
    with pytest.raises(KeyboardInterrupt):
        in_a_notebook(lambda: run(recipe, tmp_path / "run", model=slow, progress=Progress()))
    assert run(recipe, tmp_path / "run", model=scripted_model(), progress=Progress()).books["seeds"].kept == 8
