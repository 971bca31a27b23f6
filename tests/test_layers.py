"""Imports of the package point one way, and README names every room.

All imports count: at the top of a module, inside functions, and those for type checkers. What a lower room needs from a
higher one is passed to it.
"""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import selfcodealign

PACKAGE = Path(selfcodealign.__file__).parent
README = PACKAGE.parent / "README.md"

#: Rooms (folders and modules at the root of the package) from bottom to top: each imports only from rooms that are
#: listed before it. The words behind a room are the reason for its place.
ROOMS = {
    "addresses": "text in, text without secrets out: errors and files use it",
    "installation": "where the package came from; needs the standard library only",
    "errors": "anything may fail, and says who has to act",
    "rows": "what travels; knows nothing of where",
    "progress": "a protocol that work is given, and a terminal that draws it: neither knows any work",
    "wrappings": "text in, text out",
    "markdown": "text in, blocks out; knows which blocks hold thinking",
    "parsing": "text in, Python out",
    "fences": "an answer in, its code out",
    "files": "raises errors, knows no rows",
    "pages": "text and code in, HTML out; knows no run",
    "telemetry": "takes numbers by name; knows neither runs nor stages",
    "sections": "what a section of settings is",
    "baseline_settings": "sections of the stages of other methods",
    "training_settings": "sections of training: supervised, on pairs, on verdicts",
    "settings": "what a person may set; names rows' properties",
    "recipe": "settings from files",
    "run_folder": "keeps rows of any stage, and knows no stage",
    "sources": "source files by settings; benchmarks and training read the hub through it",
    "sandbox": "runs a program; knows neither models nor benchmarks, so that it is usable alone",
    "judging": "rows, requests and stored answers go through the sandbox",
    "models": "continues a text; knows neither rows nor prompts",
    "generation": "asks a model for a row",
    "benchmarks": "problems come from sources, and are judged by programs for the sandbox",
    "curation": "compares rows with the texts of benchmarks",
    "dataset": "rows of the last stage become a data set",
    "training": "a data set and a model become a tuned model; reads chat formats from models",
    "evaluation": "asks models the problems of benchmarks",
    "report": "reads run folders",
    "stages": "put all of the above together, one row type after the other",
    "engine": "takes rows through any stages",
    "pipeline": "the catalogue of stages and the loop over them",
    "publishing": "uploads what stages have made: a data set, a model with its scores",
    "explorer": "shows the rows of a run in a browser",
    "experiments": "loops around whole runs of the pipeline",
    "rejudge": "stored answers are judged again, and the stages behind them redone by the pipeline",
    "commands": "each is one call of what is below",
    "cli": "names the commands and imports the one that is asked for",
    "__main__": "python -m selfcodealign",
    "__init__": "the public names, which load on first use",
}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def find_imports(source: str) -> set[str]:
    """The package's modules that a module's text imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from package import name`: a module of the package, or a name in its __init__
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] != "selfcodealign":
                continue
            module = name.partition(".")[2] or "__init__"
            if module not in MODULES:
                module = module.rpartition(".")[0] or "__init__"
            assert module in MODULES, f"{name} is no module of the package"
            found.add(module)
    return found


IMPORTS = {name: find_imports(path.read_text("utf-8")) - {name} for name, path in MODULES.items()}


def _room(module: str) -> str:
    return module.split(".")[0]


def find_wrong_imports(imports: dict[str, set[str]], rooms: list[str]) -> list[str]:
    """Imports from a room that is listed after the importing one."""
    return [
        f"{module} imports {other}"
        for module, others in imports.items()
        for other in sorted(others)
        if _room(module) != _room(other) and rooms.index(_room(other)) > rooms.index(_room(module))
    ]


def test_rooms_are_all_in_the_order() -> None:
    """A new room is given its place, with the reason; one that is gone leaves the list."""
    assert {_room(module) for module in MODULES} == set(ROOMS)


def test_imports_point_one_way() -> None:
    """No room imports from one that is listed after it."""
    assert find_wrong_imports(IMPORTS, list(ROOMS)) == []


def test_modules_have_no_circle() -> None:
    """Within rooms, too: each module can be read after the ones it imports."""
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_hidden_imports_are_seen() -> None:
    """An import inside a function and one for type checkers count, and so does one in the wrong direction."""
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from selfcodealign.pipeline import run_recipe
def late():
    from selfcodealign import __version__, files
    import selfcodealign.sandbox.python.program
"""
    assert find_imports(source) == {"pipeline", "__init__", "files", "sandbox.python.program"}
    wrong = find_wrong_imports({"sources.hub": find_imports(source)}, list(ROOMS))
    assert [line.rpartition(" ")[2] for line in wrong] == ["__init__", "pipeline", "sandbox.python.program"]


def test_readme_names_every_room() -> None:
    """The annotated tree of README has a line for every room and module at the root, and for nothing else."""
    section = README.read_text("utf-8").partition("## The rooms")[2]
    tree = re.search(r"```\n(.+?)```", section, re.DOTALL)
    assert tree, "README has no tree below ## The rooms"
    entries = [re.match(r" *((?:[\w.]+/?, )*[\w.]+/?)  +\S", line) for line in tree[1].splitlines()[1:]]
    assert all(entries), "each line of the tree is a name, or several, and a word on it"
    named = [name for entry in entries if entry for name in entry[1].split(", ")]
    found = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    ]
    assert sorted(named) == sorted(found)
