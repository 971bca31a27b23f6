"""What two processes have in common although they are two: working directory, environment, arguments, a few numbers."""

from __future__ import annotations

import decimal
import os
import sys
from typing import Any


class Ambient:
    """What a process has that the other should have, too, as the other side last knew it.

    Working directory, environment, arguments, recursion limit, and precision and rounding of decimals.
    """

    def __init__(self) -> None:
        self._note()

    def _note(self) -> None:
        self._folder, self._arguments = _folder(), list(sys.argv)
        self._environment = dict(os.environ._data)  # type: ignore[attr-defined]  # the bytes: cheap to compare
        self._numbers = _numbers()

    def changed(self) -> list[Any] | None:
        """Return what the other side has to know, or None if nothing has changed."""
        same = os.environ._data == self._environment and sys.argv == self._arguments  # type: ignore[attr-defined]
        if same and _folder() == self._folder and _numbers() == self._numbers:
            return None
        self._note()
        return [self._folder, dict(os.environ), self._arguments, self._numbers]

    def set(self, ambient: list[Any]) -> None:
        """Take over what the other side has changed."""
        folder, environment, arguments, (depth, precision, rounding) = ambient
        if folder:
            os.chdir(str(folder))
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update({str(name): str(value) for name, value in environment.items()})
        sys.argv[:] = map(str, arguments)
        sys.setrecursionlimit(depth)
        context = decimal.getcontext()
        context.prec, context.rounding = precision, rounding
        self._note()


def _numbers() -> list[Any]:
    context = decimal.getcontext()
    return [sys.getrecursionlimit(), context.prec, context.rounding]


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
