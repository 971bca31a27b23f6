"""Read the lines of a few-shot file from top to bottom; every error names file and line.

This module knows headings, tags, comments and fenced code; `few_shot_file` knows their meaning.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from selfcodealign.errors import FewShotError, did_you_mean
from selfcodealign.generation.prompts import EXAMPLE_HEADING
from selfcodealign.markdown import find_blocks

# The sections under each kind of heading, in order; an introduction is free text.
KIND_TAGS = {
    "Introduction": (),
    "Example": ("snippet", "properties", "instruction", "reasoning", "response", "explanation", "tests"),
    "Judgement": ("snippet", "judgement"),
    "Evolution": ("instruction", "change", "evolved"),
    "Edit": ("before", "after", "subject", "instruction", "tests"),
    "Monologue": ("program", "call", "value", "forward", "backward"),
}
# Sections that only some kinds of prompts show: an example may leave them out.
OPTIONAL_TAGS = ("reasoning", "explanation")
# "concepts" is not a section of the file, but prompts close it, so no text may contain its closing tag.
_TAGS = "|".join(dict.fromkeys([*(tag for tags in KIND_TAGS.values() for tag in tags), "concepts"]))
_TAG_LINE = re.compile(rf"</?({_TAGS})>\s*")
_CLOSING_TAG = re.compile(rf"</({_TAGS})>")
_HEADINGS = tuple(f"## {kind}:" for kind in KIND_TAGS)

# The line of a section's opening tag, and the section's text without trailing empty lines.
FoundSection = tuple[int, str]


class Lines:
    """The lines of one file and the number of lines read; the first line is number 1."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.lines = text.replace("\r\n", "\n").split("\n")
        self.read = 0

    def error(self, line: int, message: str) -> FewShotError:
        """Make the error for a line."""
        return FewShotError(f"{self.path}:{line}: {message}")

    def skip_blank(self) -> bool:
        """Skip empty lines and comments; return whether any line is left."""
        while self.read < len(self.lines):
            line = self.lines[self.read].strip()
            if line.startswith("<!--"):
                self._skip_comment()
            elif line:
                return True
            else:
                self.read += 1
        return False

    def take_heading(self, introductions: Sequence[str]) -> tuple[int, str, str]:
        """Read `## Kind: name` and return line number, kind and name; `introductions` are the valid names of those."""
        text = self._take().rstrip()
        line = self.read
        if _TAG_LINE.fullmatch(text):
            raise self.error(line, f'{text} belongs to no example; put a line "## Example: name" above it')
        if not text.startswith("## "):
            raise self.error(line, f'"{text[:40]}" belongs to no section; put it in a section or in <!-- a comment -->')
        kind, colon, name = (part.strip() for part in text[3:].partition(":"))
        self.check_choice(line, kind, "heading", tuple(KIND_TAGS))
        if not colon or not name:
            raise self.error(line, f'this heading has no name; write "## {kind}: name"')
        if kind == "Introduction":
            self.check_choice(line, name, "introduction", introductions)
        return line, kind, name

    def take_introduction(self) -> str:
        """Read free text up to the next heading, without comments."""
        kept: list[str] = []
        while self.read < len(self.lines) and not self.lines[self.read].startswith("## "):
            if self.lines[self.read].lstrip().startswith("<!--"):
                self._skip_comment()
                continue
            kept.append(self._take())
            if _TAG_LINE.fullmatch(kept[-1]):
                raise self.error(
                    self.read, f'{kept[-1]} inside an introduction; put a line "## Example: name" above it'
                )
            self._check_prompt_safe(kept[-1])
        return "\n".join(kept).strip()

    def take_sections(self, line: int, kind: str, name: str) -> dict[str, FoundSection]:
        """Read the sections of the part whose heading is on `line`; keyed by tag."""
        tags = KIND_TAGS[kind]
        needed = [tag for tag in tags if tag not in OPTIONAL_TAGS]
        order = ", ".join(f"<{tag}>" for tag in needed)
        found: dict[str, FoundSection] = {}
        while self.skip_blank() and not self.lines[self.read].startswith("## "):
            text = self._take().strip()
            if not (text.startswith("<") and text.endswith(">")):
                raise self.error(self.read, f'"{text[:40]}" stands outside of the sections; move it into one ({order})')
            tag = text[1:-1]
            if tag.startswith("/") and tag[1:] in tags:
                raise self.error(self.read, f"{text} closes a section that is not open; put <{tag[1:]}> above its text")
            self.check_choice(self.read, tag, f"tag in this {kind.lower()}:", tags)
            if tag in found:
                raise self.error(self.read, f"{text} is there twice in this {kind.lower()}; remove one")
            above = tags[: tags.index(tag)]
            if missing := [one for one in above if one in needed and one not in found]:
                raise self.error(self.read, f"{text} comes too early: <{missing[0]}> is missing above it ({order})")
            if below := [one for one in found if one not in above]:
                raise self.error(self.read, f"{text} comes too late: put it above <{below[0]}>")
            found[tag] = self._take_section(tag)
        if missing := [one for one in needed if one not in found]:
            raise self.error(line, f'{kind.lower()} "{name}" has no <{missing[0]}>; it needs {order}')
        return found

    def check_choice(self, line: int, word: str, what: str, known: Sequence[str]) -> None:
        """Refuse a word that is not one of `known`."""
        if word not in known:
            hint = did_you_mean(word, known) or f"; known are {', '.join(known)}"
            raise self.error(line, f'unknown {what} "{word[:40]}"{hint}')

    def check_python(self, line: int, code: str) -> None:
        """Refuse Python code that does not parse; `line` is the line above the code."""
        try:
            ast.parse(code)
        except SyntaxError as error:
            raise self.error(line + (error.lineno or 1), f"this Python code does not parse: {error.msg}") from None

    def check_fenced(self, opened: int, tag: str, text: str, language: str) -> None:
        """Refuse a section without a fenced code block, with an unclosed block, or with Python that does not parse."""
        blocks = find_blocks(text)
        for block in blocks:
            line = opened + block.line
            if not block.closed:
                raise self.error(line, 'this fenced code is never closed; put "```" alone on a line below it')
            if block.is_python:
                self.check_python(line, block.code)
        if not blocks:
            opening = f"```{language.lower()}"
            raise self.error(opened, f'<{tag}> has no fenced code; put its code between lines "{opening}" and "```"')

    def _take(self) -> str:
        self.read += 1
        return self.lines[self.read - 1]

    def _skip_comment(self) -> None:
        opened = self.read + 1
        while self.read < len(self.lines):
            _, end, after = self._take().partition("-->")
            if after.strip():
                raise self.error(self.read, "text after a comment's end; put it on the next line")
            if end:
                return
        raise self.error(opened, 'this comment is never closed; end it with "-->"')

    def _take_section(self, tag: str) -> FoundSection:
        opened = self.read
        while self.read < len(self.lines):
            line = self._take().rstrip()
            if line == f"</{tag}>":
                text = "\n".join(self.lines[opened : self.read - 1])
                if not text.strip():
                    raise self.error(opened, f"<{tag}> is empty; write its text between <{tag}> and </{tag}>")
                # Only trailing empty lines are cut, so that line numbers inside the text stay computable.
                return opened, text.rstrip()
            if _TAG_LINE.fullmatch(line) or line.startswith(_HEADINGS):
                break
            self._check_prompt_safe(line)
        raise self.error(opened, f"<{tag}> is not closed before line {self.read}; put </{tag}> alone on a line")

    def _check_prompt_safe(self, line: str) -> None:
        """Refuse a line at which prompts or completions would be cut."""
        if line.startswith(EXAMPLE_HEADING):
            raise self.error(self.read, f'a line "{EXAMPLE_HEADING}" ends an example in prompts; write it differently')
        if closing := _CLOSING_TAG.search(line):
            raise self.error(self.read, f"{closing[0]} inside a text ends the section in prompts; write it differently")
