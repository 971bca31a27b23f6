"""A real pretrained model through the whole journey, stage by stage: rows, time and memory of each; then its scores.

    python bench/real_model.py --model FOLDER --humaneval FILE --mbpp FILE --out FOLDER [--seeds 160] [--url URL]

`--model` is a checkpoint's folder (or a GGUF file, with --no-tuning), the files are the benchmarks' published problem
files. The recipe is `real_model.toml` beside this file; docs/real-model.md says what came out for SmolLM2-135M. The
same command resumes. With `--url`, an OpenAI-compatible server writes the rows; the checkpoint is tuned and scored
here. The table goes to stdout, what the commands print to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).with_suffix(".toml")
JOURNEY = ("seeds", "near_dedup", "concepts", "instructions", "distinct", "responses", "selection", "dataset")


def run(arguments: list[str]) -> tuple[float, float]:
    """Run `selfcodealign` with these arguments; return its seconds and the GiB of its largest process.

    Exits if the command fails, unless the data set came out empty: that is a result.
    """
    begun = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "selfcodealign", *arguments], stdout=sys.stderr)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = code = os.waitstatus_to_exitcode(status)
    if code not in (0, 3):
        raise SystemExit(code)
    return time.monotonic() - begun, usage.ru_maxrss / 2**20


def read_stage(folder: Path, stage: str) -> dict[str, Any]:
    found = folder / stage / "stage.json"
    return json.loads(found.read_text()) if found.is_file() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--humaneval", required=True)
    parser.add_argument("--mbpp", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=160)
    parser.add_argument("--url", help="a server that holds the model and writes the rows")
    parser.add_argument("--no-tuning", action="store_true", help="stop after the data set")
    options = parser.parse_args()
    folder = options.out / "run"
    problems = f'evaluate.problems={{humaneval="{options.humaneval}", mbpp="{options.mbpp}"}}'
    command = ["run", str(RECIPE), "-o", str(folder), "--limit", str(options.seeds), "--set", problems]
    asked = ["-m", options.model] + (["--url", options.url] if options.url else [])
    print("| stage | seconds | peak GiB | rows |\n| --- | --- | --- | --- |", flush=True)
    for stage in JOURNEY:
        seconds, memory = run([*command, *asked, "--until", stage, "--quiet"])
        told = read_stage(folder, stage)
        print(f"| {stage} | {seconds:.0f} | {memory:.1f} | {json.dumps(told.get('books', told))} |", flush=True)
        if stage == "dataset" and (
            options.no_tuning or not read_stage(folder, "selection").get("books", {}).get("kept")
        ):
            return
    for name in ("train", "evaluate"):
        seconds, memory = run([*command, "-m", options.model, "--until", name, "--quiet"])
        print(f"| {name} | {seconds:.0f} | {memory:.1f} | |", flush=True)
    print((folder / "evaluate" / "scores.md").read_text())


if __name__ == "__main__":
    main()
