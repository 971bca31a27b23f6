"""What users import from the package is one list."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import selfcodealign
from tests.support.places import ROOT

#: The public names. Adding one is a decision; removing one needs a release that warns.
PUBLIC = [
    "Budget",
    "Completion",
    "Limits",
    "Model",
    "Program",
    "Progress",
    "Recipe",
    "RemoteSandbox",
    "RunResult",
    "Sampling",
    "Sandbox",
    "ScriptedModel",
    "Status",
    "UserError",
    "Verdict",
    "evaluate",
    "load_recipe",
    "run",
    "run_recipe",
]


def test_the_public_names_are_this_list() -> None:
    """`__all__`, `dir`, the names that load on first use and the names that type checkers see are the same."""
    assert dir(selfcodealign) == sorted([*PUBLIC, "__version__"])
    assert sorted(selfcodealign.__all__) == sorted(PUBLIC)
    assert sorted(selfcodealign._HOME) == sorted(PUBLIC)
    tree = ast.parse(Path(selfcodealign.__file__).read_text("utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    typed = [alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(typed) == sorted(PUBLIC)


def test_every_public_name_loads_and_is_documented() -> None:
    """Each name is there, with a docstring."""
    for name in PUBLIC:
        assert getattr(selfcodealign, name).__doc__, name


def test_the_package_is_typed() -> None:
    """Type checkers read the annotations of an installed package only with this marker; it is in the wheel."""
    assert (Path(selfcodealign.__file__).parent / "py.typed").is_file()
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    assert "py.typed" in packaged["selfcodealign"]
