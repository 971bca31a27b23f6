"""Evaluates models on benchmarks: ask, judge, score, compare.

    problems ─┬─ ask the model (or read its answers from a file) ─ judge in the sandbox ─┬─ scores with intervals
              └───────────────── the same tasks for every model ─────────────────────────┴─ paired comparisons

A failing answer is data; when the benchmark or the machine cannot judge, the answer is reported as not judged and never
counted as failed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.benchmarks import Benchmark, Mode, Problem
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.benchmarks.problem_files import ProblemFile, load_rows
from selfcodealign.errors import BenchmarkError, RunFolderError
from selfcodealign.evaluation.asking import Asking, ChatFormat, open_chat_format, plain_chat, sample_answers
from selfcodealign.evaluation.grading import Judging, judge_all
from selfcodealign.evaluation.results import Judged, write_evalplus, write_results
from selfcodealign.evaluation.samples import Sample, SampleFile, read_samples
from selfcodealign.evaluation.scoring import Evaluation, compare_all, score_answers
from selfcodealign.files import make_folder, write_json, write_text
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.models import Model
from selfcodealign.models.opening import check_model, open_model
from selfcodealign.progress import Progress
from selfcodealign.settings import EvaluateSettings, ExecutionSettings, ModelSettings


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One line of the table: a model and its mode, or files of its answers.

    Give exactly one of `settings` (a model to open), `model` (not entered yet) and `samples` (benchmark name → file of
    answers). `chat` overrides the chat format of the model's tokenizer.
    """

    label: str
    mode: Mode = "chat"
    settings: ModelSettings | None = None
    model: Model | None = None
    samples: Mapping[str, str | Path] = field(default_factory=dict)
    chat: ChatFormat | None = None


@dataclass(frozen=True)
class _Set:
    """A benchmark with its problems loaded."""

    benchmark: Benchmark[Any]
    file: ProblemFile
    every: list[Problem]
    problems: list[Problem]


