"""The one reader of answers: which Python code a model's text holds, whatever it is wrapped in.

Responses, `execute`, selection and evaluation all read through here. An answer is code, prose with code in fences, or
prose with bare code between; thinking and special tokens around it are left out, characters that nobody sees are
mended, and a `Reading` says what was done. Where several places could be meant, the one whose code parses is.

A text is parsed a bounded number of times (`_MOST_PARSED` characters in all), so reading takes time linear in the text.
Nothing here raises for any text.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from selfcodealign.markdown import OTHER_TAGS, SESSION_TAGS, Block, find_blocks, line_starts, split_lines
from selfcodealign.wrappings import (
    Protected,
    Unwrapped,
    has_wrapping,
    without_end_token,
    without_invisible,
    without_opening,
    without_prompts,
    without_thinking,
)

#: Characters that are parsed for one answer, at most; and in one piece, with the brackets that may be open in it:
#: beyond them the parser itself can be attacked.
_MOST_PARSED, _LONGEST_PARSED, _DEEPEST_PARSED = 500_000, 64 * 1024, 50
_LEAST_COST = 500
#: Words that are found outside of fences in code, and hardly in prose.
_CODE_LINE = re.compile(
    r"^[ \t]*(?:(?:async[ \t]+)?def[ \t]|class[ \t]+\w+[ \t]*[(:]|import[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b"
    r"|return\b|assert[ \t]|print\(|@\w|(?:for|while|if|with)\b.*:[ \t]*$|\w[\w.\[\]]*[ \t]*=)",
    re.MULTILINE,
)
_START = re.compile(
    r"(?:import\s|from\s+\S+\s+import\s|(?:async\s+)?def\s|class\s|@\w|[A-Za-z_]\w*(?:\s*:[^=\n]+)?\s*=\s*\S)"
)
_TAG_LINES = re.compile(
    r"^[ \t]*(?:\[(?:PYTHON|CODE|SOLUTION|ANSWER)\]|<(?:python|code|solution|answer)>|<pre><code[^<>\n]{0,80}>)[ \t]*"
    r"|(?P<end>\[/(?:PYTHON|CODE|SOLUTION|ANSWER)\]|</(?:python|code|solution|answer)>(?:</pre>)?)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_SPAN = re.compile(r"(?<!`)`([^`\n]{3,400})`(?!`)")
_FUTURE = re.compile(r"^from[ \t]+__future__[ \t]+import[ \t][^\n]*\n?", re.MULTILINE)
# Wrong escapes in foreign texts are not for the users of this program. A filter that is set once: changing the filters
# for each text would make Python forget which warnings of other code it has already shown.
_SOURCE = "<answer of a model>"
warnings.filterwarnings("ignore", module=re.escape(_SOURCE))
_BRACKETS = re.compile(r"[(\[{}\])]")
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
    """Reads one answer; remembers what it has parsed, and how much may still be parsed."""

    def __init__(self, sessions: bool) -> None:
        self._sessions = sessions
        self._left = _MOST_PARSED
        self._settled: dict[str, Unwrapped | None] = {}
        self._scanned: dict[str, list[Block]] = {}

    def read(self, text: str, entry_point: str, pick: str) -> Reading:
        if whole := self.settle(text):
            return Reading(self._without_last_words(whole.text), whole.text, whole.repairs)
        tidy = self._tidy(text)
        chosen = self.settle(tidy.text) or self._read_parts(tidy.text, entry_point, pick)
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
        if not any(_START.match(line) for line in lines[: block.line - 1]):
            return False
        run = self._find_run(lines, 0)
        return run is not None and run.start < block.line - 1 < run.stop

    def settle(self, code: str) -> Unwrapped | None:
        """The code in the form in which it parses; None where it does not parse or is no more than words."""
        if code not in self._settled:
            self._settled[code] = next((one for one in self._forms(code) if self._is_code(one.text)), None)
        return self._settled[code]

    def _scan(self, text: str) -> list[Block]:
        if text not in self._scanned:
            self._scanned[text] = find_blocks(text, self._settle_text)
        return self._scanned[text]

    def _settle_text(self, code: str) -> str | None:
        settled = self.settle(code)
        return settled.text if settled else None

    def _forms(self, code: str) -> Iterator[Unwrapped]:
        yield Unwrapped(code)
        mended = without_invisible(code)
        if mended.repairs:
            yield mended
        plain = _dedent(mended.text)
        # A function's body without its head, which a prompt holds, keeps its indentation.
        if (
            plain != mended.text
            and (tree := self._parse(plain))
            and not any(isinstance(n, ast.Return) for n in tree.body)
        ):
            yield Unwrapped(plain, mended.repairs)
        session = without_prompts(plain)
        if session.repairs and not self._sessions:
            yield Unwrapped(session.text, mended.repairs + session.repairs)

    def _is_code(self, code: str) -> bool:
        tree = self._parse(code)
        return tree is not None and any(map(_does_something, tree.body))

    def _parse(self, code: str) -> ast.Module | None:
        tree = self._parse_or_line(code)
        return tree if isinstance(tree, ast.Module) else None

    def _parse_or_line(self, code: str) -> ast.Module | int:
        """The tree, or the line (from 1) that is no Python; 0 where the text cannot be parsed safely."""
        if self._left <= 0 or len(code) > _LONGEST_PARSED or _is_deep(code):
            return 0
        self._left -= max(len(code), _LEAST_COST)
        try:
            return ast.parse(code, _SOURCE)
        except SyntaxError as error:
            return error.lineno or 0
        except (ValueError, RecursionError, MemoryError):
            return 0

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
        if self.settle(text):
            return lambda position: True
        starts, lines = line_starts(text), split_lines(text)
        found: list[range] = []
        for block in self._scan(text):
            if block.language in OTHER_TAGS:
                continue
            if self.settle(block.code):
                found.append(range(block.line - 1, block.last - block.closed))
            elif run := self._find_run(lines[: block.last], block.line):
                found.append(range(run.start, run.stop))
        if not found and (run := self._find_run(lines, 0)):
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
        unknown = [block for block in unknown if self.settle(block.code)]
        if self._sessions:
            tests = [block for block in blocks if block.is_python or block.language in SESSION_TAGS]
            return self._join(tests or plain or unknown)
        if entry_point or pick != "all":
            either = [block for block in blocks if block.is_python or not block.language] or sessions or unknown
            return self._pick([self._code_of(block) for block in either], entry_point, pick)
        if marked:
            return self._with_needed([self._join(marked), *map(self._code_of, plain)], 0)
        groups = (plain, sessions, unknown)
        good = next((group for group in groups if any(self.settle(block.code) for block in group)), [])
        return self._join(good or [block for block in plain if _CODE_LINE.search(block.code)] or sessions)

    def _code_of(self, block: Block) -> Unwrapped:
        if settled := self.settle(block.code):
            return settled
        # Code may be followed by prose where the block's own end is missing, and by a session. Words in a whole block
        # are broken code, and so is what goes on with code.
        lines = split_lines(block.code)
        run = self._find_run(lines, 0)
        if run is None or run.code is None:
            return Unwrapped(block.code)
        rest = "\n".join([*lines[: run.start], *lines[run.stop :]])
        is_apart = not block.closed or "```" in rest or rest.lstrip().startswith(">>>")
        return run.code if is_apart and not _CODE_LINE.search(rest) else Unwrapped(block.code)

    def _join(self, blocks: Sequence[Block]) -> Unwrapped:
        parts = [self._code_of(block) for block in blocks]
        if not self._sessions and any(self.settle(part.text) for part in parts):
            parts = [part for part in parts if self.settle(part.text) or _CODE_LINE.search(part.text)]
        code = "\n\n".join(part.text.removesuffix("\n") for part in parts)
        repairs = tuple(repair for part in parts for repair in part.repairs)
        return Unwrapped(hoist_future(code) if len(parts) > 1 and not self._sessions else code, repairs)

    def _pick(self, parts: list[Unwrapped], entry_point: str, pick: str) -> Unwrapped:
        if not parts:
            return Unwrapped("")
        defining = [number for number, part in enumerate(parts) if entry_point and defines(part.text, entry_point)]
        if not defining:
            parts = [part for part in parts if self.settle(part.text) or _CODE_LINE.search(part.text)] or parts
            return parts[-1] if pick == "last" else parts[0]
        whole = [number for number in defining if self.settle(parts[number].text)]
        chosen = (whole or defining)[-1]
        return self._with_needed(parts, chosen)

    def _with_needed(self, parts: list[Unwrapped], chosen: int) -> Unwrapped:
        """A block with the imports, helpers and constants of other blocks that it uses and does not define."""
        tree = self._parse(parts[chosen].text)
        if tree is None or len(parts) == 1:
            return parts[chosen]
        offered: dict[str, tuple[int, int, ast.stmt]] = {}
        for number in (*range(len(parts) - 1, chosen, -1), *range(chosen)):  # what comes before is nearer
            other = self._parse(parts[number].text)
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
            code = self.settle("\n".join(line for line in lines if line.strip("`~ ")))
            return code or Unwrapped(text if _CODE_LINE.search(text) or ">>>" in text else "")
        runs: list[Unwrapped] = []
        number = 0
        while run := self._find_run(lines, number) or self._find_indented(lines, number):
            if run.code is None:
                return Unwrapped(text)  # broken code is not read in part
            runs.append(run.code)
            number = run.stop
        spans = (Unwrapped(span[1]) for span in islice(_SPAN.finditer(text), 50) if re.search("def |lambda|=", span[1]))
        runs = runs or [span for span in spans if self.settle(span.text)][:1]
        if not runs:
            return Unwrapped(text if _CODE_LINE.search("\n".join(lines)) else "")
        code = "\n\n".join(run.text.removesuffix("\n") for run in runs)
        return Unwrapped(hoist_future(code) + "\n", tuple(repair for run in runs for repair in run.repairs))

    def _bare_lines(self, text: str) -> list[str]:
        """The lines of a text; those of blocks that hold no Python are blank."""
        lines = split_lines(text)
        for block in self._scan(text):
            if block.language in OTHER_TAGS and block.closed:
                lines[block.line - 1 : block.last] = [""] * (block.last - block.line + 1)
        return lines

    def _find_run(self, lines: list[str], first: int) -> _Run | None:
        """Find the first code from line `first` on that begins at a line's start and ends where prose begins."""
        while first < len(lines) and self._left > 0:
            if not _START.match(without_invisible(lines[first]).text):
                first += 1
                continue
            end = len(lines)
            while first < end:
                code = "".join(f"{line}\n" for line in lines[first:end])
                if settled := self.settle(code):
                    return _Run(first, end, Unwrapped(self._without_last_words(settled.text), settled.repairs))
                line = self._parse_or_line(without_invisible(code).text)
                if not isinstance(line, int) or line == 0 or first + line - 1 >= end:
                    return None
                end = first + line - 1
                if line > 1 and (lines[end][:1] in (" ", "\t") or _CODE_LINE.match(lines[end])):
                    return _Run(first, end, None)
            first += 1  # a line of prose that begins like code
        return None

    def _find_indented(self, lines: list[str], first: int) -> _Run | None:
        """Find indented code between prose, as Markdown and reStructuredText have it."""
        while first < len(lines) and self._left > 0:
            if lines[first][:1] in (" ", "\t") and _START.match(lines[first].lstrip()):
                end = next(
                    (end for end in range(first, len(lines)) if lines[end].strip() and not lines[end][0].isspace()),
                    len(lines),
                )
                settled = self.settle("".join(f"{line}\n" for line in lines[first:end])) if first else None
                return _Run(first, end, settled) if settled else None
            first += 1
        return None

    def _without_last_words(self, code: str) -> str:
        tree = self._parse(code)
        last = max((node.end_lineno or 0 for node in tree.body if _does_something(node)), default=0) if tree else 0
        if not tree or _does_something(tree.body[-1]):
            return code
        return "".join(f"{line}\n" for line in split_lines(code)[:last])


@dataclass(frozen=True, slots=True)
class _Run:
    """Lines of code between prose, from `start` up to `stop`; `code` is None where they break off at other code."""

    start: int
    stop: int
    code: Unwrapped | None


def _dedent(code: str) -> str:
    """The code without the blanks that all its lines begin with; lines without characters do not count."""
    lines = [line for line in code.split("\n") if line.strip()]
    margin = min((line[: len(line) - len(line.lstrip(" \t"))] for line in lines), key=len, default="")
    if not margin or not all(line.startswith(margin) for line in lines):
        return code
    return re.sub(rf"^{margin}", "", code, flags=re.MULTILINE)


def _is_deep(code: str) -> bool:
    depth = 0
    for character in _BRACKETS.findall(code):
        depth += 1 if character in "([{" else -1
        if depth > _DEEPEST_PARSED:
            return True
    return False


def _does_something(node: ast.stmt) -> bool:
    """Whether a statement is code, and not words that happen to parse ("Done", "Note: x", a text)."""
    if isinstance(node, ast.Expr):
        return any(isinstance(part, ast.Call | ast.Await) for part in ast.walk(node))
    return not (isinstance(node, ast.AnnAssign) and node.value is None)


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
