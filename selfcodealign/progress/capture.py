"""Keep what other code writes to the terminal away from the bars: warnings, logging, child processes, C libraries.

The file descriptor itself is exchanged, because child processes and C code write to it without asking Python. A file
takes the lines, not a pipe: a process that outlives the display can go on writing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import deque
from typing import Self

from rich.console import Console, ConsoleDimensions

from selfcodealign.errors import UserError

#: Lines shown when an error ends the work that is not the user's to fix.
SHOWN_AFTER_A_CRASH = 20


class Capture:
    """Within the context, stderr (and stdout, where it is a terminal) is a temporary file.

    `screen` is the terminal. `sys.stdout` stays with the code that draws there.
    """

    def __enter__(self) -> Self:
        self._taken = [2] + [1] * os.isatty(1)
        self._flush()
        self._kept = [os.dup(number) for number in self._taken]
        self._file = tempfile.TemporaryFile()
        self._place, self._rest = 0, b""
        self._last: deque[str] = deque(maxlen=SHOWN_AFTER_A_CRASH)
        self.screen = Terminal(os.dup(2))
        for number in self._taken:
            os.dup2(self._file.fileno(), number)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._flush()
        self.read()
        for number, kept in zip(self._taken, self._kept, strict=True):
            os.dup2(kept, number)
            os.close(kept)
        self.screen.file.close()
        self._file.close()
        if kind is not None and issubclass(kind, Exception) and not issubclass(kind, UserError):
            sys.stderr.writelines(f"{line}\n" for line in self._last)

    def read(self) -> list[str]:
        """Return the lines that have been written since the last call."""
        found = b""
        while part := os.pread(self._file.fileno(), 1 << 16, self._place):
            self._place += len(part)
            found += part
        *lines, self._rest = (self._rest + found).split(b"\n")
        # A bar of tqdm is one line, rewritten many times.
        texts = [line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace") for line in lines]
        self._last.extend(texts)
        return texts

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


class Terminal(Console):
    """The terminal of a file descriptor. rich itself would ask the descriptors 0 to 2 how wide it is."""

    def __init__(self, number: int) -> None:
        super().__init__(file=os.fdopen(number, "w", encoding="utf-8", errors="replace"))

    @property
    def size(self) -> ConsoleDimensions:  # type: ignore[override]  # the setter of rich's is not needed
        columns, lines = os.get_terminal_size(self.file.fileno())
        if not columns or "COLUMNS" in os.environ:
            return super().size
        return ConsoleDimensions(columns, lines)
