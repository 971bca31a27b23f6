"""The command line in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def call(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "selfcodealign", *words]
    whole = {**os.environ, "COLUMNS": "200", **(env or {})}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=whole, check=False)
