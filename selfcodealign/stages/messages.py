"""The messages that a model is tuned on, where they say more or less than the verified instruction and response.

The user's may show assertions of the tests; the assistant's may have reasoning before the response, an explanation
after it, the tests, and no comments. The verified texts stay in the columns `instruction` and `response`. Each draw
comes from the row's id.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from textwrap import dedent

from selfcodealign.fences import read_answer, read_tests
from selfcodealign.generation.reading import read_sections
from selfcodealign.markdown import find_blocks
from selfcodealign.rows import Response, seed_of
from selfcodealign.settings import PLAIN_PARTS, SelectionSettings

#: An instruction with one of these words shows examples, or asks for tests.
_SHOWS_EXAMPLES = ("assert", "for example", "test")
#: Most assertions that an instruction shows, and most lines of one.
MOST_ASSERTIONS, MOST_LINES = 5, 5
_BELOW_INSTRUCTION = "These assertions have to hold:"
_ABOVE_TESTS = "Tests for this code:"


@dataclass(frozen=True)
class Messages:
    """Writes the two messages of a row; `parts` are those that the model wrote (`responses.parts`)."""

    settings: SelectionSettings
    parts: Sequence[str] = PLAIN_PARTS

    def of(self, row: Response) -> dict[str, str]:
        """The fields `user` and `assistant` of an example: empty where the verified text is the message."""
        user, assistant = self._user(row), self._assistant(row)
        return {
            "user": user if user != row.instruction else "",
            "assistant": assistant if assistant != row.response else "",
        }

    def prose(self, row: Response) -> dict[str, str]:
        """The parts of an answer besides response and tests, by name."""
        if tuple(self.parts) == PLAIN_PARTS:
            return {}
        sections = read_sections(row.completion, self.parts).sections
        return {part: read_answer(text).text for part, text in sections.items() if part not in PLAIN_PARTS}

    def _user(self, row: Response) -> str:
        draw = _draw(row, "tests in the instruction")
        if draw.random() >= self.settings.tests_in_instruction:
            return row.instruction
        if any(word in row.instruction.lower() for word in _SHOWS_EXAMPLES):
            return row.instruction
        found = find_assertions(read_tests(row.tests).code)
        if not found:
            return row.instruction
        count = min(draw.randint(1, MOST_ASSERTIONS), len(found))
        shown = "\n".join(found[place] for place in sorted(draw.sample(range(len(found)), count)))
        return f"{row.instruction}\n\n{_BELOW_INSTRUCTION}\n\n```python\n{shown}\n```"

    def _assistant(self, row: Response) -> str:
        settings, prose = self.settings, self.prose(row)
        chances = {"reasoning": settings.keep_reasoning, "explanation": settings.keep_explanation}
        kept = {part: text for part, text in prose.items() if _draw(row, f"keep {part}").random() < chances[part]}
        said = {
            "reasoning": kept.get("reasoning", ""),
            "response": row.response if settings.comments else without_comments(row.response),
            "explanation": kept.get("explanation", ""),
        }
        if settings.tests_in_response == "asked" and "test" in row.instruction.lower():
            said["tests"] = f"{_ABOVE_TESTS}\n\n{_fenced(row.tests)}"
        return "\n\n".join(text for text in said.values() if text)


def _draw(row: Response, purpose: str) -> Random:
    return Random(seed_of(row.id, purpose))


def _fenced(text: str) -> str:
    return text if find_blocks(text) else f"```python\n{text.strip()}\n```"


def find_assertions(code: str) -> list[str]:
    """The assertions of a test program that stand alone: short, and with no name that the program itself binds.

    >>> find_assertions("got = f(1)\\nassert got == 2\\nassert f(2) == 3\\n")
    ['assert f(2) == 3']
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    within = {id(inner) for node in asserts for inner in ast.walk(node)}
    bound = set(_bound_names(node for node in ast.walk(tree) if id(node) not in within))
    lines = code.splitlines()
    found = []
    for node in sorted(asserts, key=lambda node: node.lineno):
        used = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        last = node.end_lineno or node.lineno
        text = dedent("\n".join(lines[node.lineno - 1 : last]))
        if not used & bound and last - node.lineno < MOST_LINES and text.startswith("assert"):
            found.append(text)
    return list(dict.fromkeys(found))


def _bound_names(nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def without_comments(response: str) -> str:
    """A response whose Python code has no comments; code that cannot be read stays.

    >>> without_comments("Add:\\n```python\\n# first\\nx = '#'  # why\\n```")
    "Add:\\n```python\\nx = '#'\\n```"
    """
    blocks = find_blocks(response)
    if not blocks:
        return _strip(response)
    lines = response.split("\n")
    for block in reversed(blocks):
        end = block.last - 1 if block.closed else block.last
        if block.is_python:
            lines[block.line : end] = _strip("\n".join(lines[block.line : end])).split("\n")
    return "\n".join(lines)


def _strip(code: str) -> str:
    try:
        before = ast.parse(code)
        comments = [one for one in tokenize.generate_tokens(io.StringIO(code).readline) if one.type == tokenize.COMMENT]
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return code
    lines: list[str | None] = list(code.split("\n"))
    for comment in comments:
        number, column = comment.start
        left = (lines[number - 1] or "")[:column].rstrip()
        lines[number - 1] = left or None
    stripped = "\n".join(line for line in lines if line is not None)
    try:
        same = ast.dump(ast.parse(stripped)) == ast.dump(before)
    except (SyntaxError, ValueError):
        return code
    return stripped if same else code
