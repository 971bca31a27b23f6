"""A pool of processes for work without a model, safe in scripts without a main guard, in notebooks and on stdin.

A new process of `multiprocessing` imports the user's main script, which would start the run again in every process.
Here `__main__` is hidden while a process starts. What a process needs must therefore be in a module.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from types import FunctionType, ModuleType
from typing import Any

from selfcodealign.errors import RecipeError, UserError
from selfcodealign.rows import Outcome, Row

#: Killed processes after which a row that was under way each time is taken for the cause.
_TRIES = 5


@contextmanager
def work_in_processes(
    name: str, work: Callable[[Any], Outcome[Any]], given: type[Row] | None
) -> Iterator[Callable[[Any], Awaitable[Outcome[Any]]]]:
    """Give `work` of the stage `name` as a coroutine function that calls it in a pool of processes.

    Raises `RecipeError` when the work, or the type of the rows it is given, is defined in the main script. The work
    raises `UserError` for a row that was under way each time that processes were killed.
    """
    _refuse_main(name, (work, given))
    _start_tracker()
    processes = _Processes(name, work)
    try:
        yield processes.work_on
    finally:
        processes.pool.shutdown()


class _Processes:
    """A pool that is replaced when one of its processes is killed, as by a system without memory."""

    def __init__(self, name: str, work: Callable[[Any], Outcome[Any]]) -> None:
        self._name, self._work = name, work
        self.pool = self._open()

    async def work_on(self, row: Any) -> Outcome[Any]:
        for _ in range(_TRIES):
            pool = self.pool
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, self._work, row)
            except BrokenProcessPool:
                if self.pool is pool:  # the first of the rows that were under way
                    pool.shutdown(wait=False)
                    self.pool = self._open()
        raise UserError(
            f"{self._name}: processes of this stage were killed {_TRIES} times, perhaps for lack of memory; the row "
            f"{row.id} was under way each time. All finished rows are on disk, and the same command resumes"
        )

    @staticmethod
    def _open() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(os.cpu_count() or 1, _Context(), initializer=_follow_run)


def _start_tracker() -> None:
    """Start the process that cleans up the semaphores of a killed run, told not to warn of each."""
    sys.warnoptions.append("ignore:resource_tracker")  # it is started with these
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.pop()


def _follow_run() -> None:
    """End this process when the run ends, however it does, and not before.

    Ctrl-C reaches every process of a terminal; the pool's are told by the main one. A main one that is killed tells
    nothing, and a process of the pool would wait for work for ever, since it holds both ends of its queue. The fork
    server (the parent here) would wait for the pool. What ends with the run is a pipe, whose end makes the kernel send
    SIGIO, which ends this process whatever it is doing; the fork server follows.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = multiprocessing.parent_process()  # not the fork server: the process that asked for this one
    assert run is not None
    pipe = run.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if not run.is_alive():  # killed before the call above
        os._exit(1)


class _Process(ForkServerProcess):
    def start(self) -> None:
        """Start the process, and the fork server before the first one; neither sees which script is running."""
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class _Context(ForkServerContext):
    Process = _Process


def _refuse_main(name: str, things: object) -> None:
    """Raise `RecipeError` if pickled `things` refer to the main script."""

    class Finder(pickle.Pickler):
        def persistent_id(self, obj: Any) -> None:
            if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
                raise RecipeError(
                    f'the stage "{name}" works in other processes, which do not see the main script: move '
                    f"{obj.__qualname__} to a file of its own and import it, or leave out cpu=True"
                )

    Finder(io.BytesIO()).dump(things)
