"""Which texts cannot be a task, and which contradict the properties that were asked for."""

from __future__ import annotations

import ast
import re
from collections import Counter

from selfcodealign.generation.echo import sentences, without_code
from selfcodealign.generation.prompts import find_markup
from selfcodealign.models.loops import repeats

#: A sentence of at least so many characters may stand in a task so often.
_LEAST_SENTENCE, _MOST_TIMES = 20, 3
_STATED = re.compile(
    r"\bdifficulty\s*(?:is|:)\s*(easy|medium|hard)\b|\bthis is an? (easy|medium|hard)\b", re.IGNORECASE
)
_KINDS = {
    "function": re.compile(r"\bfunctions?\b|`\w+\(", re.IGNORECASE),
    "class": re.compile(r"\bclass(?:es)?\b", re.IGNORECASE),
    "program": re.compile(r"\bprograms?\b|\bscripts?\b|\bcommand|\btool\b", re.IGNORECASE),
}
_ASKED = re.compile(
    r"\b(?:write|implement|define|create)\s+(?:an?|the)\s+(?:\w+\s+)?(function|class|program)\b", re.IGNORECASE
)


def find_fault(instruction: str) -> tuple[str, str] | None:
    """Reason and detail for a text that could never become an example, whatever the answer; None for any other.

    `only_code` (no letters outside of code), `repeated` (it repeats itself) or `prompt_markup` (a line would end its
    section of a prompt).

    >>> find_fault("Sort the list in place.")
    >>> find_fault("def f(x):\\n    return x")
    ('only_code', 'def f(x):')
    """
    lines = instruction.strip().split("\n")
    if not re.search(r"[^\W\d_]", without_code(instruction)) or _is_python(instruction):
        return "only_code", lines[0]
    often = Counter(one for one in sentences(instruction) if len(one) >= _LEAST_SENTENCE).most_common(1)
    if often and often[0][1] > _MOST_TIMES:
        return "repeated", f"{often[0][1]} times: {often[0][0]}"
    if repeats(instruction):
        return "repeated", lines[-1][-100:]
    markup = find_markup(lines) or next((line for line in lines if re.fullmatch(r"\s*<[a-z]+>\s*", line)), "")
    return ("prompt_markup", markup) if markup else None


def find_contradictions(instruction: str, category: str, difficulty: str) -> list[str]:
    """Properties that the text plainly contradicts: it asks for a function and never names the class that was wanted,
    or it states another difficulty.

    >>> find_contradictions("Write a function `f(x)` that doubles x.", "class", "easy")
    ['category']
    """
    found = []
    asked = {kind.lower() for kind in _ASKED.findall(instruction)}
    named = _KINDS.get(category)
    if asked and category not in asked and named is not None and not named.search(instruction):
        found.append("category")
    stated = {(one or other).lower() for one, other in _STATED.findall(instruction)}
    if stated and difficulty not in stated:
        found.append("difficulty")
    return found


def _is_python(text: str) -> bool:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    telling = (
        ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Assign | ast.Return
    )
    return any(isinstance(node, telling | ast.Call) for node in ast.walk(tree))
