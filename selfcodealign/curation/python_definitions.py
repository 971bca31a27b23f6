"""The top level of a module as definitions: where each name is bound, and which statements change it later."""

from __future__ import annotations

import ast
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from selfcodealign.curation.python_names import (
    Chains,
    Function,
    bind_names,
    find_global_names,
    find_quoted_types,
    iterate_at_import,
    root_name,
)

#: Steps from function to function that are taken to find who changes a variable, in one file.
_MOST_STEPS = 200_000
_INDENT = 4
_MOST_COMMENTS = 8
_CHANGES = frozenset(
    {
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "insert",
        "pop",
        "popitem",
        "register",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "update",
    }
)
_CHANGERS = frozenset({"setattr", "delattr", "next"})  # builtins that change their first argument


class TooEntangledError(Exception):
    """The functions of a file call each other so much that who changes a variable is not looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A statement at the top level or below an `if` there, its lines (with decorators, from 1) and what it binds.

    `guards`: the `if` statements around it. `shares_lines`: another statement stands on the same line.
    """

    node: ast.stmt
    position: int
    guards: tuple[ast.If, ...]
    first: int
    last: int
    binds: frozenset[str]
    shares_lines: bool

    @property
    def is_callable(self) -> bool:
        return isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Uses:
    """The module-level and builtin names that a definition uses, with attribute chains.

    `now`: those read as it runs; `later`: those read when the functions in it are called.
    """

    names: set[str]
    chains: Chains
    now: set[str]
    later: set[str]


class Definitions:
    """All definitions of a module, in order; nothing is worked out before it is asked for."""

    def __init__(self, tree: ast.Module, lines: list[str]) -> None:
        self._lines = lines
        self._uses: dict[Definition, Uses] = {}
        self._touching: dict[str, list[Definition]] = {}
        self._steps = 0
        self.has_annotations_future = any(
            isinstance(statement, ast.ImportFrom)
            and statement.module == "__future__"
            and any(alias.name == "annotations" for alias in statement.names)
            for statement in tree.body
        )
        self.all = list(_number(_split(tree.body, ())))
        self._binders: dict[str, list[Definition]] = defaultdict(list)
        for definition in self.all:
            for name in definition.binds:
                self._binders[name].append(definition)

    def __contains__(self, name: str) -> bool:
        return name in self._binders

    def binders(self, name: str) -> list[Definition]:
        """The definitions that bind a name, in order."""
        return self._binders.get(name, [])

    def touching(self, name: str) -> list[Definition]:
        """The definitions that bind a name or visibly change what it names, in order."""
        if name not in self._touching:
            found = {*self.binders(name)}
            for each in [name, *self._changes.find_aliases(name)]:
                changing = {*self._changes.direct[each], *self._find_callers(each)}
                if all(
                    definition.is_callable for definition in self.binders(name)
                ):  # passing it on changes no function
                    changing -= self._changes.passed[each] - self._changes.surely[each]
                found |= changing
            self._touching[name] = sorted(found, key=lambda definition: definition.position)
        return self._touching[name]

    def uses(self, definition: Definition) -> Uses:
        """The names that a definition uses. Raises `SyntaxError` for code that parses but does not compile."""
        if definition not in self._uses:
            code = self.text(definition)
            if definition.guards and not definition.shares_lines:
                code = "if 1:\n" + code
            self._uses[definition] = self.find_uses(definition.node, code)
        return self._uses[definition]

    def find_uses(self, node: ast.stmt, code: str) -> Uses:
        """The names that a statement with source text `code` uses."""
        names, chains = find_global_names(node, code)
        names |= {name for name in find_quoted_types(node) if name in self._binders}
        at_import = set(iterate_at_import(node, annotations=not self.has_annotations_future))
        now = {part.id for part in at_import if isinstance(part, ast.Name)}
        later = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and part not in at_import}
        return Uses(names, chains, now & names, later & names)

    def text(self, definition: Definition) -> str:
        """The source text, on its own lines and at its own indentation."""
        if definition.shares_lines:
            return segment(self._lines, definition.node)
        return "\n".join(line.rstrip("\f") for line in self._lines[definition.first - 1 : definition.last]).strip("\f")

    def patches(self, name: str, chains: Iterable[tuple[str, ...]]) -> bool:
        """Whether the module assigns to an attribute or item of `name` that these attribute chains read."""
        changed = self._changes.assigned[name]
        return any(path[: len(chain)] == chain[: len(path)] for path in changed for chain in chains)

    @cached_property
    def _changes(self) -> _Changes:
        return _Changes(self.all, self._binders)

    def _find_callers(self, name: str) -> set[Definition]:
        """The definitions that call, as they run, a function that changes the variable `name`."""
        changes = self._changes
        waiting = deque(changes.writers[name])
        seen = set(waiting)
        found: set[Definition] = set()
        while waiting:
            function = waiting.popleft()
            found |= changes.called_at_import[function]
            for caller in changes.callers[function]:
                self._steps += 1
                if self._steps > _MOST_STEPS:
                    raise TooEntangledError
                if caller not in seen:
                    seen.add(caller)
                    waiting.append(caller)
        return found


