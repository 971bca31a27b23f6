"""Compare verdicts and time with `evalplus.evaluate` on recorded answers to HumanEval+ and MBPP+, in one run.

    python bench/evaluation.py --data DIR --evalplus PATH/TO/evalplus.evaluate   # both tools, alternating
    python bench/evaluation.py --data DIR --evalplus PATH --warm                 # the caches of both are filled before
    python bench/evaluation.py --data DIR --references [NAME ...]                # references pass, mutants fail

DIR holds the published files under the paths in `SETS` and `REFERENCES`: problems in folders by benchmark, and in
`recorded` the answers as JSON Lines with EvalPlus's result files. Each run is a new process, with an empty cache folder
or (--warm) with one that a run before, not timed, has filled: both tools keep expected values there. This package
judges both sets in one call in the sandbox; EvalPlus takes one set per call, with its default number of workers (half
the cores) unless --parallel is given. Install `evalplus` in a separate environment.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.benchmarks.problem_files import load_rows
from selfcodealign.evaluation.grading import Judging, judge_all
from selfcodealign.settings import ExecutionSettings

SETS = {
    "humaneval": ("humanevalplus/HumanEvalPlus-v0.1.9.jsonl.gz", "evalplus-Llama-3.2-3B-Instruct-humaneval"),
    "mbpp": ("mbppplus/MbppPlus-v0.1.0.jsonl.gz", "evalplus-Llama-3.2-3B-Instruct-mbpp"),
}
REFERENCES = {
    "humaneval+": ["humanevalplus/HumanEvalPlus-v0.1.9.jsonl.gz", "humanevalplus/HumanEvalPlus-v0.1.10.jsonl.gz"],
    "mbpp+": ["mbppplus/MbppPlus-v0.1.0.jsonl.gz", "mbppplus/MbppPlus-v0.2.0.jsonl.gz"],
    "humaneval": ["humaneval/HumanEval.jsonl.gz"],
    "mbpp": ["mbpp/mbpp.jsonl", "mbpp/sanitized-mbpp.json"],
    "classeval": ["classeval/ClassEval_data.json.gz"],
    "canitedit": ["canitedit/CanItEdit.jsonl"],
    "bigcodebench": ["bigcodebench/BigCodeBench.jsonl.gz"],
    "cruxeval-i": ["cruxeval/cruxeval.jsonl"],
    "cruxeval-o": ["cruxeval/cruxeval.jsonl"],
} | {
    f"evoeval-{name.replace('_', '-')}": [f"evoeval/EvoEval_{name}.jsonl.gz"]
    for name in ("difficult", "creative", "subtle", "combine", "tool_use", "verbose", "concise")
}

Verdicts = dict[str, tuple[bool, bool]]


def time_command(command: list[str], environment: dict[str, str]) -> float:
    """Run a command and return its wall-clock seconds. Exits if the command fails."""
    started = time.perf_counter()
    code = subprocess.call(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}")
    return time.perf_counter() - started


def read_verdicts(path: Path) -> Verdicts:
    """Read (passed base, passed plus) by task from a file in EvalPlus's format."""
    tasks = json.loads(path.read_text("utf-8"))["eval"]
    return {
        task: (found[0]["base_status"] == "pass", found[0]["plus_status"] == "pass") for task, found in tasks.items()
    }


