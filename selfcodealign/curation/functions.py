"""Source file → seeds: the documented functions in it that stand alone.

The rules are those of the paper's seed gathering (SelfCodeAlign, section 2.1 and appendix): a top-level function with
a docstring, a `return` with a value, at least one argument and at most 150 lines. Where the paper guesses imports
from names, the imports here are the file's own, and the definitions that a function uses come with it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from selfcodealign.curation.python_closure import Module, Needs, Root
from selfcodealign.curation.python_definitions import first_line
from selfcodealign.curation.python_methods import cut_class, find_methods, is_static
from selfcodealign.curation.python_names import Function
from selfcodealign.curation.source_text import decode_source, drop_file
from selfcodealign.generation.prompts import find_markup
from selfcodealign.rows import Dropped, Seed, SourceFile, digest
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import UNKNOWN, is_permitted

# A file is taken for minified or for data when its lines are this long on average; hand-written code has about 35.
_MINIFIED_MEAN = 200
_MINIFIED_BYTES = 2048
_LONGEST_LINE = 1000  # the limit of The Stack's own filter
_TRIVIAL_WORDS = 3
_TRIVIAL_CHARACTERS = 20  # languages written without blanks have no words to count
_FUNCTION = re.compile(r"^\f*(async[ \t\\]+)?def\b", re.MULTILINE)
_METHOD = re.compile(r"^[ \t\f]*(async[ \t\\]+)?def\b", re.MULTILINE)
_PLACEHOLDER = re.compile(r"(todo|fixme|xxx|tbd|docstring|_*summary_*)\b", re.IGNORECASE)


def extract_seeds(file: SourceFile, settings: SeedSettings) -> list[Seed | Dropped]:
    """Every top-level function of a file, as a seed or as a drop with its reason; at least one outcome per file.

    With `seeds.methods`, every method of its classes, too. The file as a whole is dropped as `not_utf8`, `minified`,
    `syntax_error`, `too_nested` or `no_functions`; a function as `too_long`, `prompt_markup` (a line of it would end
    its section of a prompt), `long_line`, `no_docstring`, `trivial_docstring`, `too_few_arguments`, `no_return_value`,
    `self_argument` (a method without its class), `pytest_fixture`, `conftest`, `test_function`, `needs_module_names`
    (it uses what its file defines, in a way that cannot be carried), `relative_import`, `star_import`,
    `undefined_names`, `closure_too_large`, `import_effects`, `does_not_compile`, `too_nested` or `licence` (none of
    `seeds.licences`; such a drop holds the whole seed), the first that holds.

    The result depends on the arguments alone.
    """
    try:
        text = decode_source(file.text)
    except (UnicodeError, SyntaxError) as error:
        return [drop_file(file, "not_utf8", str(error))]
    lines = text.split("\n")
    if len(text) > _MINIFIED_BYTES and len(text) / len(lines) > _MINIFIED_MEAN:
        return [drop_file(file, "minified", f"{len(text):,} characters in {len(lines):,} lines")]
    if not (_METHOD if settings.methods else _FUNCTION).search(text):  # parsing is most of the work
        return [drop_file(file, "no_functions", "no function at the top level")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old code's invalid escapes are no concern of this program's user
            tree = ast.parse(text)
            module = cache(lambda: Module(tree, lines))
            outcomes = [_judge(piece, lines, module, file, settings) for piece in _find_pieces(tree, lines, settings)]
    except (RecursionError, MemoryError):  # on Python 3.11 no text ends the process: the parser counts its own depth
        return [drop_file(file, "too_nested", "expressions nested deeper than Python can parse")]
    except (SyntaxError, ValueError) as error:  # ValueError: NUL in the text
        return [drop_file(file, "syntax_error", str(error))]
    return outcomes or [drop_file(file, "no_functions", "no function at the top level")]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A function at the top level, or with its class a method."""

    function: Function
    class_: ast.ClassDef | None = None

    @property
    def name(self) -> str:
        return f"{self.class_.name}.{self.function.name}" if self.class_ else self.function.name

    @property
    def takes_self(self) -> bool:
        return self.class_ is not None and not is_static(self.function)


def _find_pieces(tree: ast.Module, lines: list[str], settings: SeedSettings) -> Iterator[_Piece]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _Piece(node)
        elif isinstance(node, ast.ClassDef) and settings.methods:
            for method in find_methods(node, lines):
                yield _Piece(method, node)


