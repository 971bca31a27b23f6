"""Oracles for tasks whose correct answers may differ from the reference's.

The tasks and the accepted values are those of EvalPlus (`eval/_special_oracle.py`) and EvoEval
(`eval_test/`); the checks are written for this package. An oracle takes the answer's value, whether its type was not
a plain one, the reference's value and the call's arguments.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from selfcodealign.benchmarks.inside.values import OPAQUE, Check, Tolerance, alike, equal

# MBPP tasks whose answer is a collection in any order, by function.
UNORDERED = frozenset(
    {"similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum"}
    | {"intersection_array", "find_dissimilar", "Diff"}
)
# MBPP tasks that return a match object or a text: only its presence counts.
PRESENCE = frozenset({"check_str", "text_match_three", "text_starta_endb"})
# HumanEval/32, also in EvoEval's rewording; EvoEval's own check of it raises for every answer.
_ROOTS = frozenset({("humaneval", "find_zero"), ("evoeval", "verbose/32"), ("evoeval", "concise/32")})


def find_check(rule: str, name: str, atol: float) -> Check:
    """Return the check for one suite of calls.

    `rule` is "mbpp", "humaneval" or "evoeval" ("equal": plain equality, lists and tuples alike); `name` is the
    function for the first two and "set/number" for EvoEval.
    """
    if rule == "equal":
        return lambda out, foreign, expected, arguments: equal(list(out) if isinstance(out, tuple) else out, expected)
    if rule == "evoeval" and (rule, name) not in _ROOTS:
        special = _EVOEVAL.get(name)
        return special or (lambda out, foreign, expected, arguments: alike(out, expected))
    tolerance = Tolerance(atol)
    if (rule, name) in _ROOTS:
        return lambda out, foreign, expected, arguments: abs(_polynomial(arguments[0], out)) <= atol
    if rule == "mbpp" and (name in UNORDERED or name in PRESENCE or name in _MBPP):
        return _mbpp_check(name, tolerance)
    return lambda out, foreign, expected, arguments: tolerance.accepts(out, foreign, expected)


def has_oracle(rule: str, name: str) -> bool:
    """Whether values other than the reference's may be correct, so that a hash does not suffice."""
    if rule == "mbpp":
        return name in UNORDERED or name in PRESENCE or name in _MBPP
    return (rule, name) in _ROOTS or (rule == "evoeval" and name in _EVOEVAL)


def _mbpp_check(name: str, tolerance: Tolerance) -> Check:
    def check(out: Any, foreign: bool, expected: Any, arguments: list) -> bool:
        if name in UNORDERED:
            exact = set(out) == set(expected)
        elif name in PRESENCE:
            # `expected` is whether the reference found something.
            exact = out == expected if isinstance(out, bool) else expected == (out is not None)
        else:
            exact = equal(out, expected) or _MBPP[name](out, arguments, tolerance.atol)
        return tolerance.accepts(out, foreign, expected, exact)

    return check


def _polynomial(coefficients: list, x: float) -> float:
    """c0 + c1·x + c2·x² + … as a sum of powers, not by Horner's method: the tolerance applies to this sum."""
    return sum(coefficient * float(x) ** power for power, coefficient in enumerate(coefficients))


def _pyramid_surface(base_edge: float, height: float) -> int:
    """Surface of a square pyramid with `height` as the perpendicular height (the statement is ambiguous)."""
    slant = ((base_edge / 2) ** 2 + height**2) ** 0.5
    return round(base_edge**2 + 2 * base_edge * slant)


def _digit_distance(first: int, second: int) -> int:
    """Sum of digit differences after padding the shorter number with zeros."""
    a, b = str(first), str(second)
    width = max(len(a), len(b))
    return sum(abs(int(x) - int(y)) for x, y in zip(a.zfill(width), b.zfill(width), strict=True))


_MBPP = {
    # The statement does not define the comparison: any answer is accepted.
    "are_equivalent": lambda out, arguments, atol: True,
    # The sum of the proper divisors of a prime or of 1: both 0 and 1 are accepted.
    "sum_div": lambda out, arguments, atol: out == 0,
    "surface_Area": lambda out, arguments, atol: out is not OPAQUE and abs(out - _pyramid_surface(*arguments)) <= atol,
    "digit_distance_nums": lambda out, arguments, atol: out == _digit_distance(*arguments),
}


def _longer_palindrome(out: Any, foreign: bool, expected: Any, arguments: list) -> bool:
    lowered = out.lower()
    return len(out) == len(expected) and out.startswith(arguments[0]) and lowered == lowered[::-1]


def _root_in_interval(out: Any, foreign: bool, expected: Any, arguments: list) -> bool:
    if expected is None:
        return out is None
    coefficients, (start, end) = arguments
    return start <= out <= end and abs(_polynomial(coefficients, out)) <= 2e-2


def _root_of_odd(out: Any, foreign: bool, expected: Any, arguments: list) -> bool:
    # The list gives the coefficients of 1, x, x³, x⁵, …
    given = arguments[0]
    spread = list(given[:2])
    for coefficient in given[2:]:
        spread += [0, coefficient]
    return abs(_polynomial(spread, out)) <= 1e-6


_STEPS = {"right": (0, 1), "left": (0, -1), "up": (-1, 0), "down": (1, 0)}


def _walk_maze(out: Any, foreign: bool, expected: Any, arguments: list) -> bool:
    maze, start, end = arguments
    if not expected:
        return out == []
    row, column = start
    for move in out:
        row, column = row + _STEPS[move][0], column + _STEPS[move][1]
        if maze[row][column] == 1:
            return False
    return (row, column) == tuple(end)


def _walk_path(out: Any, foreign: bool, expected: Any, arguments: list) -> bool:
    maze, start, end = arguments
    if not expected:
        return out == []
    if out[0] != start or out[-1] != end:
        return False
    steps = pairwise(out)
    return all(maze[x][y] != 0 and abs(x - a) + abs(y - b) == 1 for (a, b), (x, y) in steps)


def _magic_product(out: Any, foreign: bool, expected: Any, arguments: list) -> bool:
    if isinstance(expected, str):
        return out == expected
    numbers, target = arguments
    first, second = out
    return isinstance(out, tuple) and 0 <= first < second < len(numbers) and numbers[first] * numbers[second] == target


_EVOEVAL: dict[str, Check] = {
    "difficult/10": _longer_palindrome,
    "difficult/32": _root_in_interval,
    "creative/26": _walk_maze,
    "creative/30": _walk_path,
    "creative/69": _magic_product,
    "subtle/32": _root_of_odd,
}
