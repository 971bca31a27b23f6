"""The one reader of answers: which Python code a model's text holds, whatever it is wrapped in.

Responses, `execute`, selection and evaluation all read through here. An answer is code, prose with code in fences, or
prose with bare code between; thinking and special tokens around it are left out, characters that nobody sees are
mended, and a `Reading` says what was done. Where several places could be meant, the one whose code parses is.

Reading takes time linear in the text, and raises for none.
"""

from __future__ import annotations

import ast
import builtins
import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from selfcodealign.markdown import OTHER_TAGS, SESSION_TAGS, Block, find_blocks, line_starts, split_lines
from selfcodealign.parsing import CODE_LINE, STARTS_CODE, Parser
from selfcodealign.wrappings import (
    Protected,
    Unwrapped,
    has_wrapping,
    without_end_token,
    without_invisible,
    without_opening,
    without_thinking,
)

_TAG_LINES = re.compile(
    r"^[ \t]*(?:\[(?:PYTHON|CODE|SOLUTION|ANSWER)\]|<(?:python|code|solution|answer)>|<pre><code[^<>\n]{0,80}>)[ \t]*"
    r"|(?P<end>\[/(?:PYTHON|CODE|SOLUTION|ANSWER)\]|</(?:python|code|solution|answer)>(?:</pre>)?)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_SPAN = re.compile(r"(?<!`)`([^`\n]{3,400})`(?!`)")
_FUTURE = re.compile(r"^from[ \t]+__future__[ \t]+import[ \t][^\n]*\n?", re.MULTILINE)
_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer as it was read.

    `code` is its Python code, "" when it holds none. `text` is the answer without thinking, special tokens and
    invisible characters: what a data set may hold. `repairs` names what was left out or changed, in a few words each.
    """

    code: str
    text: str
    repairs: tuple[str, ...] = ()


def read_answer(text: str, entry_point: str = "", pick: Literal["all", "first", "last"] = "all") -> Reading:
    """Read the code of a model's answer.

    Without an entry point all Python blocks are joined ("all"), or the first or last one is taken. With one, the last
    block that defines it is taken (a corrected version comes later), with what it uses from the other blocks. Blocks
    without a language count where none that is marked as Python holds code.

    >>> read_answer("Sure: ```python\\ndef f(): return 1\\n```").code
    'def f(): return 1'
    """
    return _Reader(sessions=False).read(text, entry_point, pick)


def read_tests(text: str) -> Reading:
    """Read the code of a tests section: as `read_answer` does, but examples of a session stay (for doctest).

    Nothing that does not parse is left out: a test that cannot run must not look like one that passed.
    """
    return _Reader(sessions=True).read(text, "", "all")


def extract_python(text: str) -> str:
    """Return the Python code of a response; see `read_answer`."""
    return read_answer(text).code


def read_verbatim(text: str) -> str:
    """Return the Python code of a text that a program wrote: what is fenced, joined, or the whole text. Nothing is
    mended, so what is no Python fails as it would elsewhere."""
    blocks = find_blocks(text) if text.lstrip()[:3] in ("```", "~~~") else []
    if not blocks:
        return text
    counting = [block for block in blocks if block.is_python] or [block for block in blocks if not block.language]
    return "\n\n".join(block.code.removesuffix("\n") for block in counting)


def defines(code: str, name: str) -> bool:
    """Whether a line of the code, not indented, defines a function or class of this name or assigns to it."""
    pattern = rf"^(?:(?:async\s+)?def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*(?::[^=\n]+)?=(?!=)"
    return re.search(pattern, code, re.MULTILINE) is not None


def hoist_future(code: str) -> str:
    """Put `from __future__` imports first, where Python wants them: code was put before them."""
    found = _FUTURE.findall(code)
    if not found:
        return code
    return "".join(line if line.endswith("\n") else line + "\n" for line in found) + _FUTURE.sub("", code)


class _Reader:
    """Reads one answer."""

    def __init__(self, sessions: bool) -> None:
        self._sessions = sessions
        self._python = Parser(sessions)
        self._scanned: dict[str, list[Block]] = {}

    def read(self, text: str, entry_point: str, pick: str) -> Reading:
        if whole := self._python.settle(text):
            return Reading(self._python.without_last_words(whole.text), whole.text, whole.repairs)
        tidy = self._tidy(text)
        chosen = self._python.settle(tidy.text) or self._read_parts(tidy.text, entry_point, pick)
        answer = without_invisible(tidy.text).text if chosen.repairs else tidy.text
        return Reading(chosen.text, answer, tuple(dict.fromkeys(tidy.repairs + chosen.repairs)))

    def _read_parts(self, text: str, entry_point: str, pick: str) -> Unwrapped:
        if "```" not in text:
            text = _TAG_LINES.sub(lambda tag: f"\n```{'' if tag['end'] else 'python'}\n", text)
        blocks = self._blocks(text)
        first = next((block for block in blocks if block.language not in OTHER_TAGS), None)
        if first and self._is_around(text, first):
            return self._read_bare(text)
        chosen = self._choose(blocks, entry_point, pick)
        if chosen.text.strip() and (not entry_point or defines(chosen.text, entry_point)):
            return chosen
        bare = self._read_bare(text)
        return bare if not chosen.text.strip() or defines(bare.text, entry_point) else chosen

    def _is_around(self, text: str, block: Block) -> bool:
        """Whether the first block lies in a docstring of code without a fence."""
        lines = split_lines(text)
        if not any(STARTS_CODE.match(line) for line in lines[: block.line - 1]):
            return False
        run = self._python.find_run(lines, 0)
        return run is not None and run.start < block.line - 1 < run.stop

    def _scan(self, text: str) -> list[Block]:
        if text not in self._scanned:
            self._scanned[text] = find_blocks(text, self._python.settle_text)
        return self._scanned[text]

    def _tidy(self, text: str) -> Unwrapped:
        """Leave out thinking and special tokens that stand outside of code."""
        if not has_wrapping(text):
            return Unwrapped(text)
        opened = without_opening(text)
        thought = without_thinking(opened.text, self._protection(opened.text))
        ended = without_end_token(thought.text, self._protection(thought.text))
        return Unwrapped(ended.text, opened.repairs + thought.repairs + ended.repairs)

    def _protection(self, text: str) -> Protected:
        """Which positions of the text lie in code."""
        if self._python.settle(text):
            return lambda position: True
        starts, lines = line_starts(text), split_lines(text)
        found: list[range] = []
        for block in self._scan(text):
            if block.language in OTHER_TAGS:
                continue
            if self._python.settle(block.code):
                found.append(range(block.line - 1, block.last - block.closed))
            elif run := self._python.find_run(lines[: block.last], block.line):
                found.append(range(run.start, run.stop))
        if not found and (run := self._python.find_run(lines, 0)):
            found.append(range(run.start, run.stop))
        begins, ends = [starts[lines.start] for lines in found], [starts[lines.stop] for lines in found]

        def is_code(position: int) -> bool:
            place = bisect(begins, position) - 1
            return place >= 0 and position < ends[place]

        return is_code

    def _blocks(self, text: str) -> list[Block]:
        """The blocks that hold anything; for a block of Markdown, and for a fence opened twice, the blocks in it."""
        found = [block for block in self._scan(text) if block.code.strip()]
        blocks: list[Block] = []
        for block in found:
            inner = self._scan(block.code) if block.code.lstrip().startswith(("```", "~~~")) else []
            blocks += [one for one in inner if one.code.strip()] or [block]
        return blocks

    def _choose(self, blocks: list[Block], entry_point: str, pick: str) -> Unwrapped:
        marked = [block for block in blocks if block.is_python]
        plain = [block for block in blocks if not block.language]
        sessions = [block for block in blocks if block.language in SESSION_TAGS]
        known = OTHER_TAGS | SESSION_TAGS
        unknown = [one for one in blocks if one.language and not one.is_python and one.language not in known]
        unknown = [block for block in unknown if self._python.settle(block.code)]
        if self._sessions:
            tests = [block for block in blocks if block.is_python or block.language in SESSION_TAGS]
            return self._join(tests or plain or unknown)
        if entry_point or pick != "all":
            either = [block for block in blocks if block.is_python or not block.language] or sessions or unknown
            return self._pick([self._code_of(block) for block in either], entry_point, pick)
        if marked:
            return self._with_needed([self._join(marked), *map(self._code_of, plain)], 0)
        groups = (plain, sessions, unknown)
        good = next((group for group in groups if any(self._python.settle(block.code) for block in group)), [])
        return self._join(good or [block for block in plain if CODE_LINE.search(block.code)] or sessions)

    def _code_of(self, block: Block) -> Unwrapped:
        if settled := self._python.settle(block.code):
            return settled
        # Code may be followed by prose where the block's own end is missing, and by a session. Words inside a
        # closed block are broken code, and so is a block in which more code follows the break.
        lines = split_lines(block.code)
        run = self._python.find_run(lines, 0)
        if run is None or run.code is None:
            return Unwrapped(block.code)
        rest = "\n".join([*lines[: run.start], *lines[run.stop :]])
        is_apart = not block.closed or "```" in rest or rest.lstrip().startswith(">>>")
        return run.code if is_apart and not CODE_LINE.search(rest) else Unwrapped(block.code)

    def _join(self, blocks: Sequence[Block]) -> Unwrapped:
        parts = [self._code_of(block) for block in blocks]
        if not self._sessions and any(self._python.settle(part.text) for part in parts):
            parts = [part for part in parts if self._python.settle(part.text) or CODE_LINE.search(part.text)]
        code = "\n\n".join(part.text.removesuffix("\n") for part in parts)
        repairs = tuple(repair for part in parts for repair in part.repairs)
        return Unwrapped(hoist_future(code) if len(parts) > 1 and not self._sessions else code, repairs)

    def _pick(self, parts: list[Unwrapped], entry_point: str, pick: str) -> Unwrapped:
        if not parts:
            return Unwrapped("")
        defining = [number for number, part in enumerate(parts) if entry_point and defines(part.text, entry_point)]
        if not defining:
            parts = [part for part in parts if self._python.settle(part.text) or CODE_LINE.search(part.text)] or parts
            return parts[-1] if pick == "last" else parts[0]
        whole = [number for number in defining if self._python.settle(parts[number].text)]
        chosen = (whole or defining)[-1]
        return self._with_needed(parts, chosen)

    def _with_needed(self, parts: list[Unwrapped], chosen: int) -> Unwrapped:
        """A block with the imports, helpers and constants of other blocks that it uses and does not define."""
        tree = self._python.parse(parts[chosen].text)
        if tree is None or len(parts) == 1:
            return parts[chosen]
        offered: dict[str, tuple[int, int, ast.stmt]] = {}
        for number in (*range(len(parts) - 1, chosen, -1), *range(chosen)):  # what comes before is nearer
            other = self._python.parse(parts[number].text)
            for place, node in enumerate(other.body if other else ()):
                offered |= dict.fromkeys(_bound_names(node), (number, place, node))
        taken: dict[tuple[int, int], ast.stmt] = {}
        missing = _missing_names(tree)
        while missing:
            found = offered.pop(missing.pop(), None)
            if found and found[:2] not in taken:
                taken[found[:2]] = found[2]
                missing |= _missing_names(ast.Module([found[2]], []))
        if not taken:
            return parts[chosen]
        needed = "\n".join(ast.unparse(taken[place]) for place in sorted(taken))
        return Unwrapped(hoist_future(f"{needed}\n{parts[chosen].text}"), parts[chosen].repairs)

    def _read_bare(self, text: str) -> Unwrapped:
        """Read a text without a usable block: code between prose, between tags or in the words, or no code."""
        lines = self._bare_lines(text)
        if self._sessions:
            code = self._python.settle("\n".join(line for line in lines if line.strip("`~ ")))
            return code or Unwrapped(text if CODE_LINE.search(text) or ">>>" in text else "")
        runs: list[Unwrapped] = []
        number = 0
        while run := self._python.find_run(lines, number) or self._python.find_indented(lines, number):
            if run.code is None:
                return Unwrapped(text)  # broken code is not read in part
            runs.append(run.code)
            number = run.stop
        spans = (Unwrapped(span[1]) for span in islice(_SPAN.finditer(text), 50) if re.search("def |lambda|=", span[1]))
        runs = runs or [span for span in spans if self._python.settle(span.text)][:1]
        if not runs:
            return Unwrapped(text if CODE_LINE.search("\n".join(lines)) else "")
        code = "\n\n".join(run.text.removesuffix("\n") for run in runs)
        return Unwrapped(hoist_future(code) + "\n", tuple(repair for run in runs for repair in run.repairs))

    def _bare_lines(self, text: str) -> list[str]:
        """The lines of a text; those of blocks that hold no Python are blank."""
        lines = split_lines(text)
        for block in self._scan(text):
            if block.language in OTHER_TAGS and block.closed:
                lines[block.line - 1 : block.last] = [""] * (block.last - block.line + 1)
        return lines


def _bound_names(node: ast.stmt) -> set[str]:
    """The names that a statement of a module's top level binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return set()


def _missing_names(tree: ast.Module) -> set[str]:
    """The names that a module uses and nowhere binds."""
    used: set[str] = set()
    bound = set(_BUILTINS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.stmt):
            bound |= _bound_names(node)
    return used - bound
