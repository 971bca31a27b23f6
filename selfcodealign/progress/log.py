"""What a command says besides its results: how much of it on stderr, and all of it in a log file.

Modules of this package log to `logging.getLogger(__name__)`: stderr shows warnings, with -v also debug lines. Lines
that stderr shows by other means (progress, errors) go to `SAID` as well, which only a log file reads.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from selfcodealign.addresses import REMOVED, hide_secrets, mask
from selfcodealign.errors import UserError, reason_of

if TYPE_CHECKING:
    from rich.console import Console

PACKAGE = logging.getLogger("selfcodealign")
SAID = logging.getLogger("selfcodealign.said")
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}")
_SHORTEST_SECRET = 6
#: The width of tables in a log file.
LOG_COLUMNS = 120


class _Choice:
    """What the options of this process ask for."""

    quiet = False
    verbose = False
    show: Callable[[str], None] | None = None


def open_log() -> None:
    """Show warnings of this package on stderr, and forget what an earlier call in this process chose."""
    for handler in list(PACKAGE.handlers):
        PACKAGE.removeHandler(handler)
        handler.close()
    _Choice.quiet = _Choice.verbose = False
    PACKAGE.setLevel(logging.DEBUG)
    PACKAGE.addHandler(_ToStderr(logging.WARNING))


def be_quiet() -> None:
    """Show no progress: warnings, errors and results only. Raises `UserError` after `be_verbose`."""
    _Choice.quiet = True
    _agree()


def be_verbose() -> None:
    """Show debug lines on stderr. Raises `UserError` after `be_quiet`."""
    _Choice.verbose = True
    _agree()
    for handler in PACKAGE.handlers:
        if isinstance(handler, _ToStderr):
            handler.setLevel(logging.DEBUG)


def is_quiet() -> bool:
    """Whether progress is not to be shown."""
    return _Choice.quiet


def is_verbose() -> bool:
    """Whether details are to be shown."""
    return _Choice.verbose


def log_to(path: Path) -> None:
    """Append everything to a file in an existing folder, with times and without secrets. Raises `UserError`."""
    if not path.parent.is_dir():
        raise UserError(f"--log-file {path}: there is no folder {path.parent}; create it or choose another file")
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UserError(f"--log-file {path}: {reason_of(error)}; choose another file") from None
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(_WithoutSecrets(FORMAT))
    PACKAGE.addHandler(handler)


def report_error(text: str) -> None:
    """Show a user error in one line on stderr."""
    SAID.error("%s", text)
    print_wrapped(f"error: {text}")


def print_wrapped(text: str) -> None:
    """Print on stderr, on a terminal broken between words and not where its width ends."""
    if sys.stderr.isatty() and (width := os.get_terminal_size(sys.stderr.fileno()).columns):
        text = "\n".join(
            textwrap.fill(line, width, replace_whitespace=False, break_long_words=False, break_on_hyphens=False)
            for line in text.split("\n")
        )
    print(text, file=sys.stderr)


def log_drawn(draw: Callable[[Console], None]) -> None:
    """Give a log file the tables that `draw` prints on a console, as text; without a log file, draw nothing."""
    if not any(isinstance(handler, logging.FileHandler) for handler in PACKAGE.handlers):
        return
    from rich.console import Console

    text = io.StringIO()
    draw(Console(file=text, width=LOG_COLUMNS, color_system=None, force_terminal=False, force_jupyter=False))
    for line in text.getvalue().splitlines():
        SAID.info("%s", line.rstrip())


def conceal(text: str) -> str:
    """Replace what may be secret: users and queries of URLs, bearer tokens, values of variables named like a key.

    >>> conceal("http://me:pass@host:8000/v1?key=abc is down")
    'http://***@host:8000/v1?*** is down'
    """
    named = (value for name, value in os.environ.items() if _SECRET_NAME.search(name))
    known = mask(text, (value for value in named if len(value) >= _SHORTEST_SECRET))
    return hide_secrets(_BEARER.sub(rf"\1 {REMOVED}", known), REMOVED)


def _agree() -> None:
    if _Choice.quiet and _Choice.verbose:
        raise UserError("--quiet and --verbose exclude each other")


@contextmanager
def warnings_through(show: Callable[[str], None]) -> Iterator[None]:
    """Within the context `show` gets the lines for stderr: a live display has taken it."""
    _Choice.show = show
    try:
        yield
    finally:
        _Choice.show = None


class _ToStderr(logging.Handler):
    """Writes to the stderr of the moment, or through the live display that has taken it."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == SAID.name:
            return
        line = f"{record.levelname.lower()}: {record.getMessage()}"
        if _Choice.show is not None:
            _Choice.show(line)
        else:
            print_wrapped(line)


class _WithoutSecrets(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return conceal(super().format(record))
