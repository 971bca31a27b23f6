"""What a person sees on a real terminal of 80 and 60 columns while a run is under way."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from selfcodealign.settings import DATA_JOURNEY
from tests.support.journey import write_sources
from tests.support.screen import show
from tests.support.scripts import UNGUARDED

#: A model that makes every kind of noise while the bars are on the screen.
NOISY = (
    UNGUARDED
    + """
import logging, os, subprocess, warnings
from tests.support.journey import answer
from selfcodealign import ScriptedModel
handler = logging.StreamHandler(sys.stderr)
def noise(prompt, sampling, seed):
    if seed % 3 == 0:
        warnings.warn(f"NOISE of a warning {seed}", FutureWarning)
        logging.getLogger("lib").addHandler(handler)
        logging.getLogger("lib").warning("NOISE of logging")
        os.write(2, b"NOISE of C code\\n")
        subprocess.run("echo NOISE of a child; printf 'NOISE 1%%\\\\r NOISE 2%%' >&2", shell=True)
        sys.stderr.write("NOISE of sys.stderr")
    return answer(prompt, sampling, seed)
model = ScriptedModel(noise, latency=0.15, concurrency=3)
"""
)


@pytest.mark.parametrize("width", [80, 60])
def test_the_screen_holds_bars_and_then_a_line_per_stage(width: int, tmp_path: Path) -> None:
    """No line is wider than the terminal; all stages, bar, count, time left and place are seen; nothing prints into
    them, and no stage's line moves."""
    write_sources(tmp_path / "source", 24)
    (tmp_path / "script.py").write_text(NOISY + 'run(recipe, "run", model=model)\nprint("the end")\n')
    shown = show([sys.executable, "script.py", "source"], cwd=tmp_path, width=width)
    assert shown.code == 0, shown.screen.text()
    assert shown.screen.longest <= width
    for frame in shown.frames:
        assert "NOISE" not in frame, frame
    frames = "\n".join(shown.frames)
    assert re.search(r"responses +[━╸─]+ +\d+/24 .* 0:\d\d left", frames)
    assert re.search(r"stages 4–6 of 8, 0:\d\d so far", frames)
    rows = {
        (stage, row)
        for frame in shown.frames
        for row, line in enumerate(frame.splitlines())
        for stage in DATA_JOURNEY
        if re.match(rf"[✓▸·] {stage} *( |$)", line)
    }
    assert rows == {(stage, 3 + number) for number, stage in enumerate(DATA_JOURNEY)}
    lines = shown.screen.text().splitlines()
    assert lines[0] == "main script"
    assert lines[1] == "run folder: run"
    assert lines[-1] == "the end"
    names = [line.partition(":")[0] for line in lines[2:-1]]
    assert names == list(DATA_JOURNEY), lines
    for line in lines[2:-1]:
        assert re.search(r"(in, \d+ .*(kept.*|…)|\d+ examples) \(0:\d\d\)$", line), line


def test_after_a_crash_the_last_lines_of_libraries_are_shown(tmp_path: Path) -> None:
    """A bug's traceback comes with what was written before it; an error of the user's comes alone."""
    for error, seen in (("ValueError('a bug')", True), ("UserError('a mistake')", False)):
        code = (
            "import os\nfrom selfcodealign.errors import UserError\n"
            "from selfcodealign.progress.terminal import open_progress\n"
            f"with open_progress() as progress:\n    os.write(2, b'a hint of a library\\n')\n    raise {error}\n"
        )
        shown = show([sys.executable, "-c", code], cwd=tmp_path)
        assert ("a hint of a library" in shown.screen.text()) is seen
        assert error.split("(")[0] in shown.screen.text()