class _Changes:
    """Which statements and functions of a module change which of its variables, and which functions call which."""

    def __init__(self, definitions: list[Definition], known: dict[str, list[Definition]]) -> None:
        self._known = known
        self.surely: dict[str, set[Definition]] = defaultdict(set)
        self.passed: dict[str, set[Definition]] = defaultdict(set)
        self.direct: dict[str, set[Definition]] = defaultdict(set)
        self.writers: dict[str, set[str]] = defaultdict(set)
        self.callers: dict[str, set[str]] = defaultdict(set)
        self.called_at_import: dict[str, set[Definition]] = defaultdict(set)
        self.assigned: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        self._aliases: dict[str, set[str]] = defaultdict(set)
        self._told_of_subclasses: dict[str, set[str]] = defaultdict(set)
        for definition in definitions:
            if isinstance(definition.node, ast.Import | ast.ImportFrom):
                continue
            self._look_at_import(definition)
            for name in definition.binds if definition.is_callable else _lambda_names(definition.node):
                self._look_inside(name, definition.node)

    def find_aliases(self, name: str) -> set[str]:
        """The other names that visibly stand for the same object, or for a part of it."""
        found = {name}
        waiting = [name]
        while waiting:
            new = self._aliases[waiting.pop()] - found
            found |= new
            waiting.extend(new)
        return found - {name}

    def _look_at_import(self, definition: Definition) -> None:
        for node in iterate_at_import(definition.node, annotations=False):
            called: Iterable[ast.AST] = ()
            match node:
                case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                    self._note(self.surely, node, definition)
                    self.assigned[root_name(node)].add(_plain_path(node))
                case ast.Assign(targets=targets, value=value):
                    self._note_aliases([*targets, value])
                case ast.FunctionDef(decorator_list=called) | ast.AsyncFunctionDef(decorator_list=called):
                    self._note_decorators(called, definition)
                case ast.ClassDef(decorator_list=called):
                    self._note_decorators(called, definition)
                    self._note_bases(node, definition)
                case ast.Expr(value=ast.Call() as call):
                    if isinstance(call.func, ast.Attribute):
                        self._note(self.surely, call.func, definition)
                    for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
                        if isinstance(argument, ast.Name | ast.Starred):
                            self._note(self.passed, argument, definition)
                    called = [call]
                case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in _CHANGES:
                    self._note(self.surely, node, definition)
                    called = [node]
                case ast.Call(func=ast.Name(id=changer), args=[first, *_]) if changer in _CHANGERS:
                    self._note(self.surely, first, definition)
                    self.assigned[root_name(first)].add(_plain_path(first))
                    called = [node]
                case ast.Call():
                    called = [node]
            for part in called:
                for name in ast.walk(part.func if isinstance(part, ast.Call) else part):
                    if isinstance(name, ast.Name) and name.id in self._known:
                        self.called_at_import[name.id].add(definition)
                for argument in part.args if isinstance(part, ast.Call) else ():
                    if isinstance(argument, ast.Name) and argument.id in self._known:  # map(register, …)
                        self.called_at_import[argument.id].add(definition)

    def _note_decorators(self, decorators: Iterable[ast.expr], definition: Definition) -> None:
        """`@register.of(…)` may change what `register` names."""
        for decorator in decorators:
            func = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(func, ast.Attribute):
                self._note(self.surely, func, definition)

    def _note_aliases(self, parts: list[ast.expr]) -> None:
        """`a = b = []`, `a = b` and `a = b.c` name one object, or a part of it, twice; `a = b[:]` copies."""
        names = {part.id for part in parts[:-1] if isinstance(part, ast.Name)}
        match parts[-1]:
            case ast.Subscript(slice=ast.Slice()):
                pass
            case ast.Name() | ast.Attribute() | ast.Subscript() if names:
                names.add(root_name(parts[-1]))
        names &= self._known.keys()
        for name in names:
            self._aliases[name] |= names - {name}

    def _note_bases(self, node: ast.ClassDef, definition: Definition) -> None:
        """A class calls its metaclass, and `__init_subclass__` of its bases, when it is made."""
        metaclasses = {root_name(each.value) for each in node.keywords if each.arg == "metaclass"}
        told = metaclasses.union(*(self._told_of_subclasses[root_name(base)] for base in node.bases))
        for name in told & self._known.keys():
            self.called_at_import[name].add(definition)
        hooks = {
            method.args.args[0].arg: method
            for method in node.body
            if isinstance(method, ast.FunctionDef)
            and method.name in ("__init_subclass__", "__new__")
            and method.args.args
        }
        if any(method.name == "__init_subclass__" for method in hooks.values()):
            told = told | {node.name}
        self._told_of_subclasses[node.name] = told
        for first, method in hooks.items():
            if any(_changes_part_of(first, part) for part in ast.walk(method)):
                self.writers[node.name].add(node.name)

    def _note(self, where: dict[str, set[Definition]], node: ast.AST, definition: Definition) -> None:
        name = root_name(node)
        if name in self._known:
            where[name].add(definition)
            self.direct[name].add(definition)

    def _look_inside(self, owner: str, tree: ast.AST) -> None:
        """Note which functions `owner` names, and which variables of the module it changes when called."""
        for node, local in _walk_scopes(tree):
            match node:
                case ast.Name(id=name) if name not in local and name in self._known:
                    self.callers[name].add(owner)
                    if isinstance(node.ctx, ast.Store | ast.Del) and node is not tree:
                        self.writers[name].add(owner)
                case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                    self._note_writer(node, local, owner)
                case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in _CHANGES:
                    self._note_writer(node, local, owner)
                case ast.Call(func=ast.Name(id=changer), args=[first, *_]) if changer in _CHANGERS:
                    self._note_writer(first, local, owner)

    def _note_writer(self, node: ast.AST, local: frozenset[str], owner: str) -> None:
        name = root_name(node)
        if name in self._known and name not in local:
            self.writers[name].add(owner)


