"""Errors, one class for each cause that a person can act on.

A bad row is data: it becomes a `rows.Dropped` with a reason, and the run continues. An error stops the run until a
person has fixed its cause. Each message is one sentence that names the fix; the command line prints it without a
traceback and exits with the class's `exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from selfcodealign.addresses import hide_secrets
from selfcodealign.installation import install_extra


class UserError(Exception):
    """Something the user can fix: a path, a setting, a server, the disk. Addresses are shown without secrets."""

    exit_code = 2

    def __init__(self, message: object = "") -> None:
        super().__init__(hide_secrets(str(message)))


class RecipeError(UserError):
    """A recipe or a setting is wrong."""


class SourceError(UserError):
    """A source of seeds cannot be found or read."""


class CheckerError(UserError):
    """A tool that checks seeds is not installed, or does not work here."""


class FewShotError(UserError):
    """A few-shot file is broken; the message names file and line."""


class ModelError(UserError):
    """A model cannot be loaded, or a server cannot be reached or answers nonsense."""


class SandboxError(UserError):
    """The sandbox cannot start, or it failed; never a verdict on a program."""


class BenchmarkError(UserError):
    """A benchmark is unknown, or its problems or the samples to judge cannot be fetched or read."""


class TrainingError(UserError):
    """Training cannot start or continue: the data set, the masking, the settings or the output folder is wrong."""


class ExperimentError(UserError):
    """An experiment over several runs cannot be made: what is varied, its folder, or its arms' data sets are wrong."""


class ExportError(UserError):
    """A run or data set cannot be exported in the requested format."""


class PublishError(UserError):
    """A data set or a model cannot be brought to the hub: it, the repository, the token or the hub is at fault."""


class EmptyDataset(UserError):
    """A run has ended, and no row is left for the data set; the message says which stage dropped everything and why."""

    exit_code = 3


class RunFolderError(UserError):
    """The run folder cannot be used: locked, torn, read-only, or the disk is full."""


class MissingExtra(UserError):
    """A required optional dependency is not installed."""

    def __init__(self, what: str, extra: str, otherwise: str = "") -> None:
        super().__init__(f"{what} needs an optional dependency: {install_extra(extra)}{otherwise}")


class RenamedWarning(FutureWarning):
    """A setting is given under its name in the previous release; the message says which name to use."""


class BooksDoNotBalance(Exception):
    """Rows in differ from rows kept + dropped: a bug in this program, never in the data."""


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return `; did you mean "x"?` for the closest of `known`, or an empty string if none is as like (0..1)."""
    close = get_close_matches(word, list(known), n=1, cutoff=likeness)
    return f'; did you mean "{close[0]}"?' if close else ""


def kinds_of(error: BaseException) -> set[str]:
    """Return the names of the classes of an error and of its causes: libraries need not be imported to tell them."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return {type(cause).__name__ for cause in causes}


#: Errors of HTTP clients and of the hub's library, by name.
_UNREACHABLE = {"LocalEntryNotFoundError", "OfflineModeIsEnabled"} | {
    "ConnectError",
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
}


def is_unreachable(error: BaseException) -> bool:
    """Return whether an error says that the hub could not be reached."""
    return bool(kinds_of(error) & _UNREACHABLE)


def reason_of(error: BaseException) -> str:
    """Return the message of a system or library error, in one line of at most 200 characters."""
    text = (getattr(error, "strerror", None) or str(error)).strip() or type(error).__name__
    return text.splitlines()[0][:200]
