"""The rules of decontamination together: one look at a row for all benchmarks."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from selfcodealign.benchmarks.texts import BenchmarkTexts, TaskTexts, load_benchmark_texts, parse_code
from selfcodealign.curation.contamination.phrases import CODE_NGRAM, TEXT_NGRAM, Phrases
from selfcodealign.curation.contamination.syntax import (
    LEAST_PARTS,
    Function,
    Shape,
    find_functions,
    fingerprint,
    is_distinctive,
    shape_of,
    signature_of,
)
from selfcodealign.curation.contamination.words import split_code, split_words
from selfcodealign.fences import extract_python
from selfcodealign.parsing import Parser

#: The rules, in the order in which they are tried.
RULES = ("text", "syntax tree", "code", "signature", "near text", "near code")
#: Fewest bits of a text, and of code, that is evidence when a row holds it in one piece.
TEXT_BITS, CODE_BITS = 50, 90
#: Characters of each of the two texts that are kept as evidence.
SHOWN = 160


@dataclass(frozen=True, slots=True)
class Hit:
    """A task that a row holds: which rule found it, and the two texts, cut to `SHOWN` characters."""

    rule: str
    benchmark: str
    task: str
    theirs: str
    ours: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.benchmark} {self.task}; benchmark: {self.theirs!r}; row: {self.ours!r}"

    @classmethod
    def read(cls, text: str, benchmarks: Iterable[str] = ()) -> Hit | None:
        """Read a hit as it was written; None for any other text.

        The longest of these `benchmarks` with which the place begins is its benchmark, else what stands before the last
        space: tasks have none.

        >>> Hit.read("text: mbpp Mbpp/3; benchmark: 'add two'; row: 'Add two.'").task
        'Mbpp/3'
        """
        found = _WRITTEN.fullmatch(text)
        if found is None:
            return None
        try:
            theirs, ours = (ast.literal_eval(found[name]) for name in ("theirs", "ours"))
        except (ValueError, SyntaxError):
            return None
        place = found["place"]
        known = max((name for name in benchmarks if place.startswith(f"{name} ")), key=len, default=None)
        benchmark, _, task = (known, "", place[len(known) + 1 :]) if known else place.rpartition(" ")
        return cls(found["rule"], benchmark, task, theirs, ours)


#: A text as `repr` writes it: within its quotes a quote of that kind stands behind a backslash.
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
#: A hit as `str` writes it. Both texts may hold anything, what stands between them included.
_WRITTEN = re.compile(
    rf"(?P<rule>[a-z ]+(?: \d+%)?): (?P<place>.+?); benchmark: (?P<theirs>{_QUOTED}); row: (?P<ours>{_QUOTED})",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Place:
    benchmark: str
    task: str
    text: str


class Decontaminator:
    """Knows the tasks of benchmarks, and finds them in rows."""

    def __init__(self, benchmarks: Sequence[BenchmarkTexts]) -> None:
        self.benchmarks = benchmarks
        self._places: list[_Place] = []
        self._texts, self._codes = Phrases(TEXT_NGRAM, TEXT_BITS), Phrases(CODE_NGRAM, CODE_BITS)
        self._trees: dict[Shape, dict[bytes, int]] = defaultdict(dict)
        self._signatures: dict[tuple[str, ...], int] = {}
        #: By benchmark: the tasks without a text, and without a function, that is evidence.
        self.generic: dict[str, dict[str, list[str]]] = {}
        for benchmark in benchmarks:
            self._add(benchmark)

    @classmethod
    def load(cls, sources: Iterable[str]) -> Decontaminator:
        """Load benchmarks from files and `hub:NAME`s; see `load_benchmark_texts`."""
        return cls([load_benchmark_texts(source) for source in dict.fromkeys(sources)])

    def find(self, text: str) -> Hit | None:
        """The first benchmark task that is found in `text`, or None."""
        words = split_words(text)
        if needle := self._texts.find_whole(words):
            return self._hit("text", needle.place, text)
        functions = _read_functions(text)
        if hit := self._find_tree(functions):
            return hit
        tokens = split_code(text)
        if needle := self._codes.find_whole(tokens):
            return self._hit("code", needle.place, text)
        for function in functions:
            place = self._signatures.get(signature_of(function))
            if place is not None:
                return self._hit("signature", place, ast.unparse(function))
        if near := self._texts.find_near(words):
            return self._hit(f"near text {near[1]:.0%}", near[0].place, text)
        if near := self._codes.find_near(tokens):
            return self._hit(f"near code {near[1]:.0%}", near[0].place, text)
        return None

    def describe(self) -> list[dict[str, Any]]:
        """Describe the benchmarks: name, version (SHA-256 of the file, or hub revision), tasks, and of how many
        no text, and no function, is evidence."""
        return [
            {
                "name": one.name,
                "version": one.version,
                "tasks": len(one.tasks),
                "text is generic": len(self.generic[one.name]["text"]),
                "tree is generic": len(self.generic[one.name]["tree"]),
            }
            for one in self.benchmarks
        ]

    def _find_tree(self, functions: Iterable[Function]) -> Hit | None:
        for function in functions:
            known = self._trees.get(shape_of(function))
            if known and (found := fingerprint(function)) and found.digest in known:
                return self._hit("syntax tree", known[found.digest], ast.unparse(function))
        return None

    def _hit(self, rule: str, place: int, ours: str) -> Hit:
        found = self._places[place]
        return Hit(rule, found.benchmark, found.task, _shorten(found.text), _shorten(ours))

    def _add(self, benchmark: BenchmarkTexts) -> None:
        prose = [[[split_words(form) for form in forms] for forms in task.prose] for task in benchmark.tasks]
        codes = [[split_code(code) for code in task.code] for task in benchmark.tasks]
        common_text = self._texts.find_common([form for forms in texts for form in forms] for texts in prose)
        common_code = self._codes.find_common(codes)
        trees = [_read_trees(task) for task in benchmark.tasks]
        names = Counter(name for found in trees for name in {function.name for function in found[0] + found[1]})
        generic: dict[str, list[str]] = {"text": [], "tree": []}
        for task, texts, tokens, (solved, given) in zip(benchmark.tasks, prose, codes, trees, strict=True):
            told = False
            for forms, split in zip(task.prose, texts, strict=True):
                # A description up to its examples, or with them where it tells too little otherwise.
                for form, words in zip(forms, split, strict=True):
                    if self._texts.add(self._place(benchmark, task, form), words, common_text):
                        told = True
                        break
            for code, one in zip(task.code, tokens, strict=True):
                self._codes.add(self._place(benchmark, task, code), one, common_code)
            grown = [self._add_tree(benchmark, task, function) for function in solved]
            for function in (*solved, *given):
                signature = signature_of(function)
                if names[function.name] <= 1 and is_distinctive(signature):
                    text = f"def {function.name}({', '.join(signature[1:])})"
                    self._signatures.setdefault(signature, self._place(benchmark, task, text))
            if not told:
                generic["text"].append(task.task)
            if not any(grown):
                generic["tree"].append(task.task)
        self.generic[benchmark.name] = generic

    def _add_tree(self, benchmark: BenchmarkTexts, task: TaskTexts, function: Function) -> bool:
        found = fingerprint(function)
        if found is None or found.parts < LEAST_PARTS:
            return False
        text = next(code for code in task.code if f"def {function.name}" in code)
        self._trees[shape_of(function)].setdefault(found.digest, self._place(benchmark, task, text))
        return True

    def _place(self, benchmark: BenchmarkTexts, task: TaskTexts, text: str) -> int:
        self._places.append(_Place(benchmark.name, task.task, text[: 4 * SHOWN]))
        return len(self._places) - 1


def _read_trees(task: TaskTexts) -> tuple[list[Function], list[Function]]:
    """The functions of a task's solutions, and those of its stubs."""
    solved = [function for code in task.code if (tree := parse_code(code)) for function in find_functions(tree)]
    given = [function for stub in task.stubs if (tree := parse_code(stub)) for function in find_functions(tree)]
    return solved, given


def _read_functions(text: str) -> list[Function]:
    """The functions of a row that is code, or of the code in a row that is text with code."""
    if "def " not in text:
        return []
    tree = Parser(sessions=False).parse(text) or Parser(sessions=False).parse(extract_python(text))
    return list(find_functions(tree)) if tree else []


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."
