"""Decontamination: find rows that contain the text of a benchmark problem, white space and case aside.

The rule is the paper's substring match. It finds copies, not rewordings, and only of the named benchmarks; the data-set
card says so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from selfcodealign.benchmarks.texts import MIN_WORDS, BenchmarkTexts, load_benchmark_texts

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Needle:
    """A text to search for, without white space and in lower case, and its problem."""

    squeezed: str
    benchmark: str
    task: str


class Decontaminator:
    """Finds the texts of benchmarks in rows.

    A text matches if its characters, without white space and in any case, occur in the row from the start of a word.
    Texts are indexed by their first `MIN_WORDS` words, so that a row is read once for all benchmarks.
    """

    def __init__(self, benchmarks: Sequence[BenchmarkTexts]) -> None:
        self._benchmarks = benchmarks
        self._index: dict[str, list[_Needle]] = defaultdict(list)
        for benchmark in benchmarks:
            for task, texts in benchmark.tasks:
                for text in texts:
                    words = _WORD.findall(text.lower())
                    if len(words) >= MIN_WORDS:
                        self._index[" ".join(words[:MIN_WORDS])].append(_Needle(_squeeze(text), benchmark.name, task))
        self._first_words = frozenset(run.partition(" ")[0] for run in self._index)

    @classmethod
    def load(cls, sources: Iterable[str]) -> Decontaminator:
        """Load benchmarks from files and `hub:NAME`s; see `load_benchmark_texts`."""
        return cls([load_benchmark_texts(source) for source in dict.fromkeys(sources)])

    def find(self, text: str) -> tuple[str, str] | None:
        """Return (benchmark, problem) of the first benchmark text in `text`, or None."""
        words = _WORD.findall(text.lower())
        squeezed = ""
        for start in range(len(words) - MIN_WORDS + 1):
            if words[start] not in self._first_words:
                continue
            needles = self._index.get(" ".join(words[start : start + MIN_WORDS]))
            if needles:
                squeezed = squeezed or _squeeze(text)
                for needle in needles:
                    if needle.squeezed in squeezed:
                        return needle.benchmark, needle.task
        return None

    def describe(self) -> list[dict[str, str | int]]:
        """Describe the benchmarks: name, version (SHA-256 of the file, or hub revision), problems, texts."""
        return [
            {
                "name": benchmark.name,
                "version": benchmark.version,
                "tasks": len(benchmark.tasks),
                "texts": sum(len(texts) for _, texts in benchmark.tasks),
            }
            for benchmark in self._benchmarks
        ]


def _squeeze(text: str) -> str:
    return "".join(text.lower().split())
