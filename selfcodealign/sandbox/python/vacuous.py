"""Assertions that hold for almost every wrong answer, although they compare something."""

from __future__ import annotations

import ast
from collections.abc import Callable, Set

from selfcodealign.sandbox.python.names import asks_type_only, called_name, nodes_of, words_in

_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_COMPARING: dict[str, type[ast.cmpop]] = {
    "assertGreaterEqual": ast.GtE,
    "assertGreater": ast.Gt,
    "assertLessEqual": ast.LtE,
    "assertLess": ast.Lt,
    "assertNotEqual": ast.NotEq,
}
_NEVER_NEGATIVE = frozenset({"len", "abs"})
_BROAD = frozenset({"Exception", "BaseException"})


def says_little(asserted: ast.expr, own_functions: Set[str], derived: Callable[[], Set[str]]) -> bool:
    """Whether an assertion is met by almost every wrong answer.

    A length is at least 0; an attribute exists; a function is true; one of several cases holds; a tolerance is as large
    as the value itself. `derived` finds the names of the response and those whose values derive from them.
    """
    if isinstance(asserted, ast.Call) and called_name(asserted) in ("assertTrue", "bool") and asserted.args:
        return says_little(asserted.args[0], own_functions, derived)
    if isinstance(asserted, ast.BoolOp) and isinstance(asserted.op, ast.And):
        parts = asserted.values
        return all(says_little(part, own_functions, derived) or asks_type_only(part, own_functions) for part in parts)
    compared = _comparison(asserted)
    return (
        (compared is not None and (_is_bound_of_length(*compared) or _is_far_tolerance(*compared)))
        or _asks_for_presence(asserted, own_functions)
        or _needs_one_case_only(asserted, own_functions, derived)
        or _has_far_tolerance(asserted)
    )


def accepts_any_error(expecting: ast.expr) -> bool:
    """Whether `raises(Exception)` or `assertRaises(Exception)` accepts whatever goes wrong, also a NameError."""
    if not isinstance(expecting, ast.Call) or called_name(expecting) not in ("raises", "assertRaises"):
        return False
    expected = expecting.args[:1]
    is_broad = not expected or (isinstance(expected[0], ast.Name) and expected[0].id in _BROAD)
    return is_broad and not any(keyword.arg in ("match", "check") for keyword in expecting.keywords)


def _comparison(asserted: ast.expr) -> tuple[ast.expr, type[ast.cmpop], ast.expr] | None:
    """The sides and the operator of `a < b` or `assertLess(a, b)`."""
    if isinstance(asserted, ast.Compare) and len(asserted.ops) == 1:
        return asserted.left, type(asserted.ops[0]), asserted.comparators[0]
    name = called_name(asserted)
    if isinstance(asserted, ast.Call) and name in _COMPARING and len(asserted.args) >= 2:
        return asserted.args[0], _COMPARING[name], asserted.args[1]
    return None


def _is_bound_of_length(left: ast.expr, operator: type[ast.cmpop], right: ast.expr) -> bool:
    """`len(x) >= 0`, `0 <= len(x)`, `len(x) > -1`, `len(x) != -1`."""
    if called_name(right) in _NEVER_NEGATIVE and operator in _FLIPPED:
        left, operator, right = right, _FLIPPED[operator], left
    bound = _number(right)
    if called_name(left) not in _NEVER_NEGATIVE or bound is None:
        return False
    return bound < 0 if operator in (ast.Gt, ast.NotEq) else operator is ast.GtE and bound <= 0


def _asks_for_presence(asserted: ast.expr, own_functions: Set[str]) -> bool:
    """`hasattr(x, "push")`, `callable(add)`, `add`, `"push" in dir(x)`."""
    if called_name(asserted) in ("hasattr", "callable", "assertHasAttr"):
        return True
    if isinstance(asserted, ast.Name):
        return asserted.id in own_functions
    if isinstance(asserted, ast.Compare) and len(asserted.ops) == 1 and isinstance(asserted.ops[0], ast.In):
        return called_name(asserted.comparators[0]) == "dir"
    return isinstance(asserted, ast.GeneratorExp | ast.Lambda)


