"""Builds a program: from its texts to marked, compiled code, before its process exists.

The server builds ordinary programs itself, because after a fork every page written to is copied; a text that could
exhaust the parser is built inside the program's own process. Nothing here runs foreign code.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from selfcodealign.sandbox.language import BuildError
from selfcodealign.sandbox.python.assertions import exit_places, mark_assertions
from selfcodealign.sandbox.python.instrument import TRUE_BUILTINS, Site, mark_functions, mark_tests
from selfcodealign.sandbox.python.machinery import find_machinery
from selfcodealign.sandbox.python.mutants import apply_mutant, list_mutants, tolerate_examples
from selfcodealign.sandbox.python.names import defined_names, is_deep, nodes_of, redefined_names, value_names
from selfcodealign.sandbox.python.own_imports import ALWAYS_OWN, offered_names, resolve_own_imports
from selfcodealign.sandbox.python.shadows import TrueBuiltins, find_shadowed
from selfcodealign.sandbox.python.split.untouched import derived_sides
from selfcodealign.sandbox.python.turns import mark_turns

RESPONSE_FILE, TESTS_FILE = "<response>", "<tests>"
UNBUILDABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)
_MOST_SAFE_CHARACTERS = 24 * 1024
_DEEPEST_SAFE_BRACKETS = 50
_DEEPEST_SAFE_TREE = 100  # what looks at every part of every part takes this many times as long
_MOST_SAFE_FINALLY = 5  # the compiler writes the block of a `finally` twice, and so each one in it
# Ways to patch the libraries that assertions use; a program without them needs no check for patches.
_PATCHING_WORDS = frozenset(
    {"setattr", "__setattr__", "delattr", "__dict__", "vars", "globals", "locals", "exec", "eval"}
)
_PATCHING_WORDS |= {"__builtins__", "builtins", "patch", "monkeypatch", "__import__", "update", "modules", "getattr"}
# Ways to ask for the text of a program.
_SOURCE_WORDS = frozenset({"inspect", "getsource", "getsourcelines", "getsourcefile", "linecache"})
_THREADING_MODULES = frozenset({"threading", "concurrent", "asyncio"})


@dataclass(slots=True)
class Built:
    """A program ready to run.

    `functions` counts the marked functions of the response; `slots` numbers the test functions; `units` names the
    top-level test functions and classes that may have to be called, in order; `aliases` are the module names by which
    the tests import their response; `reloads` and `sources` serve `importlib.reload` and `inspect.getsource`.
    """

    response: CodeType
    tests: CodeType
    functions: int = 0
    sites: list[Site] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)
    units: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    mutants: list[tuple[int, str]] = field(default_factory=list)
    doctests: str = ""
    uses_unittest: bool = False
    uses_doctest: bool = False
    uses_threads: bool = False
    may_patch: bool = False
    tests_patch: bool = False
    tampering: tuple[int, str] | None = None
    exits: list[tuple[int, ...]] = field(default_factory=list)  # where the tests exit: lines and columns
    reloads: bool = False
    uses_processes: bool = False
    sources: list[str] = field(default_factory=list)  # of the response and the tests, where the program asks for them

    def pack(self) -> tuple[Any, ...]:
        """Convert to marshal values."""
        sites = [tuple(getattr(site, name) for name in Site.__slots__) for site in self.sites]
        return tuple(sites if name == "sites" else getattr(self, name) for name in Built.__slots__)

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Built:
        """The inverse of `pack`."""
        built = cls(*values)
        built.sites = [Site(*site) for site in values[Built.__slots__.index("sites")]]
        return built


def is_safe_to_parse(job: dict[str, Any]) -> bool:
    """Whether the server can build the texts without risk, as far as is seen before they are parsed.

    They are short, not deeply nested, and the compiler takes time in proportion to their length.
    """
    text = job["response"] + job["tests"]
    if len(text) > _MOST_SAFE_CHARACTERS or text.count("finally") > _MOST_SAFE_FINALLY:
        return False
    depth = deepest = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest <= _DEEPEST_SAFE_BRACKETS


class TooCostly(Exception):
    """A text whose building may take long: only for the program's own process, under its limits."""


