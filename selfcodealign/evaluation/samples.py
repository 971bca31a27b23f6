"""Answers on disk: reads JSON Lines of other tools, appends sampled answers to a file.

One row per answer with `task_id` and one of

- `solution`: a whole program, used unchanged;
- `completion`: continues the benchmark's prompt, as in HumanEval's and EvalPlus's files; the prompt is prepended;
- `text` (or `response`, `raw`, `output`, `generation`): a model's output, from which the code is extracted.

Several rows with one `task_id` are several answers.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from selfcodealign.benchmarks import Benchmark, Problem
from selfcodealign.errors import BenchmarkError, RunFolderError
from selfcodealign.fences import read_answer
from selfcodealign.files import json_line, make_folder, parse_json_line, parse_json_lines, read_json_lines, read_text

RAW_FIELDS = ("text", "response", "raw", "raw_text", "output", "generation")
ANSWER_FIELDS = ("solution", "completion", *RAW_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer: `text` is the model's output ("" where only code is known), `solution` the whole program.

    `no_code`: no Python code was found in the output.
    `detail` is the model's message if it could not answer; `finish_reason` is then the reason.
    """

    task_id: str
    sample: int
    text: str
    solution: str
    finish_reason: str = ""
    no_code: bool = False
    detail: str = ""


def read_samples(path: Path, benchmark: Benchmark[Any], problems: Sequence[Problem], wanted: int) -> list[Sample]:
    """Read the answers to the first `wanted` of `problems`: a file, a folder of such files, or one of programs.

    Programs are in TASK/NUMBER.py, as EvalPlus writes them, or TASK.py; "/" in a task's id is "_" there. Rows of
    unknown tasks and wanted tasks without an answer are refused: a mean over part of a benchmark is not its score.
    Raises `BenchmarkError` with file, line and fix.
    """
    known = {problem.task_id: problem for problem in problems}
    counts: dict[str, int] = defaultdict(int)
    samples = []
    for place, row in _read_rows(path, known):
        problem = known.get(_task_id(row, known))
        if problem is None:
            if "task_id" not in row:
                raise BenchmarkError(f"{place}: the row has no task_id")
            raise BenchmarkError(
                f"{place}: {row['task_id']!r} is no task of {benchmark.name}; is it another benchmark's?"
            )
        samples.append(_read_answer(place, row, benchmark, problem, counts[problem.task_id]))
        counts[problem.task_id] += 1
    selected = {problem.task_id for problem in problems[:wanted]}
    missing = [problem.task_id for problem in problems[:wanted] if problem.task_id not in counts]
    if missing:
        shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise BenchmarkError(
            f"{path} has no answer to {len(missing)} of {wanted} tasks of {benchmark.name} ({shown}); "
            f"evaluate a part with --limit, or give the problem file's version that the answers were made for"
        )
    return [sample for sample in samples if sample.task_id in selected]


