"""A command on a pseudo-terminal, and what is on its screen: as much of a terminal as rich uses."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PART = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|(\x1b.?)")


@dataclass
class Screen:
    """All lines that were written, scrolled-off ones included; `longest` is the longest that ever stood there."""

    width: int
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    longest: int = 0

    def feed(self, text: str) -> None:
        for control, letter, move, words, _ in _PART.findall(text):
            if words:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + words + line[self.column + len(words) :]
                self.column += len(words)
                self.longest = max(self.longest, len(self.lines[self.row].rstrip()))
            elif move == "\r":
                self.column = 0
            elif move == "\n":
                self.row += 1
                self.lines += [""] * (self.row == len(self.lines))
            elif letter == "A":
                self.row = max(0, self.row - int(control or 1))
            elif letter == "K":
                self.lines[self.row] = "" if control == "2" else self.lines[self.row][: self.column]

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


@dataclass
class Shown:
    """How a command ended, its screen, the frames on the way, and the seconds until something was seen."""

    code: int
    screen: Screen
    frames: list[str]
    first: float


def show(command: Sequence[str], *, cwd: Path, width: int = 80, seconds: float = 200) -> Shown:
    """Run a command whose stdin, stdout and stderr are a terminal of `width` columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    left_out = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2])}
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment, start_new_session=True
    )
    os.close(theirs)
    screen, frames, first = Screen(width), [], 0.0
    rest = b""
    while time.monotonic() - began < seconds:
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the terminal is closed when its last process ends
            break
        if not part:
            break
        first = first or time.monotonic() - began
        rest += part
        cut = max(rest.rfind(b"\n"), rest.rfind(b"\r"), rest.rfind(b"m")) + 1
        screen.feed(rest[:cut].decode("utf-8"))
        rest = rest[cut:]
        frames.append(screen.text())
    screen.feed(rest.decode("utf-8"))
    os.close(ours)
    return Shown(process.wait(20), screen, frames, first)
