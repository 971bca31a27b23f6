"""Instruments the assertions of tests, in whatever style they are written: each says whether it held.

`assert`, methods of unittest, blocks that expect an exception, `if ... raise`, exits with a status, printed failures.
"""

from __future__ import annotations

import ast
import re
from functools import cached_property
from typing import Any

from selfcodealign.sandbox.python.instrument import (
    COMPARE,
    COMPARISONS,
    EXPLAIN,
    FAILED,
    HELD,
    LEFT,
    LOAD,
    RAN,
    REPORTED,
    RIGHT,
    SWALLOWED,
    TRUE_BUILTINS,
    Function,
    Site,
    Statements,
    call_mark,
    catching,
    load_name,
    place_of,
    store_name,
)
from selfcodealign.sandbox.python.names import (
    BUILTIN_NAMES,
    WORLDLY,
    asks_type_only,
    called_name,
    cannot_fail,
    defined_names,
    inert_names,
    is_meant_as_value,
    may_be_skipped,
    nodes_of,
    reached_names,
    words_in,
)
from selfcodealign.sandbox.python.silent import (
    is_broad,
    is_report,
    leaves_finally,
    swallowing_managers,
    swallows_anything,
    tells_failure,
)
from selfcodealign.sandbox.python.vacuous import accepts_any_error, says_little

# Not `splitlines`: Python counts no form feed and no U+2028 in a text as the end of a line.
_LINE_END = re.compile(r"\r\n?|\n")
_EXPECTING = (
    "raises",
    "warns",
    "deprecated_call",
    "assertRaises",
    "assertRaisesRegex",
    "assertWarns",
    "assertWarnsRegex",
)
_EXPECTING += ("assertLogs", "assertNoLogs")
_OF_THE_MACHINE = frozenset({"platform", "version_info", "hexversion", "implementation", "maxsize", "byteorder"})
_OF_THE_MACHINE |= {"system", "machine", "python_version", "python_implementation"}
_EXITS = frozenset({"exit", "quit"})
_COMMON_FAILURES = frozenset({"Exception", "BaseException", "AssertionError", "SystemExit", "Failed"})


def mark_assertions(
    tree: ast.Module,
    nodes: list[ast.AST],
    source: str,
    own_names: set[str],
    own_values: set[str],
    is_response_too: bool = False,
) -> list[Site]:
    """Rewrite every assertion in the tests; return the sites, numbered like the marks.

    Where the text `is_response_too`, only its test functions are expected to run and to be silent about no failure.
    """
    shadowed = {name for name in defined_names(tree) if name.startswith("assert")}
    rewriter = _Assertions(source, own_names, own_values, nodes, shadowed)
    rewriter.managers = swallowing_managers(tree)
    rewriter.in_tests = not is_response_too
    rewriter.visit(tree)
    return rewriter.sites


def exit_places(nodes: list[ast.AST]) -> list[tuple[int, ...]]:
    """Return the places of `sys.exit(...)` and `raise SystemExit`: first and last line, first and last column."""
    places: list[ast.Call | ast.Raise] = []
    for node in nodes:
        calls = isinstance(node, ast.Call) and called_name(node) in _EXITS
        if calls or (isinstance(node, ast.Raise) and node.exc is not None and "SystemExit" in words_in(node.exc)):
            places.append(node)  # type: ignore[arg-type]
    return [(node.lineno, node.end_lineno or 0, node.col_offset, node.end_col_offset or 0) for node in places]


