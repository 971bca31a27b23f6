"""Scripts of a user without a main guard, run as a file, from stdin and with -c."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: A run with a scripted model, to be put in front of what a test does with it. Arguments: sources, run folder.
UNGUARDED = """
import sys
from selfcodealign import run
from tests.support.journey import scripted_model, small_recipe
from pathlib import Path
print("main script")
recipe = small_recipe(Path(sys.argv[1]))
"""


def run_script(how: str, code: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` as a "file", from "stdin" or by "-c"."""
    (cwd / "script.py").write_text(code, "utf-8")
    first = {"file": ["script.py"], "stdin": ["-"], "-c": ["-c", code]}[how]
    text = code if how == "stdin" else ""
    root = str(Path(__file__).parent.parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, *first, *words]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, cwd=cwd, env=environment, timeout=200, check=False
    )
