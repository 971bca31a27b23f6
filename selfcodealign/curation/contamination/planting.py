"""The recall of decontamination, measured on the very benchmarks: each task is planted in several forms and looked for.

Code is planted without its description, so that the text cannot give it away; the description is planted without code.
"""

from __future__ import annotations

import ast
import builtins
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.benchmarks.texts import BenchmarkTexts, TaskTexts, parse_code
from selfcodealign.curation.contamination.decontaminator import Decontaminator
from selfcodealign.curation.contamination.syntax import find_functions

#: Tasks of a benchmark that are planted for the card of a data set.
MOST_PLANTED = 200
FORMS = ("verbatim", "reformatted", "other comments", "renamed", "chat")
_BUILTINS = frozenset(dir(builtins))


@dataclass
class Recall:
    """By form: how many tasks were planted, found, and missed by name; tasks too generic are counted apart."""

    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    missed: dict[str, list[str]] = field(default_factory=dict)
    generic: dict[str, list[str]] = field(default_factory=dict)


def measure_all(decontaminator: Decontaminator, most: int | None = MOST_PLANTED) -> list[dict[str, Any]]:
    """Describe the benchmarks of a decontaminator, with what was found of `most` tasks in each form ("12 of 12")."""
    described = decontaminator.describe()
    for one, benchmark in zip(described, decontaminator.benchmarks, strict=True):
        recall = measure_recall(decontaminator, benchmark, most)
        one |= {
            form: f"{recall.found[form]} of {recall.planted[form]}" if recall.planted[form] else "-" for form in FORMS
        }
    return described


def measure_recall(decontaminator: Decontaminator, benchmark: BenchmarkTexts, most: int | None = None) -> Recall:
    """Plant the tasks of a benchmark in every form, `most` of them at even distances."""
    recall = Recall()
    generic = decontaminator.generic[benchmark.name]
    step = max(1, -(-len(benchmark.tasks) // most)) if most else 1
    for task in benchmark.tasks[::step]:
        for form, text in plant(task):
            if task.task in generic["text" if form == "chat" else "tree"]:
                recall.generic.setdefault(form, []).append(task.task)
                continue
            recall.planted[form] += 1
            if decontaminator.find(text):
                recall.found[form] += 1
            else:
                recall.missed.setdefault(form, []).append(task.task)
    return recall


def plant(task: TaskTexts) -> Iterator[tuple[str, str]]:
    """Rows that hold a task: its first solution with functions in four forms, its description in a chat."""
    for code in task.code:
        tree = parse_code(code)
        if tree is not None and any(True for _ in find_functions(tree)):
            yield "verbatim", code
            bare = _without_docstrings(tree)
            yield "reformatted", textwrap.indent(ast.unparse(bare), "").replace("    ", "\t")
            yield "other comments", _comment(ast.unparse(bare))
            yield "renamed", ast.unparse(ast.fix_missing_locations(_Renamer(bare).visit(bare)))
            break
    if task.prose:
        wrapped = "\n> ".join(textwrap.wrap(task.prose[0][-1], 60))
        yield "chat", f"I need help with an exercise, in Python please.\n\n> {wrapped}\n\nAnswer with the code only."


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = [one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
            node.body = body or [ast.Pass()]
    return tree


def _comment(code: str) -> str:
    """The code with a docstring of its own in each function, and a comment above every third line."""
    lines = []
    for number, line in enumerate(code.splitlines()):
        margin = line[: len(line) - len(line.lstrip())]
        if number % 3 == 1 and code.count('"""') == 0:
            lines.append(f"{margin}# step {number} of the work")
        lines.append(line)
        if line.lstrip().startswith("def ") and line.endswith(":"):
            lines.append(f'{margin}    """Carry out what the caller has asked for, and give it back."""')
    commented = "\n".join(lines)
    return commented if parse_code(commented) else code  # a text over several lines took a comment


class _Renamer(ast.NodeTransformer):
    """Gives every name that a program binds, imports aside, another one."""

    def __init__(self, tree: ast.Module) -> None:
        bound: dict[str, None] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__"):
                bound[node.name] = None
            elif isinstance(node, ast.arg) and node.arg not in ("self", "cls"):
                bound[node.arg] = None
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound[node.id] = None
        methods = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        kept = _BUILTINS | methods | keywords
        self._names = {name: f"item_{number}" for number, name in enumerate(bound) if name not in kept}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._names.get(node.arg, node.arg)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._names.get(name, name) for name in node.names]
        return node

    visit_Nonlocal = visit_Global  # type: ignore[assignment]