class _Assertions(Statements):
    def __init__(
        self, source: str, own_names: set[str], own_values: set[str], nodes: list[ast.AST], shadowed: set[str]
    ) -> None:
        self._lines = _LINE_END.split(source)
        self._may_bind = ":=" in source
        self._own_names = own_names
        self._own_functions = own_names - own_values
        self._reached = reached_names(nodes, own_values)
        self._nodes = nodes
        self._may_skip = any(word in source for word in ("kip", "xfail", "expectedFailure"))
        self._fixed = (BUILTIN_NAMES - WORLDLY | inert_names(nodes)) - own_names
        self._shadowed = shadowed
        self._expecting_failure = 0
        self._optional = 0
        self._skipped = 0
        self.in_tests = True
        self.managers: set[str] = set()
        self.sites: list[Site] = []

    @cached_property
    def _derived(self) -> set[str]:
        """The names of the response, and those of the tests whose values derive from them."""
        return reached_names(self._nodes, self._own_names)

    def _definition(self, node: Function | ast.ClassDef) -> ast.AST:
        """Assertions of a test that is marked as skipped, or skips itself, need not run."""
        skips, outside = self._may_skip and may_be_skipped(node), self.in_tests
        self._optional += skips
        self._skipped += skips
        self.in_tests = outside or node.name.lower().startswith("test")
        self.generic_visit(node)
        self._optional -= skips
        self._skipped -= skips
        self.in_tests = outside
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        at, inside = place_of(node), nodes_of(node.test)
        words = {part.id for part in inside if isinstance(part, ast.Name)}
        site = ast.Constant(self._add(node, node.test, words), **at)
        before, test, operands = self._guard(node.test, inside, words, at)
        shown = operands if len(operands) == 2 else []
        failure = call_mark(EXPLAIN, at, site, *shown)
        if node.msg is not None:
            failure.keywords = [ast.keyword("message", node.msg, **at)]
        held: ast.stmt = ast.Expr(call_mark(HELD, at, site, *operands), **at)
        return [*before, ast.If(test, [held], [ast.Expr(failure, **at)], **at)]

    def _guard(
        self, test: ast.expr, inside: list[ast.AST], words: set[str], at: dict[str, Any]
    ) -> tuple[list[ast.stmt], ast.expr, list[ast.expr]]:
        """Instrument the comparisons, and use true builtins where the response defines functions of the same names.

        Both sides of an assertion that is one comparison are stored, to be shown and probed, and so is a value that is
        asserted itself, unless it binds names. Returns the statements before the test, the test, and what is stored.
        """
        namesakes = words & self._own_names & BUILTIN_NAMES
        if not (words & self._own_names) - namesakes:
            namesakes = set()
        comparisons = sum(isinstance(part, ast.Compare) for part in inside)
        guarded = _Guard(namesakes)
        binds = any(isinstance(part, ast.NamedExpr) for part in inside)
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or binds:
            test = guarded.visit(test) if namesakes or comparisons else test
            if binds or not isinstance(test, ast.Call | ast.Name | ast.Attribute | ast.Await | ast.Subscript):
                return [], test, []
            return [store_name(LEFT, test, at)], load_name(LEFT, at), [load_name(LEFT, at)]
        left, right = test.left, test.comparators[0]
        if namesakes or comparisons > 1:
            left, right = guarded.visit(left), guarded.visit(right)
        operands: list[ast.expr] = [load_name(LEFT, at), load_name(RIGHT, at)]
        before: list[ast.stmt] = [store_name(LEFT, left, at), store_name(RIGHT, right, at)]
        return before, ast.Compare(operands[0], test.ops, [operands[1]], **at), operands

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        if self.in_tests and not self._optional:
            self._hear(node)
        name = called_name(node.value)
        if name in _EXITS:
            return self._exit(node, node.value)
        if not name.startswith("assert") or name in self._shadowed or not isinstance(node.value, ast.Call):
            return node
        at, call = place_of(node), node.value
        site = ast.Constant(self._add(node, call, words_in(call)), **at)
        before: list[ast.stmt] = []
        operands: list[ast.expr] = []
        if len(call.args) >= 2 and not any(isinstance(argument, ast.Starred) for argument in call.args[:2]):
            before = [store_name(LEFT, call.args[0], at), store_name(RIGHT, call.args[1], at)]
            operands = [load_name(LEFT, at), load_name(RIGHT, at)]
            call.args[:2] = operands
        text = call_mark("str", at, load_name("__error__", at))
        failed = [] if self._expecting_failure else [ast.Expr(call_mark(FAILED, at, site, text, *operands), **at)]
        again = ast.Raise(None, None, **at)
        handler = ast.ExceptHandler(load_name("AssertionError", at), "__error__", [*failed, again], **at)
        held = ast.Expr(call_mark(HELD, at, site, *operands), **at)
        return [*before, ast.Try([node], [handler], [held], [], **at)]

    def _with(self, node: ast.With | ast.AsyncWith) -> ast.stmt | list[ast.stmt]:
        expecting = [item.context_expr for item in node.items if called_name(item.context_expr) in _EXPECTING]
        fails = any({"AssertionError", "Exception", "BaseException"} & words_in(call) for call in expecting)
        self._expecting_failure += bool(fails)
        self._optional += bool(expecting)
        first = len(self.sites)
        self.generic_visit(node)
        self._optional -= bool(expecting)
        self._expecting_failure -= bool(fails)
        if not expecting:
            return self._open(node) if self._may_swallow(node, first) else node
        at = place_of(node)
        words = set().union(*map(words_in, (expecting[0], *node.body)))
        site = self._add(node, ast.Call(expecting[0], [], [], **at), words)
        self.sites[site].vacuous |= all(map(accepts_any_error, expecting))
        return [node, ast.Expr(call_mark(HELD, at, ast.Constant(site, **at)), **at)]

    visit_With = visit_AsyncWith = _with  # type: ignore[assignment]

    def visit_Raise(self, node: ast.Raise) -> ast.stmt | list[ast.stmt]:
        return self._exit(node, node.exc) if node.exc is not None and called_name(node.exc) == "SystemExit" else node

    def _exit(self, node: ast.Expr | ast.Raise, call: ast.expr) -> ast.stmt | list[ast.stmt]:
        """An exit whose status is computed, such as `sys.exit(not ok)`, asserts that it is zero."""
        if (
            not isinstance(call, ast.Call)
            or len(call.args) != 1
            or isinstance(call.args[0], ast.Constant | ast.Starred)
        ):
            return node
        at, status = place_of(node), call.args[0]
        site = ast.Constant(self._add(node, status, words_in(status)), **at)
        call.args = [load_name(LEFT, at)]
        held: ast.stmt = ast.Expr(call_mark(HELD, at, site), **at)
        return [store_name(LEFT, status, at), ast.If(load_name(LEFT, at), [ast.Pass(**at)], [held], **at), node]

    def visit_If(self, node: ast.If) -> ast.If:
        may_lie_idle = self._may_lie_idle(node)
        fails = _fails(node.body), _fails(node.orelse)
        self._optional += may_lie_idle
        self.generic_visit(node)
        self._optional -= may_lie_idle
        if self.in_tests:
            for statement in (*node.body, *node.orelse):
                self._report(statement)
        at, last, words = place_of(node), node.body[-1], words_in(node.test)
        if not node.orelse and isinstance(last, ast.Raise) and last.exc is not None and self._is_check(node, last.exc):
            site = ast.Constant(self._add(node, node.test, words), **at)
            node.body.insert(-1, ast.Expr(call_mark(FAILED, at, site, ast.Constant("", **at)), **at))
            node.orelse = [ast.Expr(call_mark(HELD, at, site), **at)]
        elif fails[0] != fails[1] and not words.isdisjoint(self._derived):
            failing, other = (node.body, node.orelse) if fails[0] else (node.orelse, node.body)
            other.insert(0, self._held_unless(node, node.test, words, failing))
        return node

    def _is_check(self, node: ast.If, raised: ast.expr) -> bool:
        """Whether `if ...: raise ...` is an assertion: it raises one, or asks what the response returned."""
        asks = any(called_name(part) in self._own_functions for part in nodes_of(node.test))  # type: ignore[arg-type]
        return "AssertionError" in words_in(raised) or (asks and self.in_tests)

    def _may_lie_idle(self, node: ast.If) -> bool:
        """Whether a branch need not run: there are checks in the other as well, or the machine decides."""
        has_both = all(map(_has_checks, (node.body, node.orelse)))
        return has_both or any(getattr(part, "attr", "") in _OF_THE_MACHINE for part in nodes_of(node.test))

    def visit_Try(self, node: ast.Try) -> ast.Try:
        """A failure counts that a broad handler around an assertion, or a `finally` that leaves, would keep silent.

        After a call that should have raised stands a failure: there each handler shows that it has.
        """
        fails = _fails(node.orelse) or (_fails(node.body) and not any(map(_catches_failures, node.handlers)))
        words = set().union(*map(words_in, node.body))
        first, broad = len(self.sites), [handler for handler in node.handlers if is_broad(handler)]
        self.generic_visit(ast.Module(node.body, []))
        asserts = any(not site.vacuous for site in self.sites[first:])
        self._optional += asserts  # what a handler then asserts is an alternative
        self.generic_visit(ast.Try([], node.handlers, [], []))
        self._optional -= asserts
        self.generic_visit(ast.Try([], [], node.orelse, node.finalbody))
        if fails and not words.isdisjoint(self._derived):
            for handler in node.handlers:
                expected = load_name(RAN, place_of(node))  # stands for the call: it can fail
                handler.body.insert(0, self._held_unless(node, expected, words, node.orelse or node.body))
        if not self.in_tests or self._optional:
            return node
        at = place_of(node)
        for handler in broad:
            for statement in handler.body:
                self._report(statement)
            if asserts:
                handler.name = handler.name or "__error__"
                handler.type = handler.type or load_name("BaseException", at)
                handler.body.insert(0, ast.Expr(call_mark(SWALLOWED, at, load_name(handler.name, at)), **at))
        if leaves_finally(node):
            inner = ast.Try(node.body, node.handlers, node.orelse, [], **at) if node.handlers else None
            hear = ast.Expr(call_mark(SWALLOWED, at, load_name("__error__", at)), **at)
            node.body = [inner] if inner else node.body
            node.handlers = [catching([hear, ast.Raise(None, None, **at)], at)]
            node.orelse = []
        return node

    def _held_unless(self, node: ast.stmt, asserted: ast.expr, words: set[str], failing: list[ast.stmt]) -> ast.stmt:
        """The mark of an assertion that ends in the statements `failing` when it does not hold."""
        at = place_of(node)
        site = self._add(node, asserted, words)
        self.sites[site].last_line = max(part.end_lineno or part.lineno for part in failing)
        return ast.Expr(call_mark(HELD, at, ast.Constant(site, **at)), **at)

    def _may_swallow(self, node: ast.With | ast.AsyncWith, first: int) -> bool:
        """Whether a failure in a `with` block may be dropped: around an assertion, or around a use of the response."""
        managers = [item.context_expr for item in node.items if swallows_anything(item.context_expr, self.managers)]
        if not managers or not self.in_tests or self._optional:
            return False
        asserts = any(not site.vacuous for site in self.sites[first:])
        given = any(called_name(manager) in self.managers for manager in managers)
        return asserts or (given and any(not words_in(line).isdisjoint(self._derived) for line in node.body))

    def _open(self, node: ast.With | ast.AsyncWith) -> list[ast.stmt]:
        """Report the exception of a `with` block after which the program goes on."""
        at = place_of(node)
        keep = store_name("__caught__", load_name("__error__", at), at)
        node.body = [ast.Try(node.body, [catching([keep, ast.Raise(None, None, **at)], at)], [], [], **at)]
        heard = ast.Expr(call_mark(SWALLOWED, at, load_name("__caught__", at)), **at)
        return [store_name("__caught__", ast.Constant(None, **at), at), node, heard]

    def _report(self, statement: ast.stmt) -> None:
        """Count a text that a branch prints as a failure, if it says so."""
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and is_report(statement):
            call = statement.value
            if tells_failure(call.args[0]):
                call.args[0] = self._reported(call.args[0])

    def _reported(self, text: ast.expr) -> ast.Call:
        at = place_of(text)
        return call_mark(REPORTED, at, ast.Constant(text.lineno, **at), text)

    def _hear(self, node: ast.Expr) -> None:
        """Count what a statement shows or drops: `print("ok" if a == b else "FAIL")`, `a == b`, gathered exceptions."""
        value = node.value
        if isinstance(value, ast.Call) and is_report(value):
            for choice in [
                part for argument in value.args for part in nodes_of(argument) if isinstance(part, ast.IfExp)
            ]:
                for side in ("body", "orelse"):
                    if tells_failure(getattr(choice, side)):
                        setattr(choice, side, self._reported(getattr(choice, side)))
        elif isinstance(value, ast.Compare) and not words_in(value).isdisjoint(self._derived):
            at = place_of(value)
            text = ast.Constant("a comparison without assert is false", **at)
            is_false = ast.Compare(value, [ast.Is()], [ast.Constant(False, **at)], **at)
            node.value = ast.BoolOp(ast.And(), [is_false, self._reported(text)], **at)
        elif isinstance(value, ast.Await) and _gathers_exceptions(value.value):
            node.value = call_mark(SWALLOWED, place_of(value), value)

    def _add(self, node: ast.stmt, asserted: ast.expr, words: set[str]) -> int:
        """Add a site and return its number; `words` are the names used in its assertion."""
        text = self._lines[asserted.lineno - 1].strip() if asserted.lineno <= len(self._lines) else ""
        text = text.removeprefix("assert ")[:200]
        last_line = asserted.end_lineno or node.lineno
        vacuous = cannot_fail(asserted, self._fixed) or asks_type_only(asserted, self._own_names)
        vacuous |= isinstance(node, ast.Assert) and is_meant_as_value(node.msg)
        vacuous |= says_little(asserted, self._own_functions, lambda: self._derived)
        mentions = not words.isdisjoint(self._reached)
        site = Site(node.lineno, last_line, text, vacuous, mentions)
        site.optional, site.skipped = bool(self._optional) or not self.in_tests, bool(self._skipped)
        site.subjects = tuple(sorted(words & self._own_functions))
        self.sites.append(site)
        return len(self.sites) - 1


