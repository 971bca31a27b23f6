"""What the pages tell people to type: commands of shell blocks, of indented lines and of running text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "comparisons").glob("*.md"),
        ROOT / "tiny" / "README.md",
    ]
)

#: The languages of blocks whose lines are typed.
SHELLS = ("sh", "bash", "console", "shell")
PROGRAMS = ("selfcodealign", "python", "python3", "pip", "make")


@dataclass(frozen=True)
class Typed:
    """One command as a page prints it."""

    page: str
    text: str
    mentioned: bool = False  # in running text, where arguments may be left out

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def program(self) -> str:
        return Path(self.words[0]).name

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language that begin at the margin."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def typed_on(page: Path) -> Iterator[Typed]:
    """Every command of a page, in order of the kinds: shell blocks, indented lines, running text."""
    name = str(page.relative_to(ROOT))
    for language in SHELLS:
        for block in blocks(page, language):
            for line in block.replace("\\\n", " ").splitlines():
                if language == "console" and not line.startswith("$ "):
                    continue  # what the command prints
                if shlex.split(line.removeprefix("$ "), comments=True):
                    yield Typed(name, " ".join(line.removeprefix("$ ").split()))
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for line in re.findall(r"^    (.*)", prose, re.MULTILINE):
        if line.split()[0:1] and line.split()[0] in PROGRAMS:
            yield Typed(name, line)
    for text in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
        words = text.split()
        if len(words) > 1 and Path(words[0]).name in PROGRAMS and "\\n" not in text:
            yield Typed(name, " ".join(words), mentioned=True)


TYPED = list(dict.fromkeys(command for page in PAGES for command in typed_on(page)))