async def evaluate(
    candidates: Sequence[Candidate],
    benchmarks: Sequence[str],
    out: str | Path,
    settings: EvaluateSettings,
    execution: ExecutionSettings,
    problems: Mapping[str, str | Path] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate every candidate on every benchmark, into the folder `out`.

    Writes OUT/LABEL/BENCHMARK/{samples.jsonl, results.jsonl, results.parquet, eval_results.json} and
    OUT/{scores.json, scores.md, scores.html}. A second call resumes: existing answers are not
    sampled again. Raises `BenchmarkError`, `ModelError`, `SandboxError` or, where `out` cannot be written,
    `RunFolderError` for problems that the user must fix.
    """
    progress, out = progress or Progress(), Path(out)
    _check_labels(candidates)
    _check_counts(candidates, settings)
    files = {name: Path(path) for name, path in {**settings.problems, **(problems or {})}.items()}
    found = [find_benchmark(name) for name in _without_parts(benchmarks)]
    for candidate in candidates:
        make_folder(out / _folder_name(candidate.label), error=RunFolderError)
    with progress.waiting("loading the benchmarks"):
        sets = [_load(benchmark, files, settings.limit) for benchmark in found]
    given = {one.label: _read_given(one, sets, settings) for one in candidates if one.samples}
    judged: dict[tuple[str, str], list[Judged]] = {}
    notes: list[str] = []
    async with Judging(execution) as judging:
        for candidate in candidates:
            folder = out / _folder_name(candidate.label)
            answers = given.get(candidate.label) or await _ask(candidate, sets, folder, settings, progress, notes)
            found = await _judge(candidate.label, sets, answers, judging, progress)
            for one, rows in zip(sets, found, strict=True):
                name = one.benchmark.name
                judged[candidate.label, name] = rows
                write_results(folder / name, rows)
                write_evalplus(folder / name / "eval_results.json", rows, one.file.md5)
    scores = [
        score
        for candidate in candidates
        for one in sets
        for score in score_answers(
            candidate.label,
            "file" if candidate.samples else candidate.mode,
            one.benchmark,
            one.file,
            judged[candidate.label, one.benchmark.name],
            settings.k,
            notes,
        )
    ]
    if any(score.no_code for score in scores):
        notes.append(f"To read answers without code: selfcodealign show {out} --reason no_code --sample 3")
    evaluation = Evaluation(scores=scores, comparisons=compare_all(scores), notes=notes)
    _write(out, evaluation)
    return evaluation


def _check_labels(candidates: Sequence[Candidate]) -> None:
    names = [_folder_name(candidate.label) for candidate in candidates]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise BenchmarkError(f'two models are called "{twice}": give each a different name')


def _check_counts(candidates: Sequence[Candidate], settings: EvaluateSettings) -> None:
    """Refuse to ask a model for fewer answers than its scores need, or for the same answer several times."""
    largest, asked = max(settings.k), settings.samples
    label = next((one.label for one in candidates if not one.samples), None)
    if label is None:
        return
    if asked < largest:
        raise BenchmarkError(
            f"pass@{largest} needs {largest} answers per task; {label} is asked for {asked}: "
            f"give --n {largest}, or a lower --k"
        )
    if asked > 1 and settings.temperature == 0:
        raise BenchmarkError("greedy answers are all equal: give a --temperature with --n above 1")


def models_left_out(out: Path, evaluation: Evaluation) -> list[str]:
    """The folders of models that earlier calls judged in `out` and that `evaluation` does not hold."""
    shown = {_folder_name(score.label) for score in evaluation.scores}
    return sorted({file.parent.parent.name for file in out.glob("*/*/results.jsonl")} - shown)


def _without_parts(names: Sequence[str]) -> list[str]:
    """Remove benchmarks whose score another one includes: `humaneval` beside `humaneval+`."""
    unique = list(dict.fromkeys(names))
    return [name for name in unique if f"{name}+" not in unique]


def _folder_name(label: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", label).strip("-") or "model"


def _load(benchmark: Benchmark[Any], files: Mapping[str, Path], limit: int | None) -> _Set:
    name = benchmark.name
    path = files.get(name) or files.get(name.removesuffix("+")) or files.get("")
    file = load_rows(name, benchmark.source, path)
    every = benchmark.problems(file.rows)
    return _Set(benchmark, file, every, every[:limit])


async def _ask(
    candidate: Candidate,
    sets: Sequence[_Set],
    folder: Path,
    settings: EvaluateSettings,
    progress: Progress,
    notes: list[str],
) -> dict[str, list[Sample]]:
    """Return the answers of the candidate's model by benchmark."""
    if candidate.model is not None:
        model, name, revision = candidate.model, "", None
    elif candidate.settings is not None:
        check_model(candidate.settings, progress)
        model, name, revision = open_model(candidate.settings), candidate.settings.name, candidate.settings.revision
    else:
        raise BenchmarkError(f"{candidate.label}: neither a model nor answers to judge")
    few_shot = load_few_shot(settings.few_shot) if candidate.mode == "few-shot" else None
    found = {}
    chat = candidate.chat or plain_chat
    async with AsyncExitStack() as opened:
        remote = candidate.model is None and candidate.settings is not None and candidate.settings.urls
        with progress.waiting(f"{candidate.label}: {'asking the servers' if remote else 'loading'}"):
            if candidate.mode == "chat" and candidate.chat is None:
                chat, which = open_chat_format(name, revision)
                notes.append(f"{candidate.label} is asked in the {which}.")
            await opened.enter_async_context(model)
        asking = Asking(model=model, mode=candidate.mode, chat=chat, few_shot=few_shot, settings=settings)
        for one in sets:
            path = folder / one.benchmark.name / "samples.jsonl"
            file = SampleFile(path, asking.header(one.benchmark, one.problems))
            task = f"{candidate.label}: {one.benchmark.name}, asking"
            answers = await sample_answers(asking, one.benchmark, one.problems, file, progress, task)
            found[one.benchmark.name] = answers
            notes += _note_unanswered(candidate.label, one.benchmark.name, answers)
    return found


def _note_unanswered(label: str, benchmark: str, answers: Sequence[Sample]) -> list[str]:
    """A sentence for the reader if a model did not answer some problems; such answers count as failed."""
    missing = [one for one in answers if one.detail]
    if not missing:
        return []
    reasons = Counter(one.finish_reason for one in missing)
    shown = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return [
        f"{label} gave no answer to {len(missing)} of {len(answers)} requests of {benchmark} ({shown}; first message: "
        f"{missing[0].detail}); they count as failed."
    ]


def _read_given(candidate: Candidate, sets: Sequence[_Set], settings: EvaluateSettings) -> dict[str, list[Sample]]:
    """Read the candidate's answers by benchmark. Raises `BenchmarkError` if a task has too few for a score."""
    found = {}
    for one in sets:
        name = one.benchmark.name
        path = candidate.samples.get(name) or candidate.samples.get(name.removesuffix("+")) or candidate.samples.get("")
        if path is None:
            raise BenchmarkError(f"{candidate.label} has no answers to {name}: give --samples {name}=FILE")
        found[name] = read_samples(Path(path), one.benchmark, one.every, len(one.problems))
        task, fewest = min(Counter(sample.task_id for sample in found[name]).items(), key=lambda item: item[1])
        if fewest < max(settings.k):
            raise BenchmarkError(
                f"pass@{max(settings.k)} needs {max(settings.k)} answers per task; {path} has {fewest} to {task} of "
                f"{name}: give a lower --k"
            )
    return found


async def _judge(
    label: str,
    sets: Sequence[_Set],
    answers: Mapping[str, Sequence[Sample]],
    judging: Judging,
    progress: Progress,
) -> list[list[Judged]]:
    """Return the outcomes by set. All tasks share one queue, so that no core waits for the last task of a set."""
    tasks: list[tuple[int, Problem, list[Sample]]] = []
    for number, one in enumerate(sets):
        by_task: dict[str, list[Sample]] = defaultdict(list)
        for sample in answers[one.benchmark.name]:
            by_task[sample.task_id].append(sample)
        tasks += [(number, problem, by_task[problem.task_id]) for problem in one.problems]
    work = [(sets[number].benchmark, problem, [s.solution for s in samples]) for number, problem, samples in tasks]
    name, total = f"{label}: judging", sum(map(len, answers.values()))
    progress.start(name, total, "answers")
    outcomes = await judge_all(judging, work, lambda number, answers: progress.advance(name, answers))
    progress.finish(name, f"{total} answers")
    judged: list[list[Judged]] = [[] for _ in sets]
    for (number, problem, samples), found in zip(tasks, outcomes, strict=True):
        judged[number] += [(problem, sample, outcome) for sample, outcome in zip(samples, found, strict=True)]
    return judged


def _write(out: Path, evaluation: Evaluation) -> None:
    from selfcodealign.evaluation.table import html_page, markdown_page

    write_json(
        out / "scores.json",
        {
            "scores": [asdict(score) for score in evaluation.scores],
            "comparisons": [asdict(one) | {"sentence": one.sentence()} for one in evaluation.comparisons],
            "notes": evaluation.notes,
        },
        error=RunFolderError,
    )
    write_text(out / "scores.md", markdown_page(evaluation), error=RunFolderError)
    write_text(out / "scores.html", html_page(evaluation), error=RunFolderError)
