"""The texts of a benchmark that must not occur in training data: its task descriptions and its code.

A task has descriptions in prose, each of which alone is evidence of a copy where it tells enough:

- from a field with a description, the text up to its examples, the whole text, and each paragraph long enough to be
  recognised that no other task shares;
- from a field with code to complete, the same of each docstring, or of the whole field where it has none;

and code: reference solutions, as whole programs where prompt and solution together are one, and the stubs of prompts.
The fields are those of HumanEval(+), MBPP(+), EvoEval, ClassEval, CanItEdit, LiveCodeBench, BigCodeBench, CRUXEval,
DS-1000, EvalPerf and APPS.
"""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfcodealign.benchmarks.calls import find_calls
from selfcodealign.benchmarks.problem_files import Row, Source, load_rows
from selfcodealign.errors import BenchmarkError, did_you_mean
from selfcodealign.sources.hub import stream_hub
from selfcodealign.sources.trees import list_names

#: Fewest words of a paragraph that identifies its task.
MIN_PARAGRAPH_WORDS = 20

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
_SOLUTION_FIELDS = ("canonical_solution", "code", "solution", "solution_code", "reference_code", "reference", "after")
#: Code that is given with a task and is no solution of it.
_GIVEN_FIELDS = ("before",)
_ID_FIELDS = ("task_id", "question_id", "problem_id", "full_name", "id", "name")

_WORD = re.compile(r"\w+")
_DOCSTRING = re.compile(r'("""|\'\'\')(.*?)\1', re.DOTALL)
_EXAMPLES = re.compile(r">>>|(\bfor\s+)?\bexamples?\s*\d*\s*:|^\s*assert\b|^\s*:(param|return)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class TaskTexts:
    """The descriptions of a task, the most telling form of each first; its solutions and stubs; `entry_point` is the
    function that is asked for, if the row names it; `calls` are (arguments, result) of its tests, as source text."""

    task: str
    prose: Sequence[Sequence[str]] = ()
    code: Sequence[str] = ()
    stubs: Sequence[str] = ()
    entry_point: str = ""
    calls: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class BenchmarkTexts:
    """A benchmark's name, the version that was read, and the texts of each task."""

    name: str
    version: str
    tasks: Sequence[TaskTexts]


def load_benchmark_texts(source: str) -> BenchmarkTexts:
    """Read a benchmark from a .jsonl, .json (both also .gz) or .parquet file, or from `hub:NAME` (all splits).

    Raises `BenchmarkError` when the file cannot be read or has none of the known fields, `SourceError` when a hub data
    set cannot be opened.
    """
    if source.startswith("hub:"):
        hub = stream_hub(source.removeprefix("hub:"), None)
        return collect_texts(hub.origin, f"revision {hub.revision or 'local'}", list(hub.rows))
    path = Path(source).expanduser()
    return read_texts(path.name.partition(".json")[0].removesuffix(".parquet"), path)


def read_texts(name: str, path: Path) -> BenchmarkTexts:
    """Read the texts of benchmark `name` from a problem file. Raises `BenchmarkError`."""
    if not path.is_file():
        neighbours = did_you_mean(path.name, list_names(path.parent))
        raise BenchmarkError(f"benchmark file {path} does not exist{neighbours}")
    rows = load_rows(path.name, Source(), path).rows
    return collect_texts(name, f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}", rows)


def collect_texts(name: str, version: str, rows: Sequence[Row]) -> BenchmarkTexts:
    """The texts of rows in a known format. Raises `BenchmarkError` for others."""
    known = {*_ASKING_FIELDS, *_PROMPT_FIELDS, *_SOLUTION_FIELDS}
    if not any(known.intersection(row) for row in rows):
        found = ", ".join(sorted(rows[0])[:12]) if rows else "no rows"
        wanted = ", ".join((*_PROMPT_FIELDS, *_ASKING_FIELDS[:3], *_SOLUTION_FIELDS[:2]))
        raise BenchmarkError(f"{name} has no field with a task's text (such as {wanted}); it has {found}")
    paragraphs = Counter(paragraph for row in rows for paragraph in {p for t in _asking(row) for p in _paragraphs(t)})
    tasks: dict[str, TaskTexts] = {}
    for number, row in enumerate(rows):
        prose = [_forms(text) for text in _asking(row)]
        prose += [(p,) for text in _asking(row) for p in _paragraphs(text) if paragraphs[p] == 1]
        prompts = _strings(row, _PROMPT_FIELDS)
        solutions = [_complete(prompts, text) for text in _strings(row, _SOLUTION_FIELDS)]
        stubs = [text for text in prompts if parse_code(text)]
        stubs += [p for text in prompts if (p := text.rstrip() + "\n    pass\n") not in stubs and parse_code(p)]
        task = _task_id(row, number)
        known_as = tasks.get(task, TaskTexts(task))  # one task in several splits or files
        tasks[task] = TaskTexts(
            task,
            tuple(dict.fromkeys([*known_as.prose, *(forms for forms in prose if forms)])),
            tuple(dict.fromkeys([*known_as.code, *solutions, *_strings(row, _GIVEN_FIELDS)])),
            tuple(dict.fromkeys([*known_as.stubs, *stubs])),
            known_as.entry_point or str(row.get("entry_point") or ""),
            known_as.calls or find_calls(row),
        )
    return BenchmarkTexts(name, version, list(tasks.values()))


def parse_code(code: str) -> ast.Module | None:
    """The tree of a benchmark's code; None where it is no whole program of this Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _complete(prompts: Sequence[str], solution: str) -> str:
    """The solution as a whole program: by itself, below its prompt, or the statements of a body."""
    below = [f"{prompt}{between}{solution}" for prompt in prompts for between in ("", "\n")]
    forms = [*([solution] if solution[:1] not in (" ", "\t", "\n") else []), *below, textwrap.dedent(solution).strip()]
    return next((form for form in forms if "def " in form and parse_code(form)), solution.strip("\n"))


def _task_id(row: Row, number: int) -> str:
    return next((str(row[field]) for field in _ID_FIELDS if row.get(field) is not None), str(number))


def _asking(row: Row) -> list[str]:
    """Return the descriptions in prose of a row, docstrings included."""
    plain = [_without_quotes(text) for text in _strings(row, _ASKING_FIELDS)]
    quoted = [asked for text in _strings(row, _PROMPT_FIELDS) for asked in _docstrings(text) or [text]]
    return plain + quoted


def _docstrings(text: str) -> list[str]:
    return [match[2] for match in _DOCSTRING.finditer(text)]


def _forms(text: str) -> tuple[str, ...]:
    """The text up to its examples, and the whole text."""
    forms = (_EXAMPLES.split(text, maxsplit=1)[0].strip(), text.strip())
    return tuple(dict.fromkeys(form for form in forms if form))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        if count_words(paragraph) >= MIN_PARAGRAPH_WORDS:
            yield paragraph.strip()


def _strings(row: dict[str, Any], fields: Iterable[str]) -> list[str]:
    found: list[str] = []
    for field in fields:
        value = row.get(field)
        found += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]
    return found


def _without_quotes(text: str) -> str:
    return text.strip().strip("\"'")


def count_words(text: str) -> int:
    """Count the words (`\\w+`) of a text."""
    return sum(1 for _ in _WORD.finditer(text))