class ResponsePart:
    """What programs with one response and separate tests share: its tree, read only, and its marked code.

    Raises `BuildError`, and with `only_cheap` `TooCostly`.
    """

    def __init__(self, text: str, only_cheap: bool) -> None:
        try:
            self.tree = ast.parse(text, RESPONSE_FILE)
            if only_cheap and is_deep(self.tree, _DEEPEST_SAFE_TREE):
                raise TooCostly
            self.nodes = nodes_of(self.tree)
            self.words = _words(self.nodes)
            marked = ast.parse(text, RESPONSE_FILE)
            self.functions = mark_functions(marked, text)
            self.code = compile(marked, RESPONSE_FILE, "exec", dont_inherit=True)
        except UNBUILDABLE as error:
            raise BuildError("parse response", error) from None


def build_program(
    job: dict[str, Any], mutant: str | None = None, only_cheap: bool = False, part: ResponsePart | None = None
) -> Built:
    """Parse, apply `mutant` if given, mark and compile. Raises `BuildError`, and with `only_cheap` `TooCostly`.

    `part`: of the response, where it is the same as that of other programs.
    """
    phase = "parse response"
    try:
        response = part.tree if part else ast.parse(job["response"], RESPONSE_FILE)
        phase = "parse tests"
        tests, doctests = _parse_tests(job["tests"])
        phase = "build"
        deep = is_deep(tests, _DEEPEST_SAFE_TREE) or (part is None and is_deep(response, _DEEPEST_SAFE_TREE))
        if only_cheap and deep:
            raise TooCostly
        return _build(job, response, tests, doctests, mutant, part)
    except UNBUILDABLE as error:
        raise BuildError(phase, error) from None


_ASYNC = re.compile(r"\b(async|await|asyncio)\b")
_EXECUTING = re.compile(r"\b(eval|exec|compile|pickle|cPickle|dill|cloudpickle|marshal|shelve|runpy)\b(?!\s*=)")
_WORD = re.compile(r"[^\W\d]\w*")


def names_for_judge(job: dict[str, Any]) -> dict[str, Any]:
    """What a judge in another process has to know of the response's text, read here and not told by the response.

    `imports`: what its import statements bind, as (name, module, member or ""); `defined`: the names it defines;
    `wanted`: the words of both texts; `rebound`: the names that the tests define themselves; `tests_async`: whether the
    tests use coroutines; `tests_execute`: whether they may execute a text or data that the response returns.
    """
    tree = ast.parse(job["response"], RESPONSE_FILE)
    imports: list[tuple[str, str, str]] = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.asname or "." not in alias.name
                name = alias.name if whole else alias.name.partition(".")[0]
                imports.append((alias.asname or name, name, ""))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports += [(alias.asname or alias.name, node.module, alias.name) for alias in node.names]
    wanted = sorted(set(_WORD.findall(job["tests"])) & set(_WORD.findall(job["response"])))
    rebound = sorted(defined_names(_parse_tests(job["tests"])[0]))
    told: dict[str, Any] = {"imports": imports, "defined": sorted(defined_names(tree)), "wanted": wanted}
    told |= {"rebound": rebound, "tests_async": _ASYNC.search(job["tests"]) is not None}
    return told | {"tests_execute": _EXECUTING.search(job["tests"]) is not None}


def sides_for_judge(job: dict[str, Any], aliases: list[str]) -> dict[int, list[bool]]:
    """Return which sides of the tests' assertions derive from the response, by line."""
    tests = _parse_tests(job["tests"])[0]
    own = defined_names(ast.parse(job["response"], RESPONSE_FILE)) - defined_names(tests)
    for node in nodes_of(tests):
        if isinstance(node, ast.ImportFrom) and (node.level or node.module in (*ALWAYS_OWN, *aliases)):
            own |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            own |= {alias.asname or alias.name for alias in node.names if alias.name in (*ALWAYS_OWN, *aliases)}
    return derived_sides(tests, own)


