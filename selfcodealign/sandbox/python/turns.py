"""A budget of turns: an endless mutant ends by a count, the same on every machine, not by a clock.

Each loop body and function of the response begins with `__turn__()`, one step of a C iterator, some 11 ns. When the
budget is spent, it raises, and goes on raising: a program that catches the exception gets no further.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Callable
from itertools import chain, repeat
from operator import length_hint

from selfcodealign.sandbox.python.names import FUNCTIONS, nodes_of

TURN = "__turn__"
UNBOUNDED = 1 << 62
_LEAST, _TIMES, _MORE, _TIMES_MORE = 10_000, 20, 200_000, 3


class OutOfTurns(BaseException):
    """Raised in a program that has spent its budget."""


class Turns:
    """One run's budget; `take` is the program's `__turn__`."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._left = repeat(None, budget)
        self.take: Callable[[], None] = chain(self._left, iter(_raise_out_of_turns, object())).__next__

    @property
    def used(self) -> int:
        return self._budget - length_hint(self._left)

    @property
    def spent(self) -> bool:
        return length_hint(self._left) == 0

    def end(self) -> None:
        """Spend what is left: loops in threads that a run has left behind end at their next turn."""
        if self._budget < UNBOUNDED:
            deque(self._left, maxlen=0)


def budget_of(own: int) -> int:
    """Return the budget of a mutant whose original takes `own` turns.

    Mutants that end need at most 9.5 times their original's turns; where the original itself is long, many times its
    turns would take longer than the clock allows.
    """
    return max(_LEAST, min(_TIMES * own, _MORE + _TIMES_MORE * own))


def mark_turns(tree: ast.Module) -> None:
    """Begin every function and loop body with `__turn__()`."""
    for node in nodes_of(tree):
        if isinstance(node, (*FUNCTIONS, ast.For, ast.AsyncFor, ast.While)):
            has_docstring = isinstance(node, FUNCTIONS) and ast.get_docstring(node, clean=False) is not None
            node.body.insert(int(has_docstring), _turn_at(node))


def _turn_at(node: ast.stmt) -> ast.Expr:
    name = ast.copy_location(ast.Name(TURN, ast.Load()), node)
    return ast.copy_location(ast.Expr(ast.copy_location(ast.Call(name, [], []), node)), node)


def _raise_out_of_turns() -> None:
    raise OutOfTurns("took many times the turns of the original")
