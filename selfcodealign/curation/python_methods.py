"""A class cut down to one of its methods and what that method uses of it."""

from __future__ import annotations

import ast
from collections import defaultdict, deque
from collections.abc import Iterator

from selfcodealign.curation.python_definitions import find_comments, first_line
from selfcodealign.curation.python_names import Function, bind_names, dotted_name, iterate_at_import

_MOST_DOCSTRING = 6
#: What Python calls on an object for a piece of syntax.
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
}
_FUNCTIONS = frozenset(
    {
        "len",
        "iter",
        "next",
        "repr",
        "str",
        "bool",
        "hash",
        "int",
        "float",
        "bytes",
        "reversed",
        "abs",
        "round",
        "format",
        "dir",
    }
)


def find_methods(class_: ast.ClassDef, lines: list[str]) -> list[Function]:
    """The methods in the body of a class, whose header has lines to itself."""
    if not lines[_header_end(class_, lines) - 1].partition("#")[0].rstrip().endswith(":"):
        return []
    return [node for node in class_.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_static(method: Function) -> bool:
    """Whether the first argument of a method is an ordinary one."""
    return any(dotted_name(decorator) == "staticmethod" for decorator in method.decorator_list)


def cut_class(class_: ast.ClassDef, method: Function, lines: list[str], most_lines: int) -> tuple[str, int]:
    """The text of a class with one method and what that uses, in their order; and its lines without the method.

    Used are members named after the first argument, the class or `super()`; for an attribute that no statement of the
    body binds, the method that does (`__init__` before others); for a class that is made by its bases or a decorator
    (a data class, an enumeration, a named tuple), all of its variables. More than `most_lines`: the text is "".
    """
    kept = _Members(class_).find_used(method)
    end = _header_end(class_, lines)
    text = "\n".join(lines[first_line(class_) - 1 : end])
    size = text.count("\n") + 1
    above = end
    after_header, after_variable = True, False
    for statement in class_.body:
        first, last = first_line(statement), statement.end_lineno or statement.lineno
        if statement in kept and last > above:  # else it shares a line with one that is there already
            if statement is not method:
                size += last - first + 1
            if size > most_lines:
                return "", size
            is_variable = not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            text += "\n" if after_header or (after_variable and is_variable) else "\n\n"
            start = find_comments(lines, first, above)
            text += "\n".join(line.rstrip("\f") for line in lines[start - 1 : last])
            after_header, after_variable = False, is_variable
        above = max(above, last)
    return text, size


class _Members:
    def __init__(self, class_: ast.ClassDef) -> None:
        self._class = class_
        self._by_name: dict[str, list[ast.stmt]] = defaultdict(list)
        for statement in class_.body:
            for name in set(bind_names(statement)):
                self._by_name[name].append(statement)
        functions = [node for node in class_.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        self._set_by = {function: _attributes_set(function) for function in functions}
        self._known = self._by_name.keys() | {name for names in self._set_by.values() for name in names}

    def find_used(self, method: Function) -> set[ast.stmt]:
        """The statements of the class body to keep."""
        kept: set[ast.stmt] = set()
        waiting: deque[ast.stmt] = deque([method, *self._overloads(method), *self._always()])
        while waiting:
            statement = waiting.popleft()
            if statement in kept:
                continue
            kept.add(statement)
            for name in sorted(self._used_names(statement)):
                if name.startswith("__") and name not in self._known:
                    continue
                waiting.extend(self._by_name.get(name) or self._setters(name) or self._by_name.get("__getattr__", ()))
        return kept

    def _overloads(self, method: Function) -> Iterator[ast.stmt]:
        for statement in self._by_name[method.name]:
            decorators = getattr(statement, "decorator_list", ())
            if statement is not method and any(dotted_name(each).endswith("overload") for each in decorators):
                yield statement

    def _always(self) -> Iterator[ast.stmt]:
        first = self._class.body[0]
        docstring = ast.get_docstring(self._class, clean=False) is not None
        if docstring and (first.end_lineno or 0) - first.lineno < _MOST_DOCSTRING:
            yield first
        yield from self._by_name.get("__slots__", ())
        if self._class.decorator_list or any(dotted_name(base) != "object" for base in self._class.bases):
            for statement in self._class.body:
                if isinstance(statement, ast.Assign | ast.AnnAssign):
                    yield statement

    def _setters(self, name: str) -> list[ast.stmt]:
        """The method that sets an attribute which the body of the class does not bind."""
        found: list[ast.stmt] = [function for function, names in self._set_by.items() if name in names]
        first = [statement for statement in found if getattr(statement, "name", "") in ("__init__", "__new__")]
        return (first or found)[:1]

    def _used_names(self, statement: ast.stmt) -> set[str]:
        """The members that a statement of the body names, as names (`x`) or attributes (`self.x`)."""
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} & self._by_name.keys()
        at_import = iterate_at_import(statement)
        found = {node.id for node in at_import if isinstance(node, ast.Name)}
        found &= self._by_name.keys()
        selves = {self._class.name, "super", "cls"} | _first_argument(statement)
        for node in ast.walk(statement):
            found |= _implied(node, selves)
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):  # of another object of the class
                found |= {node.attr} & self._known
        return found