def _build(
    job: dict[str, Any],
    response: ast.Module,
    tests: ast.Module,
    doctests: str,
    mutant: str | None = None,
    part: ResponsePart | None = None,
) -> Built:
    own_names, own_values = defined_names(response), value_names(response)
    response_nodes, tests_nodes = part.nodes if part else nodes_of(response), nodes_of(tests)
    apart = not job["tests_inside"]
    aliases, rewritten = resolve_own_imports(
        tests if apart else response,
        tests_nodes if apart else response_nodes,
        own_names,
        offered_names(response_nodes if apart else [], own_names),
        apart,
    )
    if rewritten:
        response_nodes, tests_nodes = part.nodes if part else nodes_of(response), nodes_of(tests)
    nodes = response_nodes + tests_nodes
    response_words, tests_words = part.words if part else _words(response_nodes), _words(tests_nodes)
    words = response_words | tests_words
    tampering, shadowed = None, set()
    if mutant is None and job["kind"] == "tests":
        tampering = find_machinery(response, response_nodes, response_words, tests_nodes if apart else None)
    if job["kind"] != "script" and apart:
        shadowed = find_shadowed(response_nodes, response_words, tests, tests_nodes, own_names)
    mutants = list_mutants(response, apart) if job["mutants_wanted"] else []
    if mutant is not None:
        apply_mutant(response, mutant)
        if apart:
            tolerate_examples(response)
        response_nodes = nodes_of(response)
    if job["tests_inside"]:
        judged, judged_nodes, source = response, response_nodes, job["response"]
    else:
        judged, judged_nodes, source = tests, tests_nodes, job["tests"]
        own_names = own_names - redefined_names(tests, tests_nodes, {*ALWAYS_OWN, *aliases})
    exits = exit_places(judged_nodes)
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    units = [node.name for node in judged.body if isinstance(node, definitions)]
    sites = mark_assertions(judged, judged_nodes, source, own_names, own_values & own_names, not apart)
    if shadowed:
        TrueBuiltins(shadowed, TRUE_BUILTINS).visit(tests)
    slots = mark_tests(judged)
    functions = part.functions if part else mark_functions(response, job["response"])
    if job.get("together") and part is None:
        mark_turns(response)
    return Built(
        response=part.code if part else compile(response, RESPONSE_FILE, "exec", dont_inherit=True),
        tests=compile(tests, TESTS_FILE, "exec", dont_inherit=True),
        functions=functions,
        sites=sites,
        slots=slots,
        units=units,
        aliases=aliases,
        mutants=mutants,
        doctests=doctests,
        uses_unittest="unittest" in words,
        uses_doctest="doctest" in words,
        uses_threads=not words.isdisjoint(_THREADING_MODULES),
        may_patch=_may_patch(words, nodes),
        tests_patch=_may_patch(tests_words, tests_nodes),
        tampering=tampering,
        exits=exits,
        reloads="reload" in words,
        uses_processes="multiprocessing" in words,
        sources=[] if words.isdisjoint(_SOURCE_WORDS) else [job["response"], job["tests"]],
    )


def _parse_tests(text: str) -> tuple[ast.Module, str]:
    """Parse the tests; a text that is not Python but has `>>>` examples is kept for doctest."""
    try:
        return ast.parse(text, TESTS_FILE), ""
    except SyntaxError:
        if not any(line.lstrip().startswith(">>>") for line in text.splitlines()):
            raise
        return ast.Module([], []), text


def _words(nodes: list[ast.AST]) -> set[str]:
    """Return every name, attribute and imported module in a program."""
    words: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.Import):
            words |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            words.add(node.module.split(".")[0])
    return words


def _may_patch(words: set[str], nodes: list[ast.AST]) -> bool:
    return not words.isdisjoint(_PATCHING_WORDS) or _stores_into_modules(nodes)


def _stores_into_modules(nodes: list[ast.AST]) -> bool:
    """Whether attributes of anything but `self` and `cls` are assigned."""
    return any(
        isinstance(node, ast.Attribute)
        and not isinstance(node.ctx, ast.Load)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        for node in nodes
    )
