"""Scripts without a main guard: processes of a run never import the user's script."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.journey import write_sources
from tests.support.scripts import UNGUARDED, run_script


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
