"""Extracts code from model output: removes reasoning, finds fenced blocks, adds the prompt where it is missing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Literal

from selfcodealign.fences import PYTHON_TAGS, find_blocks

_THINKING = re.compile(r"<(think|thinking|thought|reasoning)>.*?</\1>\s*", re.DOTALL)
_THINKING_END = re.compile(r"^.*</(?:think|thinking|thought|reasoning)>\s*", re.DOTALL)
_THINKING_START = re.compile(r"<(?:think|thinking|thought|reasoning)>.*\Z", re.DOTALL)


def strip_thinking(text: str) -> str:
    """Remove reasoning blocks: closed ones, one that the chat template opened, and one that never ended.

    >>> strip_thinking("<think>2 + 2?</think>4"), strip_thinking("let me see</think>4"), strip_thinking("<think>hm")
    ('4', '4', '')
    """
    text = _THINKING.sub("", text)
    text = _THINKING_END.sub("", text)
    return _THINKING_START.sub("", text)


def find_solution(text: str, entry_point: str = "", pick: Literal["first", "last"] = "first") -> str:
    """Return the code of a model's answer.

    Of several Python blocks the last one that defines `entry_point` counts (a corrected version comes later), else
    the first or last, by `pick`. An answer without a fence is code, or code within prose: then the longest run of
    lines that parses and starts with an import, a decorator or a definition is taken, else the whole text, which then
    fails.
    """
    text = strip_thinking(text)
    blocks = find_blocks(text)
    python = [block for block in blocks if not block.language or block.language in PYTHON_TAGS]
    codes = [block.code for block in python or blocks]
    if not codes:
        return text if _parses(text) else _find_code(text)
    defining = [code for code in codes if entry_point and defines(code, entry_point)]
    if defining:
        return defining[-1]
    return codes[0] if pick == "first" else codes[-1]


def defines(code: str, name: str) -> bool:
    """Whether a line of the code, not indented, defines a function or class of this name or assigns to it."""
    pattern = rf"^(?:(?:async\s+)?def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*(?::[^=\n]+)?=(?!=)"
    return re.search(pattern, code, re.MULTILINE) is not None


def complete(prompt: str, code: str) -> str:
    """Join a prompt (imports, helpers, a signature with its docstring) and the code of an answer to a whole solution.

    Code that continues the prompt or redefines its function is appended to it, as other tools do with a `completion`:
    the definition in the answer replaces the prompt's empty one, and the imports and helpers that answers often omit
    are present. Code that repeats the prompt is returned unchanged.
    """
    if code.lstrip("\n").startswith(prompt.strip("\n")):
        return code
    glue = "" if prompt.endswith("\n") or code.startswith("\n") else "\n"
    return prompt + glue + code


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _find_code(text: str) -> str:
    lines = text.split("\n")
    for start in _starts(lines):
        # From the end backwards, so that only prose after the code is cut off.
        for end in range(len(lines), start, -1):
            candidate = "\n".join(lines[start:end])
            if candidate.strip() and _parses(candidate):
                return candidate + "\n"
    return text


def _starts(lines: list[str]) -> Iterator[int]:
    opening = re.compile(r"(?:import\s|from\s+\S+\s+import\s|(?:async\s+)?def\s|class\s|@)")
    yield from [number for number, line in enumerate(lines) if opening.match(line)][:3]
