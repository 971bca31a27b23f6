"""What can go wrong, told apart by who has to act.

A bad row is data: it becomes `rows.Dropped` with a reason and the run goes on. Everything here is the other case:
something a person has to fix before the run can go on. Each message is one sentence that names the fix; the command
line prints it without a traceback and exits with the class's `exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can fix: a path, a setting, a server, the disk."""

    exit_code = 2


class RecipeError(UserError):
    """A recipe or a setting is wrong."""


class SourceError(UserError):
    """Source code to take seeds from cannot be found or read at all."""


class FewShotError(UserError):
    """A few-shot file is broken; the message names file and line."""


class ModelError(UserError):
    """A model cannot be loaded or a server cannot be reached or answers nonsense."""


class SandboxError(UserError):
    """The sandbox cannot start or broke; never a verdict on a program."""


class BenchmarkError(UserError):
    """A benchmark is unknown, or its problems or the samples to judge cannot be had or read."""


class TrainingError(UserError):
    """Training cannot start or go on: the data set, the masking, the settings or the output folder are wrong."""


class ExportError(UserError):
    """A run or data set cannot be exported in the format that was asked for."""


class RunFolderError(UserError):
    """The run folder cannot be used: locked, torn, read-only, or the disk is full."""


class MissingExtra(UserError):
    """An optional dependency is needed that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'selfcodealign[{extra}]'")


class RenamedWarning(FutureWarning):
    """A setting is given under the name that it had in the release before; the message says which name to use."""


class BooksDoNotBalance(Exception):
    """Rows in differ from rows kept + dropped: a defect of this program, never of the data."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the closest of `known`, or an empty string when nothing is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def reason_of(error: BaseException) -> str:
    """What an error of the system or of a library says, in one line of at most 200 characters."""
    text = (getattr(error, "strerror", None) or str(error)).strip() or type(error).__name__
    return text.splitlines()[0][:200]
