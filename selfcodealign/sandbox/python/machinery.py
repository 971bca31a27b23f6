"""Finds where a response reaches for machinery: for the judge, the libraries that judge it, or the tests.

In one process a response can find everything. What no honest answer needs is therefore refused by its text, before
anything runs: the insides of functions and frames, patches of imported modules, the outcome exceptions of the test
frameworks, names that the tests define. A patch that undoes itself leaves no other trace. The look is strict about
names that belong to machinery, and tolerant elsewhere: `tamper.py` sees what is done while the program runs.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from selfcodealign.sandbox.python.names import BUILTIN_NAMES, FUNCTIONS, defined_names, nodes_of
from selfcodealign.sandbox.python.scopes import Scope, bindings_of, scopes_of

#: What the harness puts into a program's namespace. No other text uses these names.
MARKS = frozenset(
    {"__ran__", "__tested__", "__held__", "__failed__", "__explain__", "__compare__", "__true_builtins__"}
    | {"__left__", "__right__", "__error__"}
)
_FRAMES = frozenset(
    {"f_back", "f_globals", "f_locals", "f_builtins", "f_code", "f_trace", "tb_frame", "gi_frame", "cr_frame"}
    | {"ag_frame", "gi_code", "cr_code", "ag_code"}
)
_OUTCOMES = frozenset({"SkipTest", "EndOfModule", "_ShouldStop", "_UnexpectedSuccess", "_Outcome", "pytestmark"})
_OUTCOMES |= {"__unittest_skip__", "__unittest_skip_why__", "__unittest_expecting_failure__"}
_NAMES = MARKS | _FRAMES | _OUTCOMES
_NAMES |= {"__globals__", "__closure__", "__code__", "__builtins__", "cell_contents", "meta_path", "path_hooks"}
_PATHS = {
    "gc": {"get_objects", "get_referrers", "get_referents"},
    "sys": {"_getframe", "_getframemodulename", "_current_frames", "_current_exceptions", "settrace", "setprofile"}
    | {"monitoring"},
    "threading": {"settrace", "setprofile", "settrace_all_threads", "setprofile_all_threads"},
    "inspect": {"currentframe", "stack", "trace", "getouterframes", "getinnerframes", "getframeinfo"}
    | {"getclosurevars", "getgeneratorlocals", "getcoroutinelocals"},
    "pytest": {"skip", "xfail", "exit", "fail", "main", "MonkeyPatch"},
    "unittest": {"main", "skip", "skipIf", "skipUnless", "expectedFailure"},
    "_thread": {"exit", "exit_thread", "interrupt_main"},
    "os": {"fork", "forkpty", "register_at_fork"},
    "types": {"CodeType", "CellType"},
    "importlib": {"reload"},
}
_FORBIDDEN = frozenset(f"{module}.{name}" for module, names in _PATHS.items() for name in names)
_ONLY_IN_GUARD = frozenset({"pytest.main", "unittest.main"})
_FOREIGN_MODULES = frozenset({"_pytest", "selfcodealign", "__main__"})
_TESTS_MODULES = frozenset({"__main__", "solution"})
# What programs are meant to set.
_SETTABLE = frozenset(
    f"sys.{name}"
    for name in ("stdout", "stderr", "stdin", "path", "argv", "excepthook", "displayhook", "unraisablehook")
) | {"sys.dont_write_bytecode", "sys.tracebacklimit", "tempfile.tempdir", "logging.raiseExceptions"}
_SETTABLE |= {"threading.excepthook", "warnings.showwarning", "warnings.formatwarning"}
_COMPUTED = frozenset({"gc", "sys", "inspect", "unittest", "pytest", "_thread", "types", "ctypes"})
_NAME_TAKERS = frozenset({"getattr", "attrgetter", "methodcaller", "__getattribute__", "getattr_static", "get", "pop"})
_NAME_TAKERS |= {"setattr", "delattr", "setdefault", "__getitem__", "__setattr__", "itemgetter"}
_CHANGES = frozenset({"update", "setdefault", "pop", "popitem", "clear", "__setitem__", "__delitem__", "__ior__"})
_LISTING = frozenset({"items", "values", "keys", "copy", "__iter__", "__dict__", "__or__"})
_RUNS_TEXT = frozenset({"exec", "eval", "compile", "timeit.timeit", "timeit.repeat", "timeit.Timer", "cProfile.run"})
_RUNS_TEXT |= {"profile.run", "builtins.exec", "builtins.eval", "builtins.compile"}
_ALL_CLASSES = frozenset({"object", "type", "BaseException", "Exception"})
# Words without which a text cannot do any of this; most texts have none of them.
_TELLING = _NAMES | {"gc", "pytest", "unittest", "_thread", "_pytest", "ctypes", "selfcodealign", "__main__"}
_TELLING |= {name for names in _PATHS.values() for name in names} | _CHANGES - {"update", "pop", "clear", "setdefault"}
_TELLING |= {"setattr", "delattr", "__setattr__", "__delattr__", "vars", "globals", "locals", "__dict__", "exec"}
_TELLING |= {"builtins", "eval", "compile", "timeit", "cProfile", "profile", "__import__", "import_module", "modules"}
_TELLING |= {"getattr", "attrgetter", "methodcaller", "__getattribute__", "getattr_static", "__self__"}
_TELLING |= {"patch", "__subclasses__"}
_MOST_TEXTS = 100

Finding = tuple[int, str]


def find_machinery(
    response: ast.Module, nodes: list[ast.AST], words: set[str], tests_nodes: list[ast.AST] | None
) -> Finding | None:
    """Return the first line of the response that reaches for machinery, and what it reaches for.

    `tests_nodes` are the nodes of separate tests. None: the response holds the tests, which may do what tests do, so
    only what no tests need counts.
    """
    if tests_nodes is None:
        return _find_marks(nodes)
    wanted = _tests_names(tests_nodes)
    if words.isdisjoint(_TELLING) and words.isdisjoint(wanted) and not _stores_elsewhere(nodes):
        return None
    shared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names} - defined_names(response)
    return _Look(response, nodes, wanted - (bindings_of(nodes) - shared)).first()


def _find_marks(nodes: list[ast.AST]) -> Finding | None:
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in MARKS:
            return node.lineno, node.id
        if isinstance(node, ast.Attribute) and node.attr in MARKS:
            return node.lineno, node.attr
    return None


def _tests_names(nodes: list[ast.AST]) -> set[str]:
    """Return the names that belong to the tests: their module's values, their test functions and classes."""
    tree = nodes[0]
    assert isinstance(tree, ast.Module)
    offered = {node.name for node in tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef))}
    offered = {name for name in offered if not name.lower().startswith("test")}
    bound = defined_names(tree)
    for node in tree.body:
        if isinstance(node, ast.For | ast.AsyncFor):
            bound |= {part.id for part in nodes_of(node.target) if isinstance(part, ast.Name)}
    return bound - offered - BUILTIN_NAMES