def _needs_one_case_only(asserted: ast.expr, own_functions: Set[str], derived: Callable[[], Set[str]]) -> bool:
    """Whether one case of several suffices: `any(add(a, b) == c for a, b, c in cases)`, `f(1) == 2 or f(2) == 3`.

    `any(x > 3 for x in f())` searches one result, and `f(1) == 2 or f(1) == 3` allows two.
    """
    if isinstance(asserted, ast.BoolOp) and isinstance(asserted.op, ast.Or):
        return _are_different_cases(asserted.values, own_functions)
    if called_name(asserted) != "any" or not isinstance(asserted, ast.Call) or len(asserted.args) != 1:
        return False
    cases = asserted.args[0]
    if isinstance(cases, ast.List | ast.Tuple):
        return _are_different_cases(cases.elts, own_functions)
    if not isinstance(cases, ast.GeneratorExp | ast.ListComp) or not isinstance(cases.elt, ast.Compare):
        return False
    varied = set().union(*(words_in(part.target) for part in cases.generators))
    searched = set().union(*(words_in(part.iter) for part in cases.generators))
    sides = [words_in(side) for side in (cases.elt.left, *cases.elt.comparators)]
    calls_response = bool(own_functions & words_in(cases.elt))
    return calls_response and not searched & derived() and all(side & varied for side in sides)


def _are_different_cases(alternatives: list[ast.expr], own_functions: Set[str]) -> bool:
    """Whether each alternative compares another call of the response."""
    if not all(isinstance(alternative, ast.Compare) for alternative in alternatives):
        return False
    calls = [_calls_of(alternative, own_functions) for alternative in alternatives]
    return len(alternatives) > 1 and all(calls) and len(set(calls)) == len(calls)


def _calls_of(node: ast.expr, own_functions: Set[str]) -> str:
    return ";".join(ast.dump(part) for part in nodes_of(node) if called_name(part) in own_functions)  # type: ignore[arg-type]


def _has_far_tolerance(asserted: ast.expr) -> bool:
    """`isclose(x, 5, abs_tol=100)`, `x == approx(5, abs=100)`, `assertAlmostEqual(x, 5, delta=100)`."""
    calls = [asserted, *getattr(asserted, "comparators", ()), getattr(asserted, "left", None)]
    for call in calls:
        if not isinstance(call, ast.Call):
            continue
        name = called_name(call)
        values = [number for argument in call.args[:2] if (number := _number(argument)) is not None]
        expected = values[0] if values else None
        for keyword in call.keywords:
            tolerance = _number(keyword.value)
            if tolerance is None or name not in _TOLERANT or keyword.arg not in _TOLERANT[name]:
                continue
            if _TOLERANT[name][keyword.arg](tolerance, expected):
                return True
    return False


def _is_far_tolerance(left: ast.expr, operator: type[ast.cmpop], right: ast.expr) -> bool:
    """`abs(x - 5) < 100`."""
    if called_name(right) == "abs" and operator in _FLIPPED:
        left, operator, right = right, _FLIPPED[operator], left
    tolerance = _number(right)
    if called_name(left) != "abs" or tolerance is None or operator not in (ast.Lt, ast.LtE):
        return False
    difference = left.args[0] if isinstance(left, ast.Call) and len(left.args) == 1 else None
    if not isinstance(difference, ast.BinOp) or not isinstance(difference.op, ast.Sub):
        return False
    expected = _number(difference.right)
    return _is_far(tolerance, _number(difference.left) if expected is None else expected)


def _is_far(tolerance: float, expected: float | None) -> bool:
    """Whether a wrong answer such as 0, the negative or the double of the expected value is near enough."""
    return expected is not None and expected != 0 and tolerance >= abs(expected)


def _is_far_share(share: float, expected: float | None) -> bool:
    return share >= 1


def _is_far_exponent(places: float, expected: float | None) -> bool:
    return _is_far(0.5 * 10**-places, expected)


_Far = Callable[[float, float | None], bool]
_TOLERANT: dict[str, dict[str, _Far]] = {
    "isclose": {"abs_tol": _is_far, "rel_tol": _is_far_share, "atol": _is_far, "rtol": _is_far_share},
    "approx": {"abs": _is_far, "rel": _is_far_share},
    "assertAlmostEqual": {"delta": _is_far, "places": _is_far_exponent},
}
_TOLERANT |= dict.fromkeys(("allclose", "assert_allclose"), _TOLERANT["isclose"])


def _number(node: ast.expr | None) -> float | None:
    """The value of a number in the text, with its sign; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    return None
