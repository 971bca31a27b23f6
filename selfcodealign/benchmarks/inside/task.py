"""A task judged by calls, inside the sandbox."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

#: A judge's work comes in parts; each begins with its size in as many digits.
PART_HEAD = 12


class Task:
    """One task's calls, packed by `differential.pack_task` (a pickle of plain builtins).

    `suites` maps a suite's name to its calls: lists of arguments, or texts of arguments where `written`.
    `reference` is the code that computes the expected values; `expected` holds them, by suite, where there is none.
    """

    def __init__(self, data: bytes) -> None:
        fields = pickle.loads(data)
        self.entry_point: str = fields["entry_point"]
        self.reference: str = fields["reference"]
        self.rule: str = fields["rule"]
        self.oracle: str = fields["oracle"]
        self.atol: float = fields["atol"]
        self.floor: float = fields["floor"]
        self.factor: float = fields["factor"]
        self.total: float = fields["total"]
        #: Not packed: it is read after the answers' processes have started.
        self.expected: dict[str, list] = {}
        self._written: bool = fields["written"]
        self._suites: bytes = fields["suites"]

    def calls(self) -> dict[str, list]:
        """Return a fresh copy of every suite's arguments, because functions may change their arguments."""
        suites = pickle.loads(self._suites)
        if self._written:
            return {name: [eval(f"[{text}]", {}) for text in texts] for name, texts in suites.items()}
        return suites

    def find(self, names: dict[str, Any]) -> Callable:
        """Return the function under test from an answer's names; in LeetCode answers it is a method of `Solution`.

        In LiveCodeBench (rule "equal") the method wins, because its prelude has functions of the same names (`count`).
        """
        method = self.rule == "equal" and hasattr(names.get("Solution"), self.entry_point)
        if method or (self.entry_point not in names and "Solution" in names):
            return getattr(names["Solution"](), self.entry_point)
        return names[self.entry_point]
