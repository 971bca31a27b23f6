"""The layout of the tests: shared code is in tests/support; no test module imports another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.places import ROOT


def imported_from_tests(path: Path) -> Iterator[str]:
    """Return a file's imports from this suite, by full names; a relative import is kept with its dots."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["tests" + "." * node.level + (node.module or "")]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "tests")


def test_only_support_is_imported() -> None:
    """Tests, conftests, support modules and benchmarks import only `tests.support...` from the suite."""
    taken = {
        str(path.relative_to(ROOT)): names
        for folder in ("tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if (names := [one for one in imported_from_tests(path) if not one.startswith("tests.support.")])
    }
    assert taken == {}, "move what is shared to tests/support"


def test_every_way_to_import_a_test_module_is_seen(tmp_path: Path) -> None:
    """Absolute, relative, by the package, inside a function."""
    path = tmp_path / "test_it.py"
    ways = (
        "import tests.test_pipeline",
        "from tests.test_pipeline import books",
        "from tests import test_pipeline",
        "def f():\n    from .test_pipeline import books",
        "from .. import test_pipeline",
    )
    for code in ways:
        path.write_text(code, "utf-8")
        (found,) = imported_from_tests(path)
        assert not found.startswith("tests.support."), code
    path.write_text("import testing\nfrom pytest import fixture\nfrom tests.support.runs import books", "utf-8")
    assert list(imported_from_tests(path)) == ["tests.support.runs.books"]
