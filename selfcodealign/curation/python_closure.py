"""Find what a function needs of its file to stand alone: import lines, and the definitions that it carries.

A definition is carried whole and word for word: a constant, a helper, a class, a type alias; below an `if`, with the
condition. What binds a name in several steps (`TABLE = {}`, then `TABLE["x"] = 1`, or a function that is called to
fill it) is carried in all of them, in the order of the file, so that a name means in the seed what it means in its
module. Nothing is executed: what the module does at import is read from its text.
"""

from __future__ import annotations

import ast
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from selfcodealign.curation.import_effects import find_effect
from selfcodealign.curation.python_definitions import (
    Definition,
    Definitions,
    TooEntangledError,
    Uses,
    find_comments,
    is_elif,
)
from selfcodealign.curation.python_imports import BUILTINS, ModuleImports
from selfcodealign.curation.python_names import (
    bind_names,
    dotted_name,
    iterate_annotations,
    iterate_at_import,
    load_names,
)
from selfcodealign.settings import SeedSettings

_REASONS = (
    "needs_module_names",
    "relative_import",
    "star_import",
    "undefined_names",
    "closure_too_large",
    "import_effects",
)
_NAMES_SHOWN = 8
_MADE_BY = ("__init__", "__new__", "__post_init__", "__init_subclass__", "__set_name__", "__call__", "__enter__")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a function needs of its file, or the `reason` why it cannot stand alone ("" if it can)."""

    imports: list[str] = field(default_factory=list)
    carried: list[str] = field(default_factory=list)
    text: str = ""
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Root:
    """What is to stand alone: a function or class, its text, and the statement of its file that it is taken from."""

    name: str
    node: ast.stmt
    code: str
    place: ast.stmt


class Module:
    """A parsed file, asked for what its functions need."""

    def __init__(self, tree: ast.Module, lines: list[str]) -> None:
        self.lines = lines
        self.imports = ModuleImports(tree)
        self.definitions = Definitions(tree, lines)

    def find_needs(self, root: Root, settings: SeedSettings, size: int = 0) -> Needs:
        """Find what `root` needs, `size` lines of which count as carried.

        Raises `SyntaxError` for code that parses but does not compile.
        """
        return _Search(self, root, settings, size).run()


class _Search:
    """The search for what one function needs, breadth first, so that the bound on depth means the shortest way."""

    def __init__(self, module: Module, root: Root, settings: SeedSettings, size: int) -> None:
        self._imports, self._definitions, self._lines = module.imports, module.definitions, module.lines
        self._root, self._settings = root, settings
        binders = self._definitions.binders(root.name)
        self._position = next((found.position for found in binders if found.node is root.place), 0)
        self._reasons: dict[str, set[str]] = defaultdict(set)
        self._chains: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        self._imported: set[str] = set()
        self._taken: dict[Definition, set[str]] = {}
        self._overloads: list[Definition] = []
        self._waiting: deque[tuple[str, int | None, int]] = deque()
        self._asked: set[tuple[str, int | None]] = set()
        self._uses_root = False
        self._size = size

    def run(self) -> Needs:
        uses = self._definitions.find_uses(self._root.node, self._root.code)
        self._uses_root = self._root.name in uses.names
        self._use(uses, self._position, 1)
        if self._settings.closure:
            self._take_overloads()
        try:
            while self._waiting and not self._reasons["closure_too_large"]:
                self._find(*self._waiting.popleft())
            self._check_order(uses)
        except TooEntangledError:
            self._reasons["closure_too_large"].add("its file's functions call each other too much")
        if has_relative_import(self._root.node):
            self._reasons["relative_import"].add("inside the function")
        self._check_effects()
        lines = self._choose_imports()
        for reason in _REASONS:
            if self._reasons[reason]:
                return Needs(reason=reason, detail=_list(self._reasons[reason]))
        text = self._lay_out()
        return Needs(lines, self._names(), text)

    def _use(self, uses: Uses, position: int, depth: int, own: frozenset[str] = frozenset()) -> None:
        """Look for the names that a definition at `position` uses: those read as it runs as they are then."""
        for name, chains in uses.chains.items():
            self._chains[name] |= chains
        for name in sorted(uses.names - own - {self._root.name}):
            if name in uses.later or name not in uses.now:
                self._waiting.append((name, None, depth))
            if name in uses.now:
                self._waiting.append((name, position, depth))

    def _find(self, name: str, before: int | None, depth: int) -> None:
        """Take what `name` means to code that runs before the definition at `before`, or after the whole module."""
        if (name, before) in self._asked:
            return
        self._asked.add((name, before))
        if name not in self._definitions:
            if name not in BUILTINS:
                self._reasons["star_import" if self._imports.has_star else "undefined_names"].add(name)
            elif name == "globals":  # what it reads is not written
                self._reasons["needs_module_names"].add("globals()")
        elif self._imports.binds(name) and not (self._settings.closure and self._imports.depends_on_code(name)):
            self._imported.add(name)
        elif not self._settings.closure:
            self._reasons["needs_module_names"].add(name)
        else:
            self._take_all(name, before, depth)

    def _take_all(self, name: str, before: int | None, depth: int) -> None:
        found = self._definitions.touching(name)
        if before is not None:
            found = self._from_last_binding(name, [each for each in found if each.position < before])
        binders = [each for each in found if name in each.binds]
        if not binders:
            if name not in BUILTINS:
                self._reasons["needs_module_names"].add(f"{name} (bound later)")
        elif _deletes(binders[-1].node, name):
            self._reasons["needs_module_names"].add(f"{name} (deleted)")
        elif sum(map(_is_plain_definition, binders)) > 1:
            self._reasons["needs_module_names"].add(f"{name} (defined more than once)")
        elif depth > self._settings.closure_depth:
            self._reasons["closure_too_large"].add(f"{name} is {depth} steps away")
        else:
            for definition in found:
                self._take(definition, name, depth)
                if self._reasons["closure_too_large"]:
                    break

    def _from_last_binding(self, name: str, found: list[Definition]) -> list[Definition]:
        """Without what came before the last statement that binds the name whatever it was."""
        for index in range(len(found) - 1, -1, -1):
            definition = found[index]
            if (
                name in definition.binds
                and not definition.guards
                and _binds_afresh(definition.node, name)
                and name not in self._definitions.uses(definition).now
            ):
                return found[index:]
        return found

    def _take(self, definition: Definition, name: str, depth: int) -> None:
        if definition in self._taken:
            self._taken[definition].add(name)
            return
        if definition.node is self._root.place:
            self._reasons["needs_module_names"].add(f"{name} (changed by what needs it)")
            return
        self._taken[definition] = {name}
        self._size += definition.last - definition.first + 1
        if self._size > self._settings.closure_lines:  # before the text is looked at, which may be long
            self._reasons["closure_too_large"].add(f"{self._size} lines with {name}")
            return
        if has_relative_import(definition.node):
            self._reasons["relative_import"].add(name)
        for guard in definition.guards:
            for used in sorted(load_names(guard.test)):
                self._waiting.append((used, definition.position, depth + 1))
        if isinstance(definition.node, ast.Import | ast.ImportFrom):
            return
        if has_star_import(definition.node):
            self._reasons["star_import"].add(name)
        uses = self._definitions.uses(definition)
        if self._root.name in uses.names:
            self._uses_root = True
            if self._root.name in uses.now:  # the function stands below all that it carries
                self._reasons["needs_module_names"].add(f"{name} (needs {self._root.name} when it is defined)")
        self._use(uses, definition.position, depth + 1, definition.binds)
        for bound in sorted((definition.binds & uses.now) - _loop_targets(definition.node)):
            if any(each.position < definition.position for each in self._definitions.touching(bound)):
                self._waiting.append((bound, definition.position, depth + 1))

    def _take_overloads(self) -> None:
        """The overloads of the function say what its types are."""
        if not isinstance(self._root.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        for definition in self._definitions.binders(self._root.name):
            if definition.position < self._position and _is_overload(definition.node) and not definition.guards:
                self._overloads.append(definition)
                uses = self._definitions.uses(definition)
                self._size += definition.last - definition.first + 1
                self._use(uses, definition.position, 1, definition.binds)

    def _check_order(self, uses: Uses) -> None:
        """The function comes last in the seed: what changes after it in its file may not decide what it is."""
        for name in uses.now:
            if any(name in names and each.position > self._position for each, names in self._taken.items()):
                self._reasons["needs_module_names"].add(f"{name} (changed later)")
        if self._uses_root and self._settings.closure:
            others = [each for each in self._definitions.touching(self._root.name) if each.node is not self._root.place]
            if any(each not in self._overloads for each in others):
                self._reasons["needs_module_names"].add(f"{self._root.name} (changed elsewhere)")

    def _check_effects(self) -> None:
        """What is carried runs when the seed is imported, and so do the functions that it calls then."""
        functions = {name: each.node for each, names in self._taken.items() for name in names if _has_body(each.node)}
        running = _find_running(
            [each.node for each in self._taken], functions, self._definitions.has_annotations_future
        )
        called = {name.id for node in running for name in _called_names(node)}
        if self._root.name in called:
            self._reasons["needs_module_names"].add(f"{self._root.name} (called when what it needs is defined)")
        if effect := find_effect(running):
            self._reasons["import_effects"].add(effect)

    def _choose_imports(self) -> list[str]:
        taken = self._taken.keys()
        provided = {name for name in self._imported if all(each in taken for each in self._definitions.binders(name))}
        for name in self._imported:
            if self._definitions.patches(name, self._chains.get(name) or {(name,)}):
                self._reasons["needs_module_names"].add(f"{name} (changed by the file)")
        lines, reasons = self._imports.choose(self._imported - provided, self._chains)
        for reason, names in reasons.items():
            self._reasons[reason] |= names
        nodes = [self._root.node, *(each.node for each in [*taken, *self._overloads])]
        if self._definitions.has_annotations_future and any(True for node in nodes for _ in iterate_annotations(node)):
            lines.insert(0, "from __future__ import annotations")
        return lines

    def _names(self) -> list[str]:
        found: dict[str, None] = {}
        for definition in self._in_order():
            for name in sorted(self._taken[definition] & definition.binds):
                found[name] = None
        return list(found)

    def _in_order(self) -> list[Definition]:
        return sorted(self._taken, key=lambda definition: definition.position)

    def _lay_out(self) -> str:
        """The text of what is carried, in the order of the file, with the comments directly above."""
        blocks: list[tuple[str, bool]] = []
        groups: dict[ast.stmt, list[Definition]] = {}
        for definition in [*self._in_order(), *self._overloads]:
            groups.setdefault(definition.guards[0] if definition.guards else definition.node, []).append(definition)
        for node, members in groups.items():
            spaced = any(member.is_callable for member in members)
            if isinstance(node, ast.If) and members[0].guards:
                whole = [each for each in self._definitions.all if each.guards[:1] == (node,)]
                text = (
                    "\n".join(self._lines[node.lineno - 1 : node.end_lineno])
                    if len(whole) == len(members)
                    else "\n".join(self._lay_out_if(node, set(members), 0, "if"))
                )
            else:
                text = self._text(members[0])
            blocks.append((text, spaced))
        parts: list[str] = []
        for number, (text, spaced) in enumerate(blocks):
            if number:
                parts.append("\n\n\n" if spaced or blocks[number - 1][1] else "\n")
            parts.append(text)
        return "".join(parts)

    def _lay_out_if(self, node: ast.If, kept: set[Definition], depth: int, keyword: str) -> Iterator[str]:
        """An `if` with those of the statements below it that are kept."""
        pad = "    " * depth
        yield f"{pad}{keyword} {ast.unparse(node.test)}:"
        body = list(self._lay_out_branch(node.body, kept, depth + 1))
        yield from body or [f"{pad}    pass"]
        other = list(self._lay_out_branch(node.orelse, kept, depth + 1))
        if not other:
            return
        if is_elif(node) and isinstance(node.orelse[0], ast.If):
            yield from self._lay_out_if(node.orelse[0], kept, depth, "elif")
        else:
            yield f"{pad}else:"
            yield from other

    def _lay_out_branch(self, body: list[ast.stmt], kept: set[Definition], depth: int) -> Iterator[str]:
        for statement in body:
            own = next((each for each in kept if each.node is statement), None)
            if own:
                yield self._text(own)
            elif isinstance(statement, ast.If) and any(statement in each.guards for each in kept):
                yield from self._lay_out_if(statement, kept, depth, "if")

    def _text(self, definition: Definition) -> str:
        pad = "    " * len(definition.guards)
        if isinstance(definition.node, ast.Import | ast.ImportFrom):
            wanted = self._taken[definition]
            names = [
                alias for alias in definition.node.names if (alias.asname or alias.name.partition(".")[0]) in wanted
            ]
            if isinstance(definition.node, ast.Import):
                return pad + ast.unparse(ast.Import(names=names))
            return pad + ast.unparse(ast.ImportFrom(definition.node.module, names, definition.node.level))
        if definition.shares_lines:
            return pad + self._definitions.text(definition)
        before = self._definitions.all[definition.position - 1].last if definition.position else 0
        first = find_comments(self._lines, definition.first, before)
        comments = self._lines[first - 1 : definition.first - 1]
        return "\n".join([*comments, self._definitions.text(definition)])


def _find_running(statements: list[ast.stmt], functions: dict[str, ast.stmt], future: bool) -> list[ast.AST]:
    """The nodes that run when the statements do, those of the functions and methods that they call included."""
    found = [node for each in statements for node in iterate_at_import(each, annotations=not future)]
    entered: set[ast.AST] = set()
    methods = set(_MADE_BY)
    index = 0
    classes: list[ast.ClassDef] = []
    while index < len(found):
        node = found[index]
        index += 1
        if isinstance(node, ast.Attribute) and node.attr not in methods:
            methods.add(node.attr)
            entering = [method for class_ in classes for method in _methods(class_) if method.name == node.attr]
        else:
            entering = [functions[name.id] for name in _called_names(node) if name.id in functions]
        for each in entering:
            if each in entered:
                continue
            entered.add(each)
            if isinstance(each, ast.ClassDef):
                classes.append(each)
                made = [method for method in _methods(each) if method.name in methods and method not in entered]
                entered.update(made)
                found.extend(part for method in made for statement in method.body for part in ast.walk(statement))
            else:
                found.extend(ast.walk(each))
    return found


def _methods(class_: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in class_.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _called_names(node: ast.AST) -> Iterator[ast.Name]:
    """The names in a call, which it may call, and in decorators."""
    parts = [node] if isinstance(node, ast.Call) else getattr(node, "decorator_list", ())
    for part in parts:
        for name in ast.walk(part):
            if isinstance(name, ast.Name):
                yield name


def has_relative_import(tree: ast.AST) -> bool:
    """Whether an import below `tree` works inside of its package only."""
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


def has_star_import(tree: ast.AST) -> bool:
    """Whether an import below `tree` binds names that are not written there."""
    return any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree))


def _deletes(tree: ast.stmt, name: str) -> bool:
    return any(isinstance(node, ast.Delete) and name in bind_names(node) for node in iterate_at_import(tree))


def _list(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMES_SHOWN} more" if len(ordered) > _NAMES_SHOWN else ""
    return ", ".join(ordered[:_NAMES_SHOWN]) + more


def _is_overload(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
        dotted_name(decorator).rpartition(".")[2] == "overload" for decorator in node.decorator_list
    )


def _is_plain_definition(definition: Definition) -> bool:
    """Whether a linter takes it for a mistake to have another definition of the same name before or after it."""
    return definition.is_callable and not definition.guards and not _is_overload(definition.node)


def _binds_afresh(node: ast.stmt, name: str) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(targets=targets):
            names = {part.id for target in targets for part in _unpack(target) if isinstance(part, ast.Name)}
            return name in names
        case ast.AnnAssign(target=ast.Name(id=found), value=value):
            return found == name and value is not None
    return False


def _unpack(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _unpack(part)
    else:
        yield target


def _loop_targets(node: ast.stmt) -> set[str]:
    """The names that loops and `with` bind before they are read."""
    found: set[str] = set()
    for part in ast.walk(node):
        match part:
            case ast.For(target=target) | ast.AsyncFor(target=target) | ast.comprehension(target=target):
                found |= load_names(target)
            case ast.withitem(optional_vars=ast.expr() as target):
                found |= load_names(target)
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
    return found


def _has_body(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or (
        isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
    )