def _fails(body: list[ast.stmt]) -> bool:
    """Whether a block ends in a failure: an exception, an exit with a constant status, `assert False`, `fail()`."""
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        status = last.value.args[0] if last.value.args else None
        exits = called_name(last.value) in _EXITS and isinstance(status, ast.Constant) and bool(status.value)
        return exits or called_name(last.value) == "fail"
    if isinstance(last, ast.Assert):
        return isinstance(last.test, ast.Constant) and not last.test.value
    return isinstance(last, ast.Raise) and last.exc is not None


def _catches_failures(handler: ast.ExceptHandler) -> bool:
    """Whether a handler would catch the failure that the tests raise themselves."""
    return handler.type is None or not _COMMON_FAILURES.isdisjoint(words_in(handler.type))


def _gathers_exceptions(node: ast.expr) -> bool:
    is_gather = isinstance(node, ast.Call) and called_name(node) == "gather"
    return is_gather and any(keyword.arg == "return_exceptions" for keyword in node.keywords)  # type: ignore[union-attr]


def _has_checks(statements: list[ast.stmt]) -> bool:
    nodes = [part for statement in statements for part in nodes_of(statement)]
    return any(isinstance(node, ast.Assert) or called_name(node).startswith("assert") for node in nodes)  # type: ignore[arg-type]


class _Guard(ast.NodeTransformer):
    """Inside one assertion: `a == b` becomes `__compare__("Eq", a, b)`, and redefined builtins become the true ones."""

    def __init__(self, namesakes: set[str]) -> None:
        self._namesakes = namesakes

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) != 1 or type(node.ops[0]).__name__ not in COMPARISONS:
            return node
        at = place_of(node)
        comparison = ast.Constant(type(node.ops[0]).__name__, **at)
        return call_mark(COMPARE, at, comparison, node.left, node.comparators[0])

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._namesakes:
            return node
        at = place_of(node)
        return ast.Subscript(load_name(TRUE_BUILTINS, at), ast.Constant(node.id, **at), LOAD, **at)