def run_ours(data: Path, folder: Path) -> tuple[float, dict[str, Verdicts]]:
    """Return seconds and verdicts of one call of this package on both sets; `folder` has its cache."""
    shutil.rmtree(folder / "scores", ignore_errors=True)
    command = [sys.executable, "-m", "selfcodealign", "evaluate", "--out", str(folder / "scores")]
    for name, (problems, samples) in SETS.items():
        command += ["-b", f"{name}+", "--problems", f"{name}={data / problems}"]
        command += ["--samples", f"{name}={data / 'recorded' / samples}.jsonl"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    seconds = time_command(command, environment)
    found = {name: read_verdicts(folder / "scores" / "answers" / f"{name}+" / "eval_results.json") for name in SETS}
    return seconds, found


def run_theirs(name: str, tool: Path, data: Path, folder: Path, parallel: int | None) -> tuple[float, Verdicts]:
    """Return seconds and verdicts of one call of `evalplus.evaluate`; `folder` has its cache."""
    problems, samples = SETS[name]
    local = folder / "problems.jsonl"
    local.write_bytes(gzip.decompress((data / problems).read_bytes()))
    (folder / "answers_eval_results.json").unlink(missing_ok=True)
    answers = Path(shutil.copy(data / "recorded" / f"{samples}.jsonl", folder / "answers.jsonl"))
    command = [str(tool), "--dataset", name, "--samples", str(answers)]
    command += ["--parallel", str(parallel)] if parallel else []
    environment = os.environ | {
        f"{name.upper()}_OVERRIDE_PATH": str(local),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HOME": str(folder),
    }
    seconds = time_command(command, environment)
    return seconds, read_verdicts(folder / "answers_eval_results.json")


def report_verdicts(name: str, ours: Verdicts, theirs: Verdicts, whose: str) -> None:
    """Print both scores, and every task on which the verdicts differ."""
    rates = [
        f"{100 * sum(base for base, _ in found.values()) / len(found):.1f} / "
        f"+ {100 * sum(base and plus for base, plus in found.values()) / len(found):.1f}"
        for found in (ours, theirs)
    ]
    print(f"{name}: ours {rates[0]}, {whose} {rates[1]}")
    for task, verdict in ours.items():
        if verdict != theirs[task]:
            print(f"  {task}: ours {verdict}, {whose} {theirs[task]} (base, plus)")


def compare_tools(tool: Path, data: Path, rounds: int, parallel: int | None, warm: bool) -> None:
    """Alternate both tools on both sets; print the medians of the rounds."""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in SETS}
    with tempfile.TemporaryDirectory() as place:
        for turn in range(rounds + warm):
            for name in SETS:
                one, two = (Path(place) / (who if warm else f"{who}-{turn}-{name}") for who in ("ours", name))
                for folder in (one, two):
                    folder.mkdir(exist_ok=True)
                seconds, found = run_ours(data, one)
                official_seconds, official = run_theirs(name, tool, data, two, parallel)
                filling = warm and turn == 0
                shown = f"ours, both sets: {seconds:.1f} s; evalplus, {name}: {official_seconds:.1f} s"
                print(f"{'filling the caches: ' if filling else ''}{shown}", flush=True)
                if filling:
                    continue
                ours.append(seconds)
                theirs[name].append(official_seconds)
                report_verdicts(name, found[name], official, "evalplus")
                recorded = read_verdicts(data / "recorded" / f"{SETS[name][1]}_eval_results.json")
                report_verdicts(name, found[name], recorded, "recorded")
    total, middle = sum(map(statistics.median, theirs.values())), statistics.median(ours)
    print(f"evalplus {total:.1f} s for both sets, ours {middle:.1f} s: {total / middle:.1f} times as fast")


async def check_references(data: Path, names: list[str]) -> None:
    """Run every reference, and a mutant of it, in the sandbox."""
    async with Judging(ExecutionSettings()) as judging:
        for name in names:
            benchmark = find_benchmark(name)
            for path in REFERENCES[name]:
                problems = benchmark.problems(load_rows(name, benchmark.source, data / path).rows)
                work: list[tuple[Any, Any, list[str]]] = [
                    (benchmark, problem, [code := benchmark.join(problem, problem.reference), mutate(code)])
                    for problem in problems
                ]
                started = time.perf_counter()
                outcomes = await judge_all(judging, work)
                seconds = time.perf_counter() - started
                unjudged = [
                    f"{w[1].task_id} ({o.detail})"
                    for w, (o, _) in zip(work, outcomes, strict=True)
                    if o.status == "not_judged"
                ]
                failed = [
                    f"{w[1].task_id} ({o.status}: {o.detail})"
                    for w, (o, _) in zip(work, outcomes, strict=True)
                    if o.status not in ("passed", "not_judged")
                ]
                passed = [w[1].task_id for w, (_, o) in zip(work, outcomes, strict=True) if o.status == "passed"]
                print(f"{path}: {len(work)} references, {len(unjudged)} not judged here, {seconds:.0f} s", flush=True)
                print("".join(f"  not judged: {one}\n" for one in unjudged), end="")
                print(
                    f"  references that fail: {failed or 'none'}; mutants that pass: {passed or 'none'}",
                    flush=True,
                )


def mutate(code: str) -> str:
    """Make a mutant with the same names in which no function or method works."""
    import ast

    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [ast.parse("raise ArithmeticError('mutant')").body[0]]
    if not any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(tree)):
        tree.body = []
    return ast.unparse(tree)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evalplus", type=Path, help="path of the command evalplus.evaluate")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--warm", action="store_true", help="fill the caches of both tools first")
    parser.add_argument("--parallel", type=int, help="workers of evalplus")
    parser.add_argument("--data", type=Path, required=True, help="folder of published problems and recorded answers")
    parser.add_argument(
        "--references",
        nargs="*",
        choices=[*REFERENCES],
        help="run references and mutants of them instead, of these only",
    )
    options = parser.parse_args()
    if options.evalplus:
        files = [(problems, f"recorded/{samples}.jsonl") for problems, samples in SETS.values()]
        files += [(f"recorded/{samples}_eval_results.json",) for _, samples in SETS.values()]
    elif options.references is not None:
        files = [REFERENCES[name] for name in options.references or REFERENCES]
    else:
        parser.error("give --evalplus or --references")
    missing = [path for paths in files for path in paths if not (options.data / path).exists()]
    if missing:
        sys.exit(f"--data {options.data} lacks {', '.join(missing)}")
    if options.evalplus:
        compare_tools(options.evalplus, options.data, options.rounds, options.parallel, options.warm)
    else:
        asyncio.run(check_references(options.data, options.references or [*REFERENCES]))


if __name__ == "__main__":
    main()