def _judge(
    piece: _Piece, lines: list[str], module: Callable[[], Module], file: SourceFile, settings: SeedSettings
) -> Seed | Dropped:
    """One function of a file as a seed, or why it is none."""
    function = piece.function
    first = first_line(function)
    body = lines[first - 1 : function.end_lineno]
    code = "\n".join(line.rstrip("\f") for line in body).strip("\f\n")
    made = Seed(
        seed_id=digest("seed", code),
        source_id=file.id,
        seed=code,
        function=piece.name,
        origin=file.origin,
        source_path=file.path,
        source_line=first,
        commit=file.commit,
        licence=file.licence,
        repository=file.repository,
    )

    def drop(reason: str, detail: str = "") -> Dropped:
        # what is too long to be a seed is too long to be stored as one
        row = made.fields() | ({"seed": ""} if reason in ("too_long", "long_line") else {})
        return Dropped(parent=file.id, reason=reason, detail=detail, row=row)

    if problem := _find_problem(piece, body, settings) or _find_role(piece, file.path):
        return drop(*problem)
    try:
        root, size = _find_root(piece, code, lines, settings)
        if root is None:
            return drop("closure_too_large", f"{size} lines of {piece.name.partition('.')[0]}")
        needs = module().find_needs(root, settings, size)
        if needs.reason:
            return drop(needs.reason, needs.detail)
        seed, start = _lay_out(needs, root.code)
        if problem := _find_bad_line(seed.split("\n")):
            return drop(*problem)
        compile(seed, file.path.replace("\0", "?"), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return drop("does_not_compile", str(error))
    except (RecursionError, MemoryError):
        return drop("too_nested", "expressions nested deeper than Python can write")
    made = replace(
        made,
        seed_id=digest("seed", seed),
        seed=seed,
        carried=needs.carried,
        carried_start=start,
        carried_lines=needs.text.count("\n") + 1 if start else 0,
    )
    if not file.own and not is_permitted(file.licence, settings.licences):
        return Dropped(parent=file.id, reason="licence", detail=file.licence or UNKNOWN, row=made.fields())
    return made


def _find_root(piece: _Piece, code: str, lines: list[str], settings: SeedSettings) -> tuple[Root | None, int]:
    """What has to stand alone, and the lines of it that are not the function's; None if those are too many."""
    if piece.class_ is None:
        return Root(piece.name, piece.function, code, piece.function), 0
    text, size = cut_class(piece.class_, piece.function, lines, settings.closure_lines)
    if not text:
        return None, size
    return Root(piece.class_.name, ast.parse(text).body[0], text, piece.class_), size


def _lay_out(needs: Needs, code: str) -> tuple[str, int]:
    """The text of a seed, and the line at which what it carries begins (0: it carries nothing)."""
    above = "\n".join(needs.imports) + "\n\n\n" if needs.imports else ""
    if not needs.text:
        return above + code, 0
    return f"{above}{needs.text}\n\n\n{code}", above.count("\n") + 1


def _find_problem(piece: _Piece, body: list[str], settings: SeedSettings) -> tuple[str, str] | None:
    """The first rule that the function itself breaks, as (reason, detail)."""
    function = piece.function
    if len(body) > settings.max_lines:
        return "too_long", f"{len(body)} lines"
    if problem := _find_bad_line(body):
        return problem
    docstring = ast.get_docstring(function)
    if not docstring:
        return "no_docstring", ""
    if _is_trivial(docstring):
        return "trivial_docstring", docstring
    arguments = _count_arguments(function.args) - piece.takes_self
    if arguments < settings.min_arguments:
        return "too_few_arguments", str(arguments)
    if not any(_returned_values(function)):
        return "no_return_value", ""
    return None


def _find_bad_line(lines: list[str]) -> tuple[str, str] | None:
    if marks := find_markup(lines):
        return "prompt_markup", marks
    longest = max(map(len, lines))
    return ("long_line", f"{longest:,} characters") if longest > _LONGEST_LINE else None


def _find_role(piece: _Piece, path: str) -> tuple[str, str] | None:
    """What the function is for, as (reason, detail), if that means nothing outside of its class or its tests."""
    function = piece.function
    positional = [*function.args.posonlyargs, *function.args.args]
    if piece.class_ is None and positional and positional[0].arg == "self":
        return "self_argument", ""
    for decorator in function.decorator_list:
        name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name.rpartition(".")[2] in ("fixture", "yield_fixture"):
            return "pytest_fixture", name
    *folders, file = path.replace("\\", "/").split("/")
    if file == "conftest.py":
        return "conftest", path
    # Elsewhere the name is that of a predicate, such as `test_gif` in imghdr.
    of_tests = file.startswith("test_") or file.endswith("_test.py") or not {"test", "tests"}.isdisjoint(folders)
    return ("test_function", function.name) if of_tests and function.name.startswith("test_") else None


def _is_trivial(docstring: str) -> bool:
    short = len(docstring.split()) < _TRIVIAL_WORDS and len(docstring) < _TRIVIAL_CHARACTERS
    return short or _PLACEHOLDER.match(docstring) is not None


def _count_arguments(arguments: ast.arguments) -> int:
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) + len(starred)


def _returned_values(function: Function) -> Iterator[bool]:
    """True for each `return` of the function itself that gives a value other than a bare None."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Return):
            yield node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None)
        stack.extend(ast.iter_child_nodes(node))
