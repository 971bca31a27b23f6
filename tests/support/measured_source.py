"""Read a source in a process for itself, which prints what became of it as JSON (`measure` starts it)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from selfcodealign.errors import UserError
from selfcodealign.rows import Dropped
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import iterate_source_files
from selfcodealign.stages.seeds import take_seeds
from tests.support.places import ROOT


def measure(source: object, **settings: Any) -> dict[str, Any]:
    """Outcomes by reason ("seed" for a seed), the `UserError` that ended it, and the peak memory in MiB.

    A crash, a traceback or two minutes without an end fail.
    """
    given = json.dumps({"sources": [str(source)], "licences": ["any"], **settings})
    command = [sys.executable, "-m", "tests.support.measured_source", given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def main() -> None:
    settings = SeedSettings(**json.loads(sys.argv[1]))
    found: Counter[str] = Counter()
    error = None
    try:
        for file in iterate_source_files(settings):
            for row in take_seeds(file, settings):
                found[getattr(row, "reason", "seed")] += 1
                fields = row.row if isinstance(row, Dropped) else row.fields()
                json.dumps(fields, ensure_ascii=False).encode("utf-8")  # what a table can store
    except UserError as caught:
        error = str(caught)
    # Not ru_maxrss, which begins with the memory of the process that started this one.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024  # type: ignore[index]
    print(json.dumps({"found": found, "error": error, "peak": peak, "written": sorted(map(str, Path().glob("evil*")))}))


if __name__ == "__main__":
    main()
