"""Real functions for snippet → concepts: from the standard library and permissively licensed packages."""

from __future__ import annotations

import ast
import random
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from tiny.labels import label_code

# Packages under BSD, MIT or Apache-2.0, which permit training on their code; missing packages are skipped.
PACKAGES = ("numpy", "pandas", "torch", "transformers", "rich", "httpx", "pydantic", "typer")
HELD_OUT_PERCENT = 12
MAX_LINES = 60


@dataclass(frozen=True, slots=True)
class Function:
    """A function in the form of a seed: the imports it uses, then its dedented code, with or without docstring."""

    text: str
    labels: dict[str, int]
    held_out: bool
    documented: bool


def is_held_out(code: str) -> bool:
    """Return whether a function, given by its dedented code with docstring, is held out of the corpus."""
    return int.from_bytes(blake2b(code.strip().encode(), digest_size=4).digest(), "big") % 100 < HELD_OUT_PERCENT


def read_functions(packages: tuple[str, ...] = PACKAGES, limit_per_package: int = 1500) -> list[Function]:
    """Read the functions of the standard library and of the installed `packages`, in stable order."""
    found = list(_read_folder(Path(sysconfig.get_paths()["stdlib"])))
    for package in packages:
        spec = find_spec(package)
        if spec and spec.origin:
            found += islice(_read_folder(Path(spec.origin).parent, random.Random(package)), limit_per_package)
    return list({function.text: function for function in found}.values())


def _read_folder(folder: Path, rng: random.Random | None = None) -> Iterator[Function]:
    """Read functions file by file, in order of the paths or, with `rng`, in random order."""
    paths = sorted(folder.rglob("*.py"))
    if rng:
        rng.shuffle(paths)
    for path in paths:
        parts = set(path.relative_to(folder).parts)
        if parts & {"site-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "encodings"}:
            continue
        try:
            yield from read_text(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):  # a template, or invalid on purpose
            continue


def read_text(text: str) -> list[Function]:
    """Read the functions of one module's text. Raises `SyntaxError`."""
    return list(_read_file(ast.parse(text), text.splitlines()))


def _read_file(tree: ast.Module, lines: list[str]) -> Iterator[Function]:
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.decorator_list:
            continue
        if not 3 <= (node.end_lineno or 0) - node.lineno + 1 <= MAX_LINES or not node.args.args:
            continue
        if lines[node.lineno - 1][: node.col_offset].strip():
            continue
        yield from _read_function(node, lines[node.lineno - 1 : node.end_lineno], imports)


def _read_function(
    node: ast.FunctionDef, lines: list[str], imports: list[ast.Import | ast.ImportFrom]
) -> Iterator[Function]:
    body = [line[node.col_offset :] if not line[: node.col_offset].strip() else line for line in lines]
    held_out = is_held_out("\n".join(body))
    used = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    needed = [ast.unparse(statement) for statement in imports if _binds(statement) & used]
    front = "\n".join(needed[:3]) + "\n\n" if needed else ""
    first = node.body[0]
    documented = ast.get_docstring(node) is not None
    versions = [(front + "\n".join(body), documented)]
    if documented and len(node.body) > 1:
        start, end = first.lineno - node.lineno, (first.end_lineno or 0) - node.lineno + 1
        versions.append((front + "\n".join(body[:start] + body[end:]), False))
    for text, with_docstring in versions:
        try:
            yield Function(text, label_code(text), held_out, with_docstring)
        except SyntaxError:  # dedenting broke a string of several lines
            continue


def _binds(statement: ast.Import | ast.ImportFrom) -> set[str]:
    return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}


def cut(text: str, lines: int, characters: int) -> str:
    """Return the first whole lines of a text, at most `lines` and at most `characters`, but at least one line."""
    kept: list[str] = []
    for line in text.split("\n")[:lines]:
        if kept and len("\n".join([*kept, line])) > characters:
            break
        kept.append(line)
    return "\n".join(kept)


def draw_concepts(shown: str, labels: dict[str, int], rng: random.Random, weights: dict[str, float]) -> list[str]:
    """Draw two to five concepts that are visible in the lines shown, rare ones preferred, in order of appearance."""
    last = shown.count("\n") + 1
    visible = [label for label, line in labels.items() if line <= last]
    wanted = min(len(visible), rng.randint(2, 5))
    ranked = sorted(visible, key=lambda label: rng.random() ** (1 / weights.get(label, 1.0)), reverse=True)[:wanted]
    return [label for label in visible if label in ranked]


def weigh(functions: list[Function]) -> dict[str, float]:
    """Return the weight of each label in `draw_concepts`: its frequency to the power of -0.6."""
    counts = Counter(label for function in functions for label in function.labels)
    total = max(len(functions), 1)
    return {label: (count / total) ** -0.6 for label, count in counts.items()}