def _stores_elsewhere(nodes: list[ast.AST]) -> bool:
    """Whether attributes of anything but `self` and `cls` are assigned or deleted."""
    return any(
        isinstance(node, ast.Attribute)
        and not isinstance(node.ctx, ast.Load)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        for node in nodes
    )


def fold_text(node: ast.AST) -> str | None:
    """Return the text that an expression of constants makes; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = fold_text(node.left), fold_text(node.right)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and (form := fold_text(node.left)) is not None:
        parts = [fold_text(part) for part in (node.right.elts if isinstance(node.right, ast.Tuple) else [node.right])]
        try:
            return None if None in parts else form % tuple(parts)
        except (TypeError, ValueError):
            return None
    if isinstance(node, ast.JoinedStr):
        parts = [fold_text(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values]
        return None if None in parts else "".join(map(str, parts))
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and (text := fold_text(node.value)):
        step = node.slice.step
        is_reversed = isinstance(step, ast.UnaryOp) and isinstance(step.operand, ast.Constant)
        return text[::-1] if is_reversed and not node.slice.lower and not node.slice.upper else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
        joint, rows = fold_text(node.func.value), node.args[0] if node.args else None
        if joint is not None and isinstance(rows, ast.List | ast.Tuple):
            parts = [fold_text(part) for part in rows.elts]
            return None if None in parts else joint.join(map(str, parts))
    return None


class _Look:
    """One look at a response."""

    def __init__(
        self, response: ast.Module, nodes: list[ast.AST], tests_names: set[str], known: frozenset[str] = frozenset()
    ) -> None:
        self._nodes = nodes
        self._tests_names = tests_names
        self._classes = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
        self._scopes: dict[int, Scope] = scopes_of(response, known)
        self._guarded = _inside_guards(response)
        self._decorating = _decorating(nodes)
        self._in_functions = _inside_functions(response)
        self._called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        self._asked, self._kept = _asked_for_a_name(nodes), _kept(nodes)
        self._texts = [text for node in nodes if isinstance(node, ast.Constant) if (text := fold_text(node))]
        self._is_text = bool(known)

    def first(self) -> Finding | None:
        return min(self._all(), default=None)

    def _all(self) -> Iterator[Finding]:
        looks: dict[type, Callable[[Any], str]] = {
            ast.Attribute: self._attribute,
            ast.Name: self._name,
            ast.Subscript: self._subscript_or_module,
            ast.Call: self._call,
            ast.Import: self._import,
            ast.ImportFrom: self._import,
        }
        for node in self._nodes:
            look = looks.get(type(node))
            if look is not None and (what := look(node)):
                yield getattr(node, "lineno", 0), what

    def _path(self, node: ast.AST) -> str:
        """Return the dotted path of what an expression takes from an imported module; empty for anything else."""
        if isinstance(node, ast.Name):
            return self._scopes[id(node)].path_of(node.id) if id(node) in self._scopes else ""
        if isinstance(node, ast.Attribute):
            before = self._path(node.value)
            return f"{before}.{node.attr}" if before else ""
        if isinstance(node, ast.Subscript) and self._path(node.value) == "sys.modules":
            return fold_text(node.slice) or ""
        if isinstance(node, ast.Call) and node.args:
            name = self._path(node.func) or _plain_name(node.func)
            if name in ("__import__", "importlib.import_module", "builtins.__import__", "importlib.__import__"):
                return fold_text(node.args[0]) or ""
            if name in ("getattr", "builtins.getattr") and len(node.args) >= 2:
                before, attribute = self._path(node.args[0]), fold_text(node.args[1])
                return f"{before}.{attribute}" if before and attribute else ""
            if name == "sys.modules.get":
                return fold_text(node.args[0]) or ""
        return ""

    def _attribute(self, node: ast.Attribute) -> str:
        if node.attr in _NAMES:
            return node.attr
        if node.attr == "__subclasses__":
            return "" if self._is_own_class(node.value) else "__subclasses__ of a class that is not the response's"
        if node.attr == "__dict__" and self._is_table(node) and self._runs_later(node) and id(node) not in self._asked:
            return "all globals, those of the tests as well"
        if node.attr == "__self__" and _plain_name(node.value) in BUILTIN_NAMES:
            return "__self__ of a builtin"
        if not isinstance(node.ctx, ast.Load):
            if node.attr.startswith("assert") and _plain_name(node.value) not in ("self", "cls"):
                return f"an assignment to {node.attr}"
            return self._change(node.value, node.attr)
        return self._forbidden(node)

    def _forbidden(self, node: ast.AST) -> str:
        path = self._path(node)
        if not path:
            return ""
        if path in _ONLY_IN_GUARD and id(node) in self._guarded:
            return ""
        if path in _FORBIDDEN:
            return path
        if path in ("unittest.mock.patch", "mock.patch") and id(node) not in self._decorating:
            return "a patch without an end"
        return f"the module {path}" if path in _TESTS_MODULES else ""

    def _change(self, owner: ast.AST, name: str) -> str:
        """Why `owner.name = ...` is forbidden; empty when it is not."""
        path = self._path(owner)
        if not path and isinstance(owner, ast.Name) and owner.id in BUILTIN_NAMES:
            return f"an assignment to {owner.id}.{name}" if self._is_free(owner) else ""
        if not path or f"{path}.{name}" in _SETTABLE or _is_instance(path):
            return ""
        return f"an assignment to {path}.{name}"

    def _is_free(self, node: ast.Name) -> bool:
        return id(node) in self._scopes and not self._scopes[id(node)].binds(node.id)

    def _is_own_class(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and _plain_name(node.func) == "type" and node.args:
            return _plain_name(node.args[0]) == "self"
        if isinstance(node, ast.Attribute):
            return node.attr == "__class__" and _plain_name(node.value) == "self"
        if not isinstance(node, ast.Name):
            return False
        if node.id in self._classes or node.id == "cls":
            return True
        # A walk over subclasses takes any class: then no class that is everybody's may be handed to anything.
        return not self._path(node) and not self._is_free(node) and not self._hands_over_all_classes()

    def _hands_over_all_classes(self) -> bool:
        calls = [node for node in self._nodes if isinstance(node, ast.Call)]
        calls = [call for call in calls if _plain_name(call.func) not in ("isinstance", "issubclass", "super")]
        return any(_plain_name(part) in _ALL_CLASSES or self._path(part) for call in calls for part in call.args)

    def _name(self, node: ast.Name) -> str:
        if node.id in _NAMES:
            return node.id
        if node.id == "globals" and self._is_free(node) and id(node) not in self._called:
            return "all globals, those of the tests as well"
        if node.id in self._tests_names:
            return f"{node.id} of the tests"
        return self._forbidden(node) if isinstance(node.ctx, ast.Load) else ""

    def _subscript_or_module(self, node: ast.Subscript) -> str:
        if self._is_table(node) and self._runs_later(node) and id(node) not in self._asked:
            return "all globals, those of the tests as well"
        return self._subscript(node)

    def _subscript(self, node: ast.Subscript) -> str:
        key, owner = fold_text(node.slice), node.value
        if self._path(owner) == "sys.modules" and (key in _TESTS_MODULES or not isinstance(node.ctx, ast.Load)):
            return "sys.modules"
        if _is_globals(owner):
            return self._global(key, stores=not isinstance(node.ctx, ast.Load))
        if key is not None and key in _NAMES - {"__builtins__"}:
            return key
        namespace = _namespace_owner(owner)
        if namespace is not None and not isinstance(node.ctx, ast.Load):
            return self._change(namespace, key or "...")
        return ""

    def _global(self, key: str | None, stores: bool) -> str:
        if key is None:
            return ""
        if stores and key in BUILTIN_NAMES:
            return f"the builtin {key}"
        return f"{key} of the tests" if key in self._tests_names else key if key in _NAMES else ""

    def _call(self, node: ast.Call) -> str:
        name = _plain_name(node.func) or getattr(node.func, "attr", "")
        path = self._path(node.func)
        texts = [fold_text(argument) for argument in node.args]
        if name in _NAME_TAKERS:
            for text in texts:
                if text is not None and text in _NAMES - {"__builtins__"}:
                    return text
        asked = texts[:2][-1:] if name == "getattr" else texts[-1:]
        if name in ("getattr", "attrgetter", "__getattribute__") and asked == [None]:
            if hidden := next((text for text in self._texts if text in _NAMES - {"__builtins__"}), ""):
                return hidden
            root = self._path(node.args[0]).partition(".")[0]
            if root in _COMPUTED:
                return f"a computed attribute of {root}"
        if name in ("setattr", "delattr", "__setattr__", "__delattr__") and len(node.args) >= 2:
            owner = node.args[0]
            if isinstance(node.func, ast.Attribute) and name.startswith("__") and not path and len(node.args) == 2:
                owner = node.func.value
            named = texts[1] or texts[0] or "..."
            if named.startswith("assert") and _plain_name(owner) not in ("self", "cls"):
                return f"an assignment to {named}"
            return self._change(owner, named)
        if self._path(node) in _TESTS_MODULES:
            return f"the module {self._path(node)}"
        if self._is_table(node) and (self._runs_later(node) or id(node) in self._kept) and id(node) not in self._asked:
            return "all globals, those of the tests as well"
        if isinstance(node.func, ast.Attribute) and (what := self._method(node, node.func, texts)):
            return what
        if (path or name) in _RUNS_TEXT:
            return self._text(node.args[0] if node.args else None)
        return ""

    def _method(self, node: ast.Call, method: ast.Attribute, texts: list[str | None]) -> str:
        owner = method.value
        if self._path(owner) == "sys.modules" and method.attr in _CHANGES | {"values", "items"}:
            return "sys.modules"
        if _is_globals(owner):
            keys = [keyword.arg for keyword in node.keywords]
            for part in node.args:
                keys += [fold_text(key) for key in part.keys if key] if isinstance(part, ast.Dict) else []
            keys += texts[:1]
            found = (self._global(key, stores=method.attr in _CHANGES) for key in keys)
            return next((what for what in found if what), "")
        namespace = _namespace_owner(owner)
        if namespace is not None and method.attr in _CHANGES:
            return self._change(namespace, texts[0] or "..." if texts else "...")
        return ""

    def _runs_later(self, node: ast.AST) -> bool:
        """Whether code may run when the tests have bound their names: then all globals are theirs, too."""
        return id(node) in self._in_functions or self._is_text

    def _is_table(self, node: ast.AST) -> bool:
        """Whether an expression is the table of this module's names, or the module."""
        if _is_globals(node):
            return True
        if isinstance(node, ast.Call) and _plain_name(node.func) in ("locals", "vars") and not node.args:
            return not self._runs_later(node)
        owner = _namespace_owner(node) or node
        is_module = isinstance(owner, ast.Subscript) and self._path(owner.value) == "sys.modules"
        if isinstance(owner, ast.Call) and owner.args:
            is_module = self._path(owner.func) in ("sys.modules.get", "importlib.import_module")
            return is_module and _plain_name(owner.args[0]) == "__name__"
        return is_module and _plain_name(owner.slice) == "__name__"  # type: ignore[attr-defined]

    def _text(self, code: ast.expr | None) -> str:
        """Look at a text that the response executes; at all its texts where this one is not a constant."""
        if self._is_text:
            return ""
        text = fold_text(code) if code is not None else None
        folded = [fold_text(node) for node in self._nodes if isinstance(node, ast.BinOp | ast.JoinedStr | ast.Call)]
        texts = [text] if text is not None else [*self._texts, *filter(None, folded)]
        for one in texts[:_MOST_TEXTS]:
            try:
                tree = ast.parse(one.strip())
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            known = frozenset(sys.stdlib_module_names | {"pytest", "numpy"})
            if found := _Look(tree, nodes_of(tree), self._tests_names, known).first():
                return found[1]
        return ""

    def _import(self, node: ast.Import | ast.ImportFrom) -> str:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            return ""
        for name in names:
            if name.partition(".")[0] in _FOREIGN_MODULES:
                return f"the module {name}"
            if name in _FORBIDDEN - _ONLY_IN_GUARD or name.rpartition(".")[2] in _NAMES:
                return name
        return ""


