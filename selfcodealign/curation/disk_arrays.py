"""Arrays in files without a name, so that nothing is left of them when the process ends, however it ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from selfcodealign.errors import RunFolderError, reason_of


class DiskArray:
    """An array that grows at its end and is read as a whole, through the memory that the system has to spare."""

    def __init__(self, kind: Any, folder: Path | None) -> None:
        """`folder`: where the file is; None: the system's folder for temporary files."""
        self.kind = np.dtype(kind)
        self.length = 0
        self._folder = folder
        with self._writing():
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # it is closed with the array

    def append(self, values: np.ndarray) -> None:
        """Add values at the end. Raises `RunFolderError` if there is no room."""
        with self._writing():
            self._file.write(np.ascontiguousarray(values, self.kind).data)
        self.length += values.size

    def extend(self, length: int) -> None:
        """Add zeros up to this length. The room is taken now: a write through `view` could not report that it lacks."""
        if length > self.length:
            with self._writing():
                self._file.flush()
                os.posix_fallocate(self._file.fileno(), 0, length * self.kind.itemsize)
            self.length = length

    def view(self) -> np.ndarray:
        """The values so far, which may be changed in place."""
        if not self.length:
            return np.empty(0, self.kind)
        with self._writing():
            self._file.flush()
        return np.asarray(np.memmap(self._file, self.kind, "r+", shape=(self.length,)))

    def close(self) -> None:
        """Give the file up; its views stay valid."""
        self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = self._folder or tempfile.gettempdir()
            raise RunFolderError(
                f"cannot keep what rows are compared by in {where}: {reason_of(error)}; make room, then run the same "
                "command to resume"
            ) from error
