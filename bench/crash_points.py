"""A run that is killed at each of its renames in turn, and resumed: `python -m bench.crash_points FOLDER`.

Files are put in place by renames, so what lies between two of them is a state in which a kill may leave the folder.
Each try is a fork of this process, which has imported everything: the n-th rename of a run ends it in the moment before
or after the rename. Prints one line for each try whose resumed rows differ, and every ten tries how many there were.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import run_recipe
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.runs import everything

#: The exit code of a run that ended at a rename.
STRUCK = 9


def _carry_out(sources: Path, run: Path, *settings: str) -> None:
    recipe = small_recipe(sources, "flush_seconds=0.01", "telemetry.seconds=0", *settings)
    asyncio.run(run_recipe(recipe, run, model=scripted_model(), replace_finished=True))


def _in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        print(f"  {type(error).__name__}: {error}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(code)


def _strike_at(number: int, after: bool) -> None:
    """Let the n-th rename of this process be its last act."""
    left = [number]

    def wrap(rename: Callable[..., Any]) -> Callable[..., Any]:
        def renamed(*given: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and not after:
                os._exit(STRUCK)
            result = rename(*given, **named)
            if left[0] == 0:
                os._exit(STRUCK)
            return result

        return renamed

    os.rename, os.replace = wrap(os.rename), wrap(os.replace)


def main() -> None:
    folder = Path(sys.argv[1])
    judge_by_text(pytest.MonkeyPatch())
    sources = write_sources(folder / "source", 4)
    changed = ["concepts.temperature=0.9"]  # the second run supersedes stages of the first
    _in_child(lambda: _carry_out(sources, folder / "before"))
    tries = differ = 0
    for settings, start in (([], None), (changed, folder / "before")):
        expected = folder / f"expected-{len(settings)}"
        _in_child(lambda: _carry_out(sources, expected, *settings))  # noqa: B023
        rows = everything(expected)
        for after in (False, True):
            for number in range(1, 1000):
                run = folder / "run"
                shutil.rmtree(run, ignore_errors=True)
                if start is not None:
                    shutil.copytree(start, run)

                def struck() -> None:
                    _strike_at(number, after)  # noqa: B023
                    _carry_out(sources, run, *settings)  # noqa: B023

                code = _in_child(struck)
                if code == 0:
                    break
                tries += 1
                resumed = _in_child(lambda: _carry_out(sources, run, *settings))  # noqa: B023
                if code != STRUCK or resumed != 0 or everything(run) != rows:
                    differ += 1
                    told = "after" if after else "before"
                    print(f"{told} rename {number} of a run with {settings}: exit {code}, then {resumed}", flush=True)
                if tries % 10 == 0:
                    print(f"{tries} tries, {differ} differ", flush=True)
    print(f"{tries} tries, {differ} differ: all renames of both runs")
    sys.exit(1 if differ or tries < 50 else 0)


if __name__ == "__main__":
    main()
