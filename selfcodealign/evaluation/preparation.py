"""What is settled before anything is asked or judged: the lines of the table, their answers, and how models are asked.

Everything that a person has to fix is found here, in one line each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.benchmarks import Benchmark, Mode, Problem
from selfcodealign.benchmarks.problem_files import ProblemFile, load_rows
from selfcodealign.errors import BenchmarkError
from selfcodealign.evaluation.asking import Asking, ChatFormat, open_chat_format, plain_chat
from selfcodealign.evaluation.samples import Sample, SampleFile, read_samples
from selfcodealign.evaluation.seams import count_seams, note_seams
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.models import Model
from selfcodealign.models.opening import check_model, open_model
from selfcodealign.models.room import find_room, find_tokenizer
from selfcodealign.progress import Progress
from selfcodealign.settings import EvaluateSettings, ModelSettings

_CONTINUED: tuple[Mode, Mode] = ("completion", "completion-unstripped")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One line of the table: a model and its mode, or files of its answers.

    Give exactly one of `settings` (a model to open), `model` (not entered yet) and `samples` (benchmark name → file or
    folder of answers). `chat` overrides the chat format of the model's tokenizer.
    """

    label: str
    mode: Mode = "chat"
    settings: ModelSettings | None = None
    model: Model | None = None
    samples: Mapping[str, str | Path] = field(default_factory=dict)
    chat: ChatFormat | None = None

    @property
    def folder(self) -> str:
        """The name of its folder in the output."""
        return re.sub(r"[^\w.+-]+", "-", self.label).strip("-") or "model"


@dataclass(frozen=True)
class Loaded:
    """A benchmark with its problems: `every` one, and those that are asked."""

    benchmark: Benchmark[Any]
    file: ProblemFile
    every: list[Problem]
    problems: list[Problem]


def load_benchmark(benchmark: Benchmark[Any], files: Mapping[str, Path], limit: int | None) -> Loaded:
    """Read a benchmark's problems from its file in `files`, or from their published place."""
    name = benchmark.name
    path = files.get(name) or files.get(name.removesuffix("+")) or files.get("")
    file = load_rows(name, benchmark.source, path)
    every = benchmark.problems(file.rows)
    return Loaded(benchmark, file, every, every[:limit])


def check_candidates(candidates: Sequence[Candidate], settings: EvaluateSettings) -> None:
    """Refuse two models of one name, fewer answers than a score needs, and the same answer several times."""
    names = [candidate.folder for candidate in candidates]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise BenchmarkError(f'two models are called "{twice}": give each a different name')
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


def read_given(candidate: Candidate, sets: Sequence[Loaded], settings: EvaluateSettings) -> dict[str, list[Sample]]:
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


def prepare(
    candidate: Candidate,
    sets: Sequence[Loaded],
    out: Path,
    settings: EvaluateSettings,
    progress: Progress,
    notes: list[str],
) -> Asking:
    """Return how a candidate's model is asked; the model is checked, but not entered.

    Raises `BenchmarkError` where no prompt of a benchmark fits into the model's context, as far as that is known, and
    where OUT holds answers to other prompts or settings.
    """
    chat = candidate.chat or plain_chat
    name, revision = "", None
    if candidate.model is not None:
        model = candidate.model
    elif candidate.settings is not None:
        if candidate.settings.api == "chat" and candidate.mode != "few-shot":
            raise BenchmarkError(
                f'{candidate.label}: with model.api = "chat" a model is asked by few-shot, not by {candidate.mode}: '
                'give that mode, or set model.api = "completions"'
            )
        check_model(candidate.settings, progress)
        model, name, revision = open_model(candidate.settings), candidate.settings.name, candidate.settings.revision
    else:
        raise BenchmarkError(f"{candidate.label}: neither a model nor answers to judge")
    if candidate.mode == "chat" and candidate.chat is None:
        with progress.waiting(f"{candidate.label}: looking for its chat template"):
            chat, which = open_chat_format(name, revision)
        notes.append(f"{candidate.label} is asked in the {which}.")
    few_shot = load_few_shot(settings.few_shot) if candidate.mode == "few-shot" else None
    asking = Asking(model=model, mode=candidate.mode, chat=chat, few_shot=few_shot, settings=settings)
    for one in sets:
        if candidate.settings is not None:
            _check_room(candidate.label, candidate.settings, asking, one)
            notes += _find_seams(candidate.label, candidate.settings, asking, one)
        folder = out / candidate.folder / one.benchmark.name
        SampleFile.check(folder / "samples.jsonl", asking.choices(one.benchmark, one.problems))
    return asking


def _check_room(label: str, settings: ModelSettings, asking: Asking, one: Loaded) -> None:
    """Refuse a benchmark of which no prompt fits. Where some do, the answers say which do not."""
    room = find_room(settings)
    tokens = [room.measure(asking.lay_out(one.benchmark, problem).text) for problem in one.problems] if room else []
    if room is None or any(map(room.holds, tokens)):
        return
    reason = f"the shortest has {min(tokens)} tokens, its context {room.context}"
    raise BenchmarkError(refuse_prompts(one.benchmark.name, asking.mode, label, reason))


def refuse_prompts(benchmark: str, mode: Mode, label: str, reason: str) -> str:
    """What to say where no prompt fits into a model."""
    shorter = ", a few-shot file with shorter examples (--few-shot)" if mode == "few-shot" else ""
    return (
        f"no prompt of {benchmark} fits into {label}, asked by {mode} ({reason}): give another --mode{shorter} or "
        "another benchmark"
    )


def _find_seams(label: str, settings: ModelSettings, asking: Asking, one: Loaded) -> list[str]:
    """Whether the other way to continue the prompts suits the model's tokenizer better, for the reader of the table."""
    tokenizer = find_tokenizer(settings) if asking.mode in _CONTINUED and one.benchmark.begins_program else None
    if tokenizer is None:
        return []

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    counts = {
        mode: count_seams(encode, [(p, asking.lay_out(one.benchmark, p, mode)) for p in one.problems], mode)
        for mode in _CONTINUED
    }
    return note_seams(label, one.benchmark.name, asking.mode, counts)