def _implied(node: ast.AST, selves: set[str]) -> set[str]:
    """The members of an object that a node uses, by name or by syntax."""

    def own(part: ast.AST | None) -> bool:
        if isinstance(part, ast.Call):
            part = part.func
            return isinstance(part, ast.Name) and part.id == "super"
        return isinstance(part, ast.Name) and part.id in selves

    match node:
        case ast.Attribute(value=value, attr="__class__") if own(value):
            return {"__init__", "__new__"}
        case ast.Attribute(value=value, attr=name) if own(value):
            return {name}
        case ast.Call(func=ast.Name(id="type"), args=[first]) if own(first):
            return {"__init__", "__new__"}
        case ast.Subscript(value=value) if own(value):
            return {"__getitem__", "__setitem__", "__delitem__"}
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _FUNCTIONS and own(first):
            return {f"__{name}__"}
        case ast.Call(
            func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[first, ast.Constant(value=str(name)), *_]
        ):
            return {name} if own(first) else set()
        case ast.Call(func=func) if own(func):
            return {"__call__", "__init__", "__new__"}
        case ast.Call(args=arguments) if any(map(own, arguments)):
            return {"__iter__", "__next__"}
        case ast.For(iter=value) | ast.comprehension(iter=value) if own(value):
            return {"__iter__", "__next__", "__getitem__", "__len__"}
        case ast.withitem(context_expr=value) if own(value):
            return {"__enter__", "__exit__"}
        case ast.Compare(left=left, ops=operators, comparators=others):
            found = {f"__{_OPERATORS[type(each)]}__" for each in operators if type(each) in _OPERATORS}
            if own(left) or any(map(own, others)):
                return found | (
                    {"__contains__"} if any(isinstance(o, ast.In | ast.NotIn) for o in operators) else set()
                )
        case ast.BinOp(left=left, op=operator, right=right) if own(left) or own(right):
            return {f"__{_OPERATORS[type(operator)]}__", f"__r{_OPERATORS[type(operator)]}__"}
        case ast.UnaryOp(op=ast.USub(), operand=value) if own(value):
            return {"__neg__"}
        case ast.UnaryOp(op=ast.Invert(), operand=value) if own(value):
            return {"__invert__"}
    return set()


def _first_argument(method: Function) -> set[str]:
    positional = [*method.args.posonlyargs, *method.args.args]
    return {positional[0].arg} if positional and not is_static(method) else set()


def _attributes_set(method: Function) -> set[str]:
    selves = _first_argument(method)
    return {
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id in selves
    }


def _header_end(class_: ast.ClassDef, lines: list[str]) -> int:
    """The last line of `class …:`, below which the body begins."""
    end = max(first_line(class_.body[0]) - 1, class_.lineno)
    while end > class_.lineno and lines[end - 1].lstrip()[:1] in ("", "#"):
        end -= 1
    return end
