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
    command = [sys.executable, *first, *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, cwd=cwd, env=_environment(), check=False)


def start_script(code: str, *words: str, cwd: Path) -> subprocess.Popen[str]:
    """Start `code` as a file, in a session of which it is the leader."""
    (cwd / "script.py").write_text(code, "utf-8")
    command = [sys.executable, "script.py", *words]
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    return subprocess.Popen(
        command, stdout=null, stderr=pipe, text=True, cwd=cwd, env=_environment(), start_new_session=True
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