def _plain_path(node: ast.AST) -> tuple[str, ...]:
    """The names and attributes that an expression begins with, up to its first call or index."""
    parts: list[str] = []
    while True:
        match node:
            case ast.Attribute(value=inner, attr=attribute):
                parts.append(attribute)
                node = inner
            case ast.Subscript(value=inner) | ast.Call(func=inner) | ast.Starred(value=inner):
                parts.clear()
                node = inner
            case ast.Name(id=name):
                return (name, *reversed(parts))
            case _:
                return ()


def _changes_part_of(name: str, node: ast.AST) -> bool:
    """Whether a node changes what an attribute of `name` holds: `cls.known[key] = cls`, `cls.known.append(cls)`."""
    match node:
        case ast.Subscript(ctx=ast.Store() | ast.Del()):
            return root_name(node) == name
        case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in _CHANGES:
            return root_name(node) == name
    return False


def _lambda_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _walk_scopes(tree: ast.AST) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Yield every node with the names that are local where it stands."""
    stack: list[tuple[ast.AST, frozenset[str]]] = [(tree, frozenset())]
    while stack:
        node, local = stack.pop()
        yield node, local
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            local = local | _local_names(node)
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            local = local | {
                name.id for part in node.generators for name in ast.walk(part.target) if isinstance(name, ast.Name)
            }
        elif isinstance(node, ast.ClassDef):  # its body's names are not seen from its methods, but seldom matter
            local = local | {name for statement in node.body for name in bind_names(statement)}
        stack.extend((child, local) for child in ast.iter_child_nodes(node))


def _local_names(function: Function | ast.Lambda) -> set[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    found = {argument.arg for argument in every if argument}
    if isinstance(function, ast.Lambda):
        return found
    for statement in function.body:
        found.update(bind_names(statement))
    return found - {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}


def _number(statements: Iterable[tuple[ast.stmt, tuple[ast.If, ...]]]) -> Iterator[Definition]:
    found = list(statements)
    for position, (node, guards) in enumerate(found):
        first = first_line(node)
        last = node.end_lineno or first
        before = found[position - 1][0] if position else None
        after = found[position + 1][0] if position + 1 < len(found) else None
        shares = (before is not None and (before.end_lineno or 0) >= first) or (
            after is not None and first_line(after) <= last
        )
        yield Definition(node, position, guards, first, last, frozenset(bind_names(node)) - {"*"}, shares)


def first_line(node: ast.stmt) -> int:
    """The first line of a statement, its decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])