def _plain_name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _is_globals(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _plain_name(node.func) == "globals"


def _namespace_owner(node: ast.AST) -> ast.AST | None:
    """`x` of `vars(x)` and `x.__dict__`."""
    if isinstance(node, ast.Call) and _plain_name(node.func) == "vars" and len(node.args) == 1:
        return node.args[0]
    return node.value if isinstance(node, ast.Attribute) and node.attr == "__dict__" else None


def _is_instance(path: str) -> bool:
    """Whether a path names an object of a library that is no module, class or function, as far as it is loaded."""
    module, *names = path.split(".")
    found: Any = sys.modules.get(module)
    if found is None:
        return module not in sys.stdlib_module_names and bool(names)
    for name in names:
        found = getattr(found, name, None) if isinstance(found, ModuleType | type) else vars_of(found).get(name)
        if found is None:
            return module not in sys.stdlib_module_names
    return not isinstance(found, ModuleType | type | FunctionType | BuiltinFunctionType)


def vars_of(value: Any) -> dict[str, Any]:
    return getattr(value, "__dict__", {})


def _inside_guards(tree: ast.Module) -> set[int]:
    """The nodes below `if __name__ == "__main__":`, which does not run in a response that is apart from its tests."""
    guards = [node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Compare)]
    guards = [guard for guard in guards if any(_plain_name(part) == "__name__" for part in nodes_of(guard.test))]
    return {id(part) for guard in guards for statement in guard.body for part in nodes_of(statement)}


