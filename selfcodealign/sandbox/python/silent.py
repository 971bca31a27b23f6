"""Places where tests keep a failure to themselves: broad handlers, `return` in `finally`, failures that are printed."""

from __future__ import annotations

import ast
import re

from selfcodealign.sandbox.python.names import FUNCTIONS, called_name, nodes_of

_BROAD = frozenset({"Exception", "BaseException"})
_LEAVING = (ast.Return, ast.Break, ast.Continue)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_REPORTING = frozenset({"print", "write", "error", "critical", "exception", "warning", "info", "debug", "log"})
_FAILURE = re.compile(
    r"\bFAIL(?:ED|URES?|S)?\b|[✗✘❌]|(?i:^\W*(?:fail(?:ed|ure|s)?|wrong|incorrect|mismatch|not ok)\b)"
    r"|(?i:\btests?\b.*\bfail(?:ed|ure|s)?\b|\b(?:wrong|incorrect) (?:answer|result|output|value)\b)"
    r"|(?i:\bexpected\b.*\b(?:got|but|actual|received)\b)"
)
_MEANT = re.compile(r"(?i:\b(?:as expected|correctly|properly|expected to fail|should fail)\b)")


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes any exception and neither raises nor asserts."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    takes_all = any(kind is None or (isinstance(kind, ast.Name) and kind.id in _BROAD) for kind in kinds)
    return takes_all and not any(_may_fail(part) for statement in handler.body for part in nodes_of(statement))


def _may_fail(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return called_name(node).startswith(("assert", "fail", "skip", "exit", "xfail"))
    return isinstance(node, ast.Raise | ast.Assert)


def leaves_finally(node: ast.Try) -> bool:
    """Whether a `finally` block leaves by `return`, `break` or `continue`, which drops the exception."""
    return any(_leaves(statement) for statement in node.finalbody)


def _leaves(node: ast.AST, in_loop: bool = False) -> bool:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
        return False
    if isinstance(node, _LEAVING):
        return isinstance(node, ast.Return) or not in_loop
    in_loop = in_loop or isinstance(node, _LOOPS)
    return any(_leaves(child, in_loop) for child in ast.iter_child_nodes(node))


def swallowing_managers(tree: ast.Module) -> set[str]:
    """Return the context managers that the tests define."""
    managers = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            if any(isinstance(part, FUNCTIONS) and part.name in ("__exit__", "__aexit__") for part in node.body):
                managers.add(node.name)
        elif isinstance(node, FUNCTIONS):
            marks = {part.attr for mark in node.decorator_list for part in nodes_of(mark) if hasattr(part, "attr")}
            marks |= {part.id for mark in node.decorator_list for part in nodes_of(mark) if isinstance(part, ast.Name)}
            if marks & {"contextmanager", "asynccontextmanager"}:
                managers.add(node.name)
    return managers


def swallows_anything(manager: ast.expr, defined: set[str]) -> bool:
    """Whether a `with` item may drop any exception: `suppress(Exception)`, or a manager of the tests without arguments.

    A manager that is given an exception, or anything else, is taken for an expectation.
    """
    if not isinstance(manager, ast.Call):
        return False
    if called_name(manager) == "suppress":
        return any(isinstance(kind, ast.Name) and kind.id in _BROAD for kind in manager.args)
    return called_name(manager) in defined and not manager.args and not manager.keywords


def is_report(node: ast.AST) -> bool:
    """Whether a statement or expression prints or logs something."""
    call = node.value if isinstance(node, ast.Expr) else node
    return isinstance(call, ast.Call) and called_name(call) in _REPORTING and bool(call.args)


def tells_failure(node: ast.expr) -> bool:
    """Whether a text of the tests reports a failure that was not expected: `"FAIL: add"`, `f"Test {n} failed"`."""
    text = " ".join(part.value for part in nodes_of(node) if isinstance(part, ast.Constant) and type(part.value) is str)
    return bool(_FAILURE.search(text)) and not _MEANT.search(text)