def _read_rows(path: Path, known: Mapping[str, Problem]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file or folder, each with its place for messages."""
    files = sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")]) if path.is_dir() else [path]
    if path / "samples.jsonl" in files:  # a folder of an evaluation, whose results.jsonl has the same answers
        files = [path / "samples.jsonl"]
    for file in files:
        for line, row in read_json_lines(file, error=BenchmarkError):
            if "evaluation" not in row or "task_id" in row:  # else the header of a file of ours
                yield f"{file}:{line}", row
    if files:
        return
    tasks = {task_id.replace("/", "_"): task_id for task_id in known}
    programs = sorted([*path.glob("*.py"), *path.glob("*/*.py")], key=_program_order)
    for program in programs:
        name = program.stem if program.parent == path else program.parent.name
        yield str(program), {"task_id": tasks.get(name, name), "solution": read_text(program, error=BenchmarkError)}
    if not programs:
        raise BenchmarkError(f"{path} holds no answers: it should have .jsonl files, or programs as TASK/NUMBER.py")


def _program_order(path: Path) -> tuple[str, int, str]:
    """10.py comes after 9.py."""
    return path.parent.name, int(path.stem) if path.stem.isdecimal() else -1, path.stem


def _task_id(row: dict[str, Any], known: dict[str, Problem]) -> str:
    task_id = str(row.get("task_id", ""))
    # Some tools omit the set's name from MBPP's task ids.
    return task_id if task_id in known else next((name for name in (f"Mbpp/{task_id}",) if name in known), task_id)


def _read_answer(place: str, row: dict[str, Any], benchmark: Benchmark[Any], problem: Problem, number: int) -> Sample:
    for name in ANSWER_FIELDS:
        if name in row and not isinstance(row[name], str):
            raise BenchmarkError(f"{place}: {name!r} must be text; write one row per answer")
    task_id = problem.task_id
    if "solution" in row:
        code = row["solution"]
        return Sample(task_id=task_id, sample=number, text="", solution=code, no_code=not code.strip())
    if "completion" in row:
        return continued(problem, number, row["completion"], problem.prompt + row["completion"])
    for name in RAW_FIELDS:
        if name in row:
            return answered(benchmark, problem, number, row[name])
    raise BenchmarkError(f"{place}: no answer; a row needs one of {', '.join(ANSWER_FIELDS)}")


def answered(benchmark: Benchmark[Any], problem: Problem, number: int, text: str, finish_reason: str = "") -> Sample:
    """Return the sample of a text that answers a task."""
    whole = continued(problem, number, text, benchmark.solution(problem, text), finish_reason)
    return replace(whole, no_code=not read_answer(text, problem.entry_point).code)


def continued(problem: Problem, number: int, text: str, solution: str, finish_reason: str = "") -> Sample:
    """Return the sample of a text that continues a benchmark's prompt: all of it is code."""
    return Sample(
        task_id=problem.task_id,
        sample=number,
        text=text,
        solution=solution,
        finish_reason=finish_reason,
        no_code=not text.strip(),
    )


class SampleFile:
    """The answers of one model to one benchmark: an append-only file, so that an interrupted run can resume.

    `header` names everything that decides the answers (model, prompt, sampling). It is the file's first row; a file
    with another header is refused (`BenchmarkError`).
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.header = {"evaluation": header}
        self.done: dict[tuple[str, int], Sample] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        data = self.path.read_bytes()
        # A partial last row (the process died while writing) is cut off and sampled again.
        whole, _, torn = data.rpartition(b"\n")
        rows = [row for _, row in parse_json_lines(whole.split(b"\n"), self.path, error=BenchmarkError)]
        if torn:
            os.truncate(self.path, len(whole) + bool(whole))
        if rows:
            _compare(self.path, rows[0], self.header["evaluation"])
        for row in rows[1:]:
            sample = Sample(**row)
            self.done[sample.task_id, sample.sample] = sample

    def take_over(self, earlier: Iterable[Path]) -> None:
        """Begin a new file with the answers of the first of these files that has just this header, if one has.

        Servers do not tell which weights they hold, so that a header without a revision names none for certain.
        """
        if self.path.exists() or self.header["evaluation"]["revision"] is None:
            return
        known = next((path for path in earlier if path.is_file() and _read_header(path) == self.header), None)
        if known is not None:
            make_folder(self.path.parent, error=RunFolderError)
            shutil.copyfile(known, self.path)
            self._read()

    @staticmethod
    def check(path: Path, choices: Mapping[str, Any]) -> None:
        """Refuse a file that was begun with other `choices`, a part of its header; one that is not there is fine."""
        if path.is_file() and (row := _read_header(path)) is not None:
            _compare(path, row, choices)

    def append(self, samples: Sequence[Sample]) -> None:
        """Append answers to the file."""
        new = not self.path.exists() or self.path.stat().st_size == 0
        make_folder(self.path.parent, error=RunFolderError)
        rows: list[dict[str, Any]] = [self.header] if new else []
        rows += [asdict(sample) for sample in samples]
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(map(json_line, rows)))
        self.done |= {(sample.task_id, sample.sample): sample for sample in samples}


def _read_header(path: Path) -> dict[str, Any] | None:
    """The first row; None for a partial one (the process died while writing), which is cut off with the file's end."""
    with path.open("rb") as file:
        line = file.readline()
    return parse_json_line(line, path, 1, error=BenchmarkError) if line.endswith(b"\n") else None


def _compare(path: Path, first: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the first row of a file with what its header should say."""
    before = first.get("evaluation")
    if not isinstance(before, dict):
        changed = ["its first row is no header"]
    else:
        # Prompts are a digest, which tells a reader nothing.
        changed = [
            "other prompts" if name == "prompts" else f"{name} was {before.get(name)!r}, is {now[name]!r}"
            for name in now
            if before.get(name) != now[name]
        ]
    if changed:
        raise BenchmarkError(
            f"{path} was begun with other settings or another model ({', '.join(changed)}): "
            "give another --out or delete it"
        )
