"""The texts of a benchmark that must not occur in training data: its task descriptions and reference solutions.

A task has several texts, each of which alone is evidence of a copy:

- from a field with a description in prose, the whole text, and each paragraph long enough to be recognised;
- from a field with code to complete, each docstring up to its examples (including them where it is too short
  otherwise), or the whole field where no docstring is long enough;
- the reference solution.

Texts too short to be evidence are left out (`return x + y` solves a HumanEval task), and so are paragraphs that several
tasks share (the wording around the task). The fields are those of HumanEval(+), MBPP(+), EvoEval,
ClassEval, CanItEdit, LiveCodeBench, BigCodeBench, CRUXEval, DS-1000 and APPS.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfcodealign.benchmarks.problem_files import Source, load_rows
from selfcodealign.errors import BenchmarkError, did_you_mean
from selfcodealign.sources.hub import stream_hub
from selfcodealign.sources.trees import list_names

#: Fewest words of a description: "Write a function to swap two numbers." (MBPP 203) is the shortest.
MIN_WORDS = 7
#: Fewest words of a paragraph that identifies its task.
MIN_PARAGRAPH_WORDS = 20
#: Fewest words, and characters other than white space, of a solution.
MIN_CODE_WORDS = 10
MIN_CODE_CHARACTERS = 60

_ASKING_FIELDS = (
    "text",
    "content",
    "question",
    "question_content",
    "problem",
    "problem_statement",
    "description",
    "instruction",
    "instruction_descriptive",
    "instruction_lazy",
    "instruct_prompt",
    "docstring",
    "class_description",
)
_PROMPT_FIELDS = ("prompt", "complete_prompt", "skeleton", "code_prompt")
_SOLUTION_FIELDS = ("canonical_solution", "code", "solution", "solution_code", "reference_code", "after")
_ID_FIELDS = ("task_id", "question_id", "problem_id", "full_name", "id", "name")

_WORD = re.compile(r"\w+")
_DOCSTRING = re.compile(r'("""|\'\'\')(.*?)\1', re.DOTALL)
_EXAMPLES = re.compile(r">>>|(\bfor\s+)?\bexamples?\s*\d*\s*:|^\s*assert\b|^\s*:(param|return)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class BenchmarkTexts:
    """A benchmark's name, the version that was read, and (task id, texts) for each task."""

    name: str
    version: str
    tasks: list[tuple[str, list[str]]]


def load_benchmark_texts(source: str) -> BenchmarkTexts:
    """Read a benchmark from a .jsonl, .json (both also .gz) or .parquet file, or from `hub:NAME` (all splits).

    Raises `BenchmarkError` when the file cannot be read or has none of the known fields, `SourceError` when a hub data
    set cannot be opened.
    """
    if source.startswith("hub:"):
        hub = stream_hub(source.removeprefix("hub:"), None)
        return _collect(hub.origin, f"revision {hub.revision or 'local'}", list(hub.rows))
    path = Path(source).expanduser()
    if not path.is_file():
        neighbours = did_you_mean(path.name, list_names(path.parent))
        raise BenchmarkError(f"benchmark file {path} does not exist{neighbours}")
    rows = load_rows(path.name, Source(), path).rows
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _collect(path.name.partition(".json")[0].removesuffix(".parquet"), f"sha256 {digest}", rows)


def _collect(name: str, version: str, rows: list[dict[str, Any]]) -> BenchmarkTexts:
    known = {*_ASKING_FIELDS, *_PROMPT_FIELDS, *_SOLUTION_FIELDS}
    if not any(known.intersection(row) for row in rows):
        found = ", ".join(sorted(rows[0])[:12]) if rows else "no rows"
        wanted = ", ".join((*_PROMPT_FIELDS, *_ASKING_FIELDS[:3], *_SOLUTION_FIELDS[:2]))
        raise BenchmarkError(f"{name} has no field with a task's text (such as {wanted}); it has {found}")
    paragraphs = Counter(
        paragraph for row in rows for paragraph in {p for text in _asking(row) for p in _paragraphs(text)}
    )
    tasks = []
    for number, row in enumerate(rows):
        texts = [*_asked_texts(row), *_solutions(row)]
        texts += [p for text in _asking(row) for p in _paragraphs(text) if paragraphs[p] == 1]
        tasks.append((_task_id(row, number), list(dict.fromkeys(texts))))
    return BenchmarkTexts(name, version, tasks)


def _task_id(row: dict[str, Any], number: int) -> str:
    return next((str(row[field]) for field in _ID_FIELDS if row.get(field) is not None), str(number))


def _asking(row: dict[str, Any]) -> list[str]:
    """Return the descriptions in prose of a row, docstrings included."""
    plain = [_without_quotes(text) for text in _strings(row, _ASKING_FIELDS)]
    quoted = [asked for text in _strings(row, _PROMPT_FIELDS) for asked in _docstrings(text) or [text]]
    return plain + quoted


def _docstrings(text: str) -> list[str]:
    return [match[2] for match in _DOCSTRING.finditer(text)]


def _asked_texts(row: dict[str, Any]) -> Iterator[str]:
    for text in _strings(row, _ASKING_FIELDS):
        yield from _long_enough(_without_quotes(text))
    for text in _strings(row, _PROMPT_FIELDS):
        docstrings = [found for docstring in _docstrings(text) for found in _long_enough(docstring)]
        yield from docstrings or _long_enough(text)


def _long_enough(text: str) -> list[str]:
    """Return the text up to its examples, or with them where that is too short; nothing where both are too short."""
    for candidate in (_EXAMPLES.split(text, maxsplit=1)[0], text):
        if count_words(candidate) >= MIN_WORDS:
            return [candidate.strip()]
    return []


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        if count_words(paragraph) >= MIN_PARAGRAPH_WORDS:
            yield paragraph.strip()


def _solutions(row: dict[str, Any]) -> Iterator[str]:
    for text in _strings(row, _SOLUTION_FIELDS):
        if count_words(text) >= MIN_CODE_WORDS and len("".join(text.split())) >= MIN_CODE_CHARACTERS:
            yield text.strip()


def _strings(row: dict[str, Any], fields: Iterable[str]) -> list[str]:
    return [row[field] for field in fields if isinstance(row.get(field), str)]


def _without_quotes(text: str) -> str:
    return text.strip().strip("\"'")


def count_words(text: str) -> int:
    """Count the words (`\\w+`) of a text."""
    return sum(1 for _ in _WORD.finditer(text))
