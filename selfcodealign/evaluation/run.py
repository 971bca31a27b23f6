"""Evaluates models on benchmarks: ask, judge, score, compare.

    problems ─┬─ ask the model (or read its answers from a file) ─ judge in the sandbox ─┬─ scores with intervals
              └───────────────── the same tasks for every model ─────────────────────────┴─ paired comparisons

A failing answer is data; when the benchmark or the machine cannot judge, the answer is reported as not judged and never
counted as failed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from selfcodealign.benchmarks import Problem
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.errors import BenchmarkError, RunFolderError
from selfcodealign.evaluation.asking import Asking, sample_answers
from selfcodealign.evaluation.grading import Judging, judge_all
from selfcodealign.evaluation.preparation import (
    Candidate,
    Loaded,
    check_candidates,
    load_benchmark,
    prepare,
    read_given,
    refuse_prompts,
)
from selfcodealign.evaluation.results import Judged, write_evalplus, write_results
from selfcodealign.evaluation.samples import Sample, SampleFile
from selfcodealign.evaluation.scoring import Evaluation, Score, compare_all, score_answers
from selfcodealign.files import make_folder, write_json, write_text
from selfcodealign.models import PromptTooLong
from selfcodealign.progress import Progress
from selfcodealign.settings import EvaluateSettings, ExecutionSettings


async def evaluate(
    candidates: Sequence[Candidate],
    benchmarks: Sequence[str],
    out: str | Path,
    settings: EvaluateSettings,
    execution: ExecutionSettings,
    problems: Mapping[str, str | Path] | None = None,
    progress: Progress | None = None,
    earlier: Sequence[Path] = (),
) -> Evaluation:
    """Evaluate every candidate on every benchmark, into the folder `out`.

    Writes OUT/LABEL/BENCHMARK/{samples.jsonl, results.jsonl, results.parquet, eval_results.json} and
    OUT/{scores.json, scores.md, scores.html}. A second call resumes: existing answers are not
    sampled again. Answers of the same model to the same prompts are copied from `earlier` folders like `out`, where one
    has them. Raises `BenchmarkError`, `ModelError`, `SandboxError` or, where `out` cannot be written,
    `RunFolderError` for problems that the user must fix.
    """
    progress, out = progress or Progress(), Path(out)
    check_candidates(candidates, settings)
    files = {name: Path(path) for name, path in {**settings.problems, **(problems or {})}.items()}
    wanted = [find_benchmark(name) for name in _without_parts(benchmarks)]
    with progress.waiting("loading the benchmarks"):
        sets = [load_benchmark(benchmark, files, settings.limit) for benchmark in wanted]
    notes: list[str] = []
    given = {one.label: read_given(one, sets, settings) for one in candidates if one.samples}
    askings = {
        one.label: prepare(one, sets, out, settings, progress, notes) for one in candidates if one.label not in given
    }
    for candidate in candidates:
        make_folder(out / candidate.folder, error=RunFolderError)
    judged: dict[tuple[str, str], list[Judged]] = {}
    async with Judging(execution) as judging:
        for candidate in candidates:
            folder, label = out / candidate.folder, candidate.label
            if label in given:
                answers = given[label]
            else:
                before = [one / candidate.folder for one in earlier]
                answers = await _ask(candidate, askings[label], sets, folder, before, progress, notes)
            found = await _judge(candidate.label, sets, answers, judging, progress)
            for one, rows in zip(sets, found, strict=True):
                name = one.benchmark.name
                judged[candidate.label, name] = rows
                write_results(folder / name, rows)
                write_evalplus(folder / name / "eval_results.json", rows, one.file.md5)
    scores = _score(candidates, sets, judged, settings, notes)
    if any(score.no_code for score in scores):
        notes.append(f"To read answers without code: selfcodealign show {out} --reason no_code --sample 3")
    evaluation = Evaluation(scores=scores, comparisons=compare_all(scores), notes=notes)
    write_evaluation(out, evaluation)
    return evaluation


def _score(
    candidates: Sequence[Candidate],
    sets: Sequence[Loaded],
    judged: Mapping[tuple[str, str], list[Judged]],
    settings: EvaluateSettings,
    notes: list[str],
) -> list[Score]:
    """Return all cells of the table; add notes for the reader to `notes`."""
    scores = []
    for candidate in candidates:
        asked_by = "file" if candidate.samples else candidate.mode
        for one in sets:
            rows = judged[candidate.label, one.benchmark.name]
            scores += score_answers(candidate.label, asked_by, one.benchmark, one.file, rows, settings.k, notes)
    return scores


def models_left_out(out: Path, evaluation: Evaluation) -> list[str]:
    """The folders of models that earlier calls judged in `out` and that `evaluation` does not hold."""
    shown = {Candidate(label=score.label).folder for score in evaluation.scores}
    return sorted({file.parent.parent.name for file in out.glob("*/*/results.jsonl")} - shown)


def _without_parts(names: Sequence[str]) -> list[str]:
    """Remove benchmarks whose score another one includes: `humaneval` beside `humaneval+`."""
    unique = list(dict.fromkeys(names))
    return [name for name in unique if f"{name}+" not in unique]


async def _ask(
    candidate: Candidate,
    asking: Asking,
    sets: Sequence[Loaded],
    folder: Path,
    earlier: Sequence[Path],
    progress: Progress,
    notes: list[str],
) -> dict[str, list[Sample]]:
    """Return the answers of the candidate's model by benchmark."""
    found = {}
    async with AsyncExitStack() as opened:
        remote = candidate.settings is not None and candidate.settings.urls
        with progress.waiting(f"{candidate.label}: {'asking the servers' if remote else 'loading'}"):
            await opened.enter_async_context(asking.model)
        for one in sets:
            name = one.benchmark.name
            file = SampleFile(folder / name / "samples.jsonl", asking.header(one.benchmark, one.problems))
            file.take_over(before / name / "samples.jsonl" for before in earlier)
            task = f"{candidate.label}: {name}, asking"
            answers = await sample_answers(asking, one.benchmark, one.problems, file, progress, task)
            if all(answer.finish_reason == PromptTooLong.reason for answer in answers):
                file.path.unlink()  # nothing in it is an answer, and it would refuse the next attempt's prompts
                raise BenchmarkError(refuse_prompts(name, asking.mode, candidate.label, answers[0].detail))
            found[name] = answers
            notes += _note_unanswered(candidate.label, name, answers)
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


async def _judge(
    label: str,
    sets: Sequence[Loaded],
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


def write_evaluation(out: Path, evaluation: Evaluation) -> None:
    """Write OUT/scores.json, scores.md and scores.html. Raises `RunFolderError`."""
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
