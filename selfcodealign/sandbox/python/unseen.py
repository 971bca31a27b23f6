"""Failures of tests that nobody sees: exceptions of threads, of futures that are never read, of forgotten tasks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

from selfcodealign.sandbox.python.evidence import Evidence


def watch(evidence: Evidence) -> None:
    """In the program's process: report to the evidence what threads, futures and tasks of the tests raise."""
    _watch_threads(evidence)
    _watch_futures(evidence)
    _watch_tasks(evidence)


def _watch_threads(evidence: Evidence) -> None:
    show = threading.excepthook

    def note(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            evidence.note_unseen(arguments.exc_value)
        show(arguments)

    threading.excepthook = note


def _watch_futures(evidence: Evidence) -> None:
    """An exception counts from when it is set until somebody asks the future for its result."""
    set_exception, result, exception = Future.set_exception, Future.result, Future.exception
    unread = evidence.unread

    def note(self: Future[Any], error: BaseException | None) -> None:
        if error is not None:
            unread[self] = error
        set_exception(self, error)

    def read_result(self: Future[Any], timeout: float | None = None) -> Any:
        try:
            return result(self, timeout)
        finally:
            unread.pop(self, None)
            del self  # as the original does: an exception must not keep its future alive

    def read_exception(self: Future[Any], timeout: float | None = None) -> BaseException | None:
        found = exception(self, timeout)
        unread.pop(self, None)
        return found

    Future.set_exception = note  # type: ignore[method-assign]
    Future.result, Future.exception = read_result, read_exception  # type: ignore[method-assign]


def _watch_tasks(evidence: Evidence) -> None:
    call_handler = asyncio.BaseEventLoop.call_exception_handler

    def note(self: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        if isinstance(error := context.get("exception"), BaseException):
            evidence.note_unseen(error)
        call_handler(self, context)

    asyncio.BaseEventLoop.call_exception_handler = note  # type: ignore[method-assign]