def _split(body: list[ast.stmt], guards: tuple[ast.If, ...]) -> Iterator[tuple[ast.stmt, tuple[ast.If, ...]]]:
    """Yield the statements of the top level; an `if` in ordinary layout is split into those below it."""
    for statement in body:
        if isinstance(statement, ast.If) and not guards and is_main_guard(statement):
            continue
        if isinstance(statement, ast.If) and _can_be_split(statement):
            yield from _split(statement.body, (*guards, statement))
            yield from _split(statement.orelse, (*guards, statement))
        else:
            yield statement, guards


def is_main_guard(statement: ast.If) -> bool:
    """Whether it is `if __name__ == "__main__":`, which an imported module does not run."""
    match statement:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]), orelse=[]):
            return True
    return False


def _can_be_split(statement: ast.If) -> bool:
    indent = statement.col_offset + _INDENT
    if statement.col_offset % _INDENT or not all(_stands_at(child, indent) for child in statement.body):
        return False
    if statement.body[0].lineno <= (statement.test.end_lineno or 0):
        return False
    if is_elif(statement):
        return isinstance(statement.orelse[0], ast.If) and _can_be_split(statement.orelse[0])
    return all(_stands_at(child, indent) for child in statement.orelse)


def _stands_at(statement: ast.stmt, indent: int) -> bool:
    return statement.col_offset == indent


def is_elif(statement: ast.If) -> bool:
    """Whether the other branch of an `if` is an `elif`."""
    match statement.orelse:
        case [ast.If(col_offset=offset)]:
            return offset == statement.col_offset
    return False


def find_comments(lines: list[str], first: int, after: int) -> int:
    """The line of the first comment that stands directly above line `first`, below line `after`; else `first`."""
    indent = lines[first - 1][: len(lines[first - 1]) - len(lines[first - 1].lstrip())]
    line = first
    while line - 1 > after and lines[line - 2].startswith(indent + "#"):
        line -= 1
    # A block that begins the file, or a long one, is about more than this statement.
    return line if line > 1 and first - line <= _MOST_COMMENTS else first


def segment(lines: list[str], node: ast.stmt) -> str:
    """The source of a statement that shares its lines with others."""
    part = [line.encode() for line in lines[node.lineno - 1 : node.end_lineno]]
    part[-1] = part[-1][: node.end_col_offset]
    part[0] = part[0][node.col_offset :]
    return b"\n".join(part).decode()
