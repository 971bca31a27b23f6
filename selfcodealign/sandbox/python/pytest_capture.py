"""The fixtures that record what a test prints, logs and warns: capsys, capfd, caplog, recwarn."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

_Text = TypeVar("_Text", str, bytes)


class Captured(NamedTuple):
    out: Any
    err: Any


class CaptureFixture(Generic[_Text]):
    """`capsys` and `capsysbinary`: what was printed since the last read."""

    def __init__(self, binary: bool = False) -> None:
        self._binary = binary
        self._before = sys.stdout, sys.stderr
        self._start()

    def _start(self) -> None:
        self._streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2)]
        sys.stdout, sys.stderr = self._streams

    def _take(self) -> list[bytes]:
        taken = []
        for stream in self._streams:
            stream.flush()
            taken.append(stream.buffer.getvalue())  # type: ignore[attr-defined]
            stream.buffer.seek(0)
            stream.buffer.truncate()
        return taken

    def readouterr(self) -> Captured:
        return Captured(*(data if self._binary else data.decode("utf-8", "replace") for data in self._take()))

    @contextmanager
    def disabled(self) -> Iterator[None]:
        captured = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._before
        try:
            yield
        finally:
            sys.stdout, sys.stderr = captured

    def close(self) -> None:
        sys.stdout, sys.stderr = self._before


class FileCapture(CaptureFixture[_Text]):
    """`capfd` and `capfdbinary`: what was written to the descriptors 1 and 2, by whatever means."""

    def _start(self) -> None:
        self._flush()
        self._kept = [os.dup(fd) for fd in (1, 2)]
        self._files = [tempfile.TemporaryFile(buffering=0) for _ in range(2)]  # noqa: SIM115
        self._redirect([file.fileno() for file in self._files])

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()

    def _redirect(self, fds: list[int]) -> None:
        for target, fd in enumerate(fds, start=1):
            os.dup2(fd, target)

    def _take(self) -> list[bytes]:
        self._flush()
        taken = []
        for file in self._files:
            file.seek(0)
            taken.append(file.read())
            file.seek(0)
            file.truncate()
        return taken

    @contextmanager
    def disabled(self) -> Iterator[None]:
        self._flush()
        self._redirect(self._kept)
        try:
            yield
        finally:
            self._flush()
            self._redirect([file.fileno() for file in self._files])

    def close(self) -> None:
        self._flush()
        self._redirect(self._kept)
        for fd in self._kept:
            os.close(fd)
        for file in self._files:
            file.close()


class _Handler(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(levelname)-8s %(name)s:%(filename)s:%(lineno)d %(message)s"))
        self.records: list[logging.LogRecord] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(self.format(record) + "\n")


class LogCaptureFixture:
    """`caplog`: the records that reach the root logger."""

    def __init__(self) -> None:
        self.handler = _Handler()
        self._levels: dict[str | None, int] = {}
        logging.getLogger().addHandler(self.handler)

    @property
    def records(self) -> list[logging.LogRecord]:
        return self.handler.records

    @property
    def text(self) -> str:
        return "".join(self.handler.lines)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    @property
    def record_tuples(self) -> list[tuple[str, int, str]]:
        return [(record.name, record.levelno, record.getMessage()) for record in self.records]

    def get_records(self, when: str) -> list[logging.LogRecord]:
        return self.records if when == "call" else []

    def clear(self) -> None:
        self.handler.records, self.handler.lines = [], []

    def set_level(self, level: int | str, logger: str | None = None) -> None:
        target = logging.getLogger(logger)
        self._levels.setdefault(logger, target.level)
        target.setLevel(level)
        self.handler.setLevel(level)

    @contextmanager
    def at_level(self, level: int | str, logger: str | None = None) -> Iterator[None]:
        target = logging.getLogger(logger)
        before = target.level, self.handler.level
        target.setLevel(level)
        self.handler.setLevel(level)
        try:
            yield
        finally:
            target.setLevel(before[0])
            self.handler.setLevel(before[1])

    @contextmanager
    def filtering(self, chosen: Any) -> Iterator[None]:
        self.handler.addFilter(chosen)
        try:
            yield
        finally:
            self.handler.removeFilter(chosen)

    def close(self) -> None:
        for logger, level in self._levels.items():
            logging.getLogger(logger).setLevel(level)
        logging.getLogger().removeHandler(self.handler)


class WarningsRecorder(warnings.catch_warnings):  # type: ignore[type-arg]
    """`recwarn`, and what `warns` and `deprecated_call` record."""

    def __init__(self) -> None:
        super().__init__(record=True)
        self.list: list[warnings.WarningMessage] = []

    def __enter__(self) -> Any:
        log = super().__enter__()
        assert log is not None
        self.list = log
        warnings.simplefilter("always")
        return self

    def __len__(self) -> int:
        return len(self.list)

    def __iter__(self) -> Iterator[warnings.WarningMessage]:
        return iter(self.list)

    def __getitem__(self, place: int) -> warnings.WarningMessage:
        return self.list[place]

    def pop(self, kind: type[Warning] = Warning) -> warnings.WarningMessage:
        for place, entry in enumerate(self.list):
            if issubclass(entry.category, kind):
                return self.list.pop(place)
        raise AssertionError(f"{kind!r} not found in warning list")

    def clear(self) -> None:
        self.list[:] = []

    def close(self) -> None:
        self.__exit__(None, None, None)
