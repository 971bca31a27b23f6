"""Failures of tests that nobody sees: exceptions of threads, of futures that are never read, of forgotten tasks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

from selfcodealign.sandbox.python.evidence import Evidence

_current: list[Evidence] = []  # of the version that runs: mutants follow one another in one process


def watch(evidence: Evidence) -> None:
    """In the program's process: report to the evidence what threads, futures and tasks of the tests raise."""
    if not _current:
        _watch_threads()
        _watch_futures()
        _watch_tasks()
    _current[:] = [evidence]


def _watch_threads() -> None:
    show = threading.excepthook

    def note(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            _current[0].note_unseen(arguments.exc_value)
        show(arguments)

    threading.excepthook = note


def _watch_futures() -> None:
    """An exception counts from when it is set until somebody asks the future for its result."""
    set_exception, result, exception = Future.set_exception, Future.result, Future.exception

    def note(self: Future[Any], error: BaseException | None) -> None:
        if error is not None:
            _current[0].unread[self] = error
        set_exception(self, error)

    def read_result(self: Future[Any], timeout: float | None = None) -> Any:
        try:
            return result(self, timeout)
        finally:
            _current[0].unread.pop(self, None)
            del self  # as the original does: an exception must not keep its future alive

    def read_exception(self: Future[Any], timeout: float | None = None) -> BaseException | None:
        found = exception(self, timeout)
        _current[0].unread.pop(self, None)
        return found

    Future.set_exception = note  # type: ignore[method-assign]
    Future.result, Future.exception = read_result, read_exception  # type: ignore[method-assign]


def _watch_tasks() -> None:
    call_handler = asyncio.BaseEventLoop.call_exception_handler

    def note(self: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        if isinstance(error := context.get("exception"), BaseException):
            _current[0].note_unseen(error)
        call_handler(self, context)

    asyncio.BaseEventLoop.call_exception_handler = note  # type: ignore[method-assign]
