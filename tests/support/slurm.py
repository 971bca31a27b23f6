"""Stand-ins for sbatch and srun: jobs are processes of this machine, run when they are submitted.

Arguments are read as the manual of Slurm 24 describes them, as far as the script in examples/slurm uses them.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from tests.support.places import ROOT

#: Run as `sbatch`; SLURM_JOBS is a folder with a file for each job that ended well.
_SBATCH = """
import os, subprocess, sys
from pathlib import Path
jobs = Path(os.environ["SLURM_JOBS"])
options, words = {}, sys.argv[1:]
while words and words[0].startswith("--"):
    name, _, value = words.pop(0).partition("=")
    options[name] = value
known = {"--parsable", "--export", "--array", "--dependency", "--kill-on-invalid-dep", "--cpus-per-task"}
assert set(options) <= known, options
number = len(list(jobs.glob("*.begun"))) + 1
(jobs / f"{number}.begun").write_text(" ".join(sys.argv[1:]))
print(number)
needed = options.get("--dependency", "").removeprefix("afterok:")
if needed and not (jobs / f"{needed}.ended").exists():
    sys.exit(0)
every, *given = options["--export"].split(",")
assert every == "ALL"
environment = os.environ | dict(one.split("=", 1) for one in given)
first, last = map(int, options.get("--array", "0-0").split("-"))
tasks = []
for task in range(first, last + 1):
    own = environment | ({"SLURM_ARRAY_TASK_ID": str(task)} if "--array" in options else {})
    with open(jobs / f"{number}-{task}.log", "w") as log:
        tasks.append(subprocess.Popen(["bash", *words], env=own, stdout=log, stderr=log))
if not any([task.wait() for task in tasks]):
    (jobs / f"{number}.ended").touch()
"""


class Slurm:
    """A cluster in `folder`: what the submitted jobs printed is in its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        self._program("sbatch", f"#!{sys.executable}\n{_SBATCH}")
        self._program("srun", '#!/bin/bash\nexec "$@"\n')
        self._program("selfcodealign", f'#!/bin/bash\nexec {sys.executable} -m selfcodealign "$@"\n')

    def submit(self, script: Path, *words: str, **variables: str) -> str:
        """Call a script as on a login node; return what it printed once all jobs are through."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "SLURM_JOBS": str(self.folder)}
        done = subprocess.run(
            ["bash", str(script), *words], env=os.environ | own | variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def logs(self) -> dict[str, str]:
        """What each task of each job printed, by "JOB-TASK"."""
        return {path.stem: path.read_text() for path in sorted(self.folder.glob("*.log"))}

    def ended(self) -> list[int]:
        """The jobs that ended well."""
        return sorted(int(path.stem) for path in self.folder.glob("*.ended"))

    def _program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