def _asked_for_a_name(nodes: list[ast.AST]) -> set[int]:
    """The expressions that are asked for one name only, are given to an executed text, or are no table at all."""
    asked: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and node.attr not in _LISTING):
            asked.add(id(node.value))
        elif isinstance(node, ast.Compare):
            asked |= {id(part) for part in node.comparators}
        elif isinstance(node, ast.Call):
            asked |= {id(keyword.value) for keyword in node.keywords if keyword.arg == "globals"}
            name = _plain_name(node.func)
            if name in ("exec", "eval", "setattr", "getattr", "hasattr", "delattr"):
                asked |= set(map(id, node.args))
            elif name == "vars":
                asked |= set(map(id, node.args))  # the call itself is looked at
    return asked


def _kept(nodes: list[ast.AST]) -> set[int]:
    """The expressions that a name is bound to."""
    bindings = ast.Assign | ast.AnnAssign | ast.NamedExpr
    return {id(node.value) for node in nodes if isinstance(node, bindings)}


def _inside_functions(tree: ast.Module) -> set[int]:
    """The nodes in the bodies of functions: what runs after the response's own text has been run."""
    outer = [node for node in nodes_of(tree) if isinstance(node, (*FUNCTIONS, ast.Lambda))]
    return {id(part) for node in outer for part in nodes_of(node)}


def _decorating(nodes: list[ast.AST]) -> set[int]:
    """The nodes of decorators and of `with` items, outside of generators: what they patch ends with them."""
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            expressions = node.decorator_list
        elif isinstance(node, ast.With | ast.AsyncWith) and not any(
            isinstance(part, ast.Yield | ast.YieldFrom) for part in nodes_of(node)
        ):
            expressions = [item.context_expr for item in node.items]
        else:
            continue
        found |= {id(part) for expression in expressions for part in nodes_of(expression)}
    return found
