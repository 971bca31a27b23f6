"""From the answer of a model to a whole solution: its code, with the prompt where that is missing."""

from __future__ import annotations

from typing import Literal

from selfcodealign.fences import hoist_future, read_answer


def find_solution(text: str, entry_point: str = "", pick: Literal["first", "last"] = "first") -> str:
    """Return the code of a model's answer; an answer without code is returned unchanged, and then fails."""
    return read_answer(text, entry_point, pick).code or text


def complete(prompt: str, code: str) -> str:
    """Join a prompt (imports, helpers, a signature with its docstring) and the code of an answer to a whole solution.

    Code that continues the prompt or redefines its function is appended to it, as other tools do with a `completion`:
    the definition in the answer replaces the prompt's empty one, and the imports and helpers that answers often omit
    are present. Code that repeats the prompt is returned unchanged.
    """
    if code.lstrip("\n").startswith(prompt.strip("\n")):
        return code
    glue = "" if prompt.endswith("\n") or code.startswith("\n") else "\n"
    return hoist_future(prompt + glue + code)
