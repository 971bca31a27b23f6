"""One DuckDB with bounded memory for all questions of the explorer; a question may be broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import duckdb

Result = TypeVar("Result")
#: Of the server's memory, that of all questions at once.
MEMORY = "400MB"
#: Seconds after which a question is broken off.
MOST_SECONDS = 30.0
#: Questions at once; others wait.
_AT_ONCE = 4


class TooSlow(Exception):
    """A question took longer than it may."""


class TooLarge(Exception):
    """A question needs more memory than it may take."""


class Database:
    """Questions in threads, each on a cursor; when its asker is cancelled or the time is over, it is interrupted."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(
            config={
                "memory_limit": MEMORY,
                "threads": 2,
                "temp_directory": "",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
            }
        )
        self._connection.execute("SET enable_progress_bar=false")
        self._connection.execute("SET parquet_metadata_cache=true")
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="explorer")

    async def ask(
        self, question: Callable[[duckdb.DuckDBPyConnection], Result], seconds: float = MOST_SECONDS
    ) -> Result:
        """Return what a question of a cursor returns. Raises `TooSlow` and `TooLarge`."""
        cursor = self._connection.cursor()
        work = asyncio.get_running_loop().run_in_executor(self._threads, question, cursor)
        try:
            return await asyncio.wait_for(asyncio.shield(work), seconds)
        except TimeoutError:
            raise TooSlow from None
        except duckdb.OutOfMemoryException:
            raise TooLarge from None
        finally:
            if not work.done():
                cursor.interrupt()
                work.add_done_callback(_forget)
            else:
                cursor.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a cursor for a thread of the caller's."""
        return self._connection.cursor()

    def close(self) -> None:
        """Break off what is under way."""
        self._connection.interrupt()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._connection.close()


def _forget(work: asyncio.Future[Any]) -> None:
    """Take note of the error of a question whose asker is gone."""
    if not work.cancelled():
        work.exception()


def fetch(cursor: duckdb.DuckDBPyConnection, query: str, given: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Return the rows of a query by column."""
    cursor.execute(query, list(given))
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
