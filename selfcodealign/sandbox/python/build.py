"""Builds a program: from its texts to marked, compiled code, before its process exists.

The server builds ordinary programs itself, because after a fork every page written to is copied; a text that could
exhaust the parser is built inside the program's own process. Nothing here runs foreign code.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import CodeType
from typing import Any

from selfcodealign.sandbox.language import BuildError
from selfcodealign.sandbox.python.instrument import Site, mark_assertions, mark_functions, mark_tests
from selfcodealign.sandbox.python.mutants import apply_mutant, list_mutants
from selfcodealign.sandbox.python.names import defined_names, nodes_of, redefined_names, value_names

RESPONSE_FILE, TESTS_FILE = "<response>", "<tests>"
_UNBUILDABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)
_MOST_SAFE_CHARACTERS = 64 * 1024
_DEEPEST_SAFE_BRACKETS = 50
_ALWAYS_OWN = frozenset({"solution", "__main__"})  # these names always mean the response
# Ways to patch the libraries that assertions use; a program without them needs no check for patches.
_PATCHING_WORDS = frozenset(
    {"setattr", "__setattr__", "delattr", "__dict__", "vars", "globals", "locals", "exec", "eval"}
)
_PATCHING_WORDS |= {"__builtins__", "builtins", "patch", "monkeypatch", "__import__", "update", "modules", "getattr"}
_THREADING_MODULES = frozenset({"threading", "concurrent", "asyncio"})


@dataclass(slots=True)
class Built:
    """A program ready to run.

    `functions` counts the marked functions of the response; `slots` numbers the test functions; `units` names the
    top-level test functions and classes that may have to be called, in order; `aliases` are the module names by which
    the tests import their response.
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
    """Whether the server can parse the texts without risk: they are short and not deeply nested."""
    text = job["response"] + job["tests"]
    if len(text) > _MOST_SAFE_CHARACTERS:
        return False
    depth = deepest = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest <= _DEEPEST_SAFE_BRACKETS


def build_program(job: dict[str, Any], mutant: str | None = None) -> Built:
    """Parse, apply `mutant` if given, mark and compile. Raises `BuildError`."""
    phase = "parse response"
    try:
        response = ast.parse(job["response"], RESPONSE_FILE)
        phase = "parse tests"
        tests, doctests = _parse_tests(job["tests"])
        phase = "build"
        return _build(job, response, tests, doctests, mutant)
    except _UNBUILDABLE as error:
        raise BuildError(phase, error) from None


def build_mutant(job: dict[str, Any], whole: Built, mutant: str) -> Built:
    """Build a mutant of `whole`; separate tests are reused from there. Raises `BuildError`."""
    if job["tests_inside"]:
        return build_program(job, mutant)
    try:
        response = ast.parse(job["response"], RESPONSE_FILE)
        apply_mutant(response, mutant)
        functions = mark_functions(response, job["response"])
        code = compile(response, RESPONSE_FILE, "exec", dont_inherit=True)
        return replace(whole, response=code, functions=functions, mutants=[])
    except _UNBUILDABLE as error:
        raise BuildError("build", error) from None


def _build(
    job: dict[str, Any], response: ast.Module, tests: ast.Module, doctests: str, mutant: str | None = None
) -> Built:
    own_names, own_values = defined_names(response), value_names(response)
    response_nodes, tests_nodes = nodes_of(response), nodes_of(tests)
    nodes = response_nodes + tests_nodes
    aliases = _missing_modules(
        response_nodes if job["tests_inside"] else tests_nodes, own_names, not job["tests_inside"]
    )
    words = _words(nodes)
    may_patch = not words.isdisjoint(_PATCHING_WORDS) or _stores_into_modules(nodes)
    mutants = list_mutants(response) if job["mutants_wanted"] else []
    if mutant is not None:
        apply_mutant(response, mutant)
        response_nodes = nodes_of(response)
    if job["tests_inside"]:
        judged, judged_nodes, source = response, response_nodes, job["response"]
    else:
        judged, judged_nodes, source = tests, tests_nodes, job["tests"]
        own_names = own_names - redefined_names(tests, tests_nodes, {*_ALWAYS_OWN, *aliases})
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    units = [node.name for node in judged.body if isinstance(node, definitions)]
    sites = mark_assertions(judged, judged_nodes, source, own_names, own_values & own_names, job["tests_inside"])
    slots = mark_tests(judged)
    functions = mark_functions(response, job["response"])
    return Built(
        response=compile(response, RESPONSE_FILE, "exec", dont_inherit=True),
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
        may_patch=may_patch,
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


def _stores_into_modules(nodes: list[ast.AST]) -> bool:
    """Whether attributes of anything but `self` and `cls` are assigned."""
    return any(
        isinstance(node, ast.Attribute)
        and not isinstance(node.ctx, ast.Load)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        for node in nodes
    )


def _missing_modules(nodes: list[ast.AST], own_names: set[str], tests_apart: bool) -> list[str]:
    """Return modules that the tests import and that do not exist: the names under which tests expect their response.

    `from calculator import add` means the response when it defines `add` and no module `calculator` exists.
    """
    aliases = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            wanted, names = node.module, {alias.name for alias in node.names}
        elif isinstance(node, ast.Import) and tests_apart:
            wanted, names = node.names[0].name, set()
        else:
            continue
        known = wanted in _ALWAYS_OWN or wanted in sys.modules
        if not known and not (names - {"*"}) - own_names and not _exists(wanted.partition(".")[0]):
            aliases.append(wanted)
    return aliases


@lru_cache(maxsize=4096)
def _exists(module: str) -> bool:
    """Whether a library of that name is installed; this does not change while a server runs."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False
