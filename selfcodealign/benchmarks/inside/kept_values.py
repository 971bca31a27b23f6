"""Expected values that outlive the judge: packed here, stored by the caller, read by a later judge of the same task."""

from __future__ import annotations

import base64
import marshal
import zlib
from typing import Any

from selfcodealign.benchmarks.inside.values import LARGE

#: Most bytes of a task's packed values, so that a report can take them; later values are computed again.
MOST_BYTES = 3 << 20
_ATOMS = frozenset({int, float, complex, str, bytes, bool, type(None)})


class KeptValues:
    """The first values of each suite, each with the seconds that the reference took."""

    def __init__(self, suites: list[str], data: bytes = b"") -> None:
        """`data` is what an earlier judge of the same task packed."""
        self._packed: dict[str, list[tuple[bytes, float]]] = {name: [] for name in suites}
        if data:
            self._packed |= marshal.loads(zlib.decompress(data))
        self._bytes = sum(len(one) for values in self._packed.values() for one, _ in values)
        self._grown = False

    def values(self, suite: str) -> list[tuple[Any, float]]:
        """Return a suite's values, new objects at each call."""
        return [(marshal.loads(data), seconds) for data, seconds in self._packed[suite]]

    def add(self, suite: str, number: int, value: Any, seconds: float) -> None:
        """Keep the value of call `number` if it is the next one, plain, and small enough."""
        values = self._packed[suite]
        if number != len(values) or not _is_plain(value):
            return
        data = marshal.dumps(value)
        if self._bytes + len(data) <= MOST_BYTES:
            values.append((data, seconds))
            self._bytes += len(data)
            self._grown = True

    def text(self) -> str:
        """Return all values as text for a report; "" where nothing is new."""
        if not self._grown:
            return ""
        return base64.b64encode(zlib.compress(marshal.dumps(self._packed), 1)).decode("ascii")


def _is_plain(value: Any) -> bool:
    """Whether marshal gives back the same value with the same types; false for large collections."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind in (list, tuple, set, frozenset):
        return len(value) < LARGE and all(map(_is_plain, value))
    return kind is dict and len(value) < LARGE and all(_is_plain(key) and _is_plain(one) for key, one in value.items())
