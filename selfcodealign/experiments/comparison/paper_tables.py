"""Tables 8 to 11 of SelfCodeAlign's paper (arXiv 2410.24198): HumanEval+ pass@1, greedy, of single runs, in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfcodealign.evaluation.pass_at_k import wilson

TASKS = 164


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """A model of the paper; `values` are those of the key that was varied which mean it."""

    name: str
    values: Sequence[str]
    score: float
    facts: str = ""
    student: str = ""
    generator: str = ""

    @property
    def solved(self) -> int:
        """Tasks solved: the printed percentage, undone."""
        return round(self.score * TASKS / 100)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of this single run over tasks, in percent."""
        low, high = wilson(self.solved / TASKS, TASKS)
        return 100 * low, 100 * high


def _row(name: str, score: float, facts: str = "", *values: str) -> PublishedRow:
    return PublishedRow(name=name, values=values, score=score, facts=facts)


ANSWERS = (
    _row("only passing answers", 65.2, "15.6K rows, 100 % pass", "passed"),
    _row("random answer, random subset", 61.6, "15.6K rows, 24.2 % pass", "random"),
    _row("random answer, all instructions", 61.6, "27.7K rows, 24.1 % pass"),
    _row("only failing answers", 57.9, "15.6K rows, none passes", "failed"),
)
CONCEPTS = (
    _row("filtered functions, with concepts", 65.2, "", "paper"),
    _row("random snippets, with concepts", 64.0, "", "random-snippets"),
    _row("filtered functions, straight from the seed", 59.8, "", "s2i"),
)
SOURCES = (
    _row("SelfCodeAlign", 67.1, "74K rows by itself, run and passed", "paper"),
    _row("direct distillation", 65.9, "74K rows by GPT-4o, not run", "distill"),
    _row("OSS-Instruct", 61.6, "74K rows by GPT-3.5, not run", "oss-instruct"),
    _row("Evol-Instruct", 59.1, "74K rows by GPT-3.5, not run", "evol-instruct"),
)
MODELS = ("StarCoder2-3B", "Llama-3-8B", "StarCoder2-15B", "DeepSeek-Coder-33B", "CodeQwen1.5-7B")
#: Student (base model's score): scores by generator, in the order of `MODELS`.
GRID: Mapping[str, tuple[float, Sequence[float | None]]] = {
    "StarCoder2-3B": (27.4, (35.4, 34.1, 39.0, 42.1, 40.2)),
    "Llama-3-8B": (29.3, (None, 42.7, 40.2, 41.5, 43.3)),
    "StarCoder2-15B": (37.8, (None, None, 55.5, 53.0, 57.3)),
    "DeepSeek-Coder-33B": (44.5, (None, None, None, 65.9, 62.2)),
    "CodeQwen1.5-7B": (45.7, (48.8, 54.9, 56.1, 59.1, 65.2)),
}
PAIRS = tuple(
    PublishedRow(
        name=f"{student} tuned on {'its own data' if student == generator else f'data by {generator}'}",
        values=(),
        score=score,
        facts=f"base {base}",
        student=student,
        generator=generator,
    )
    for student, (base, scores) in GRID.items()
    for generator, score in zip(MODELS, scores, strict=True)
    if score is not None
)
