"""The import lines that a seed takes from its module."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from selfcodealign.curation.python_closure import Module, Needs, Root
from selfcodealign.settings import SeedSettings


def needs(imports: str, function: str) -> Needs:
    text = dedent(imports) + "\n" + dedent(function)
    tree = ast.parse(text)
    node = tree.body[-1]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = text.split("\n")
    root = Root(node.name, node, "\n".join(lines[first - 1 :]), node)
    return Module(tree, lines).find_needs(root, SeedSettings(closure=False))


def carried(imports: str, function: str) -> str:
    found = needs(imports, function)
    assert found.reason == "", found
    return "\n".join(found.imports)


@pytest.mark.parametrize(
    ("imports", "body", "expected"),
    [
        ("import os, sys", "return sys.path", "import sys"),
        ("import numpy as np", "return np.zeros(x)", "import numpy as np"),
        ("from a import b as c, d", "return c", "from a import b as c"),
        ("from a import b, d, e", "return e, b", "from a import b, e"),
        ("import a.b.c", "return a.b.c.f(x)", "import a.b.c"),
        ("import a.b, a.c", "return a.c.f(x)", "import a.c"),
        ("import a\nimport a.c", "return a.c.f(x)", "import a.c"),
        ("import a\nimport a.c", "return a.f(x)", "import a"),
        ("import a\nimport a.b\nimport a.c", "return a.b.x, a.c.x", "import a.b\nimport a.c"),
        ("import a.b", "return a.f(x)", "import a.b"),
        ("import a.b as c", "return c.f(x)", "import a.b as c"),
        ("import a\nimport b as a", "return a.f(x)", "import b as a"),
        ("import unused", "return len(x)", ""),
        ("import x", "return x", ""),
        ("import e", "try:\n        return x\n    except e.Error:\n        return 1", "import e"),
        ("import a", "def inner():\n        return a.b\n    return inner()", "import a"),
        ("import a", "return [a for a in x]", ""),
        ("import a", "import a\n    return a", ""),
        ("from open_ import open", "return open(x)", "from open_ import open"),
    ],
)
def test_only_what_is_used_is_carried(imports: str, body: str, expected: str):
    """Aliases, dotted modules and shadowed names are told apart as Python does."""
    assert carried(imports, f"def f(x):\n    {body}") == expected


def test_decorators_defaults_and_annotations_are_uses():
    """Names outside the body count too."""
    function = "@d.wrap\ndef f(x: t.List, y=m.pi, *a: u.A, **k: v.B) -> w.C:\n    z: q.Z = 1\n    return z"
    assert carried("import d, t, m, u, v, w, q, other", function) == "import d, t, m, u, v, w, q"


def test_names_in_string_annotations_are_uses():
    """Quoted types are looked into; strings in Literal and Annotated metadata are not types."""
    imports = "from typing import Annotated, Literal\nfrom a import A, B, C, D, E"
    function = """
        def f(x: "A", y: list["B"], z: Literal["C"], v: Annotated["E", "D"]) -> "dict[str, 'B']":
            return x
    """
    assert carried(imports, function) == "from typing import Annotated, Literal\nfrom a import A, B, E"


def test_annotations_future_is_kept_only_where_there_are_annotations():
    """`from __future__ import annotations` changes nothing for a function without any."""
    future = "from __future__ import annotations\nfrom a import A"
    assert carried(future, "def f(x: A): return x").splitlines()[0] == "from __future__ import annotations"
    assert carried(future, "def f(x): return x") == ""


def test_type_checking_imports_keep_their_guard():
    """A module that exists for type checkers only is not imported at run time."""
    imports = """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from _typeshed import SupportsRead, SupportsWrite
            import other
    """
    expected = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from _typeshed import SupportsRead"
    assert carried(imports, "def f(x: 'SupportsRead'): return x") == expected


def test_alternatives_are_carried_whole():
    """Where each branch binds the name, the try statement stays, without what is not used."""
    imports = """
        try:
            import cPickle as pickle
            import unused
        except ImportError:
            import pickle
    """
    expected = "try:\n    import cPickle as pickle\nexcept ImportError:\n    import pickle"
    assert carried(imports, "def f(x): return pickle.dumps(x)") == expected
    stand_in = "try:\n    import fcntl\nexcept (ImportError, OSError):\n    fcntl = None"
    assert carried(stand_in, "def f(x): return fcntl.flock(x)") == stand_in


def test_a_branch_that_gives_up_leaves_the_import():
    """A function that stands alone needs no pass, flags or replacements of the other branch."""
    for handler in ("pass", "HAS_A = False", "raise SystemExit", "def a(x): return x"):
        imports = f"try:\n    from a import a\nexcept ImportError:\n    {handler}"
        assert carried(imports, "def f(x): return a(x)") == "from a import a"


def test_platform_branches_keep_their_condition():
    """Imports below an if stay below it; names in its test are imported too."""
    imports = """
        import sys
        import unused
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    """
    expected = "import sys\nif sys.version_info >= (3, 11):\n    import tomllib\nelse:\n    import tomli as tomllib"
    assert carried(imports, "def f(x): return tomllib.loads(x)") == expected


def test_a_condition_on_module_names_does_not_stand_alone():
    """Names in the test of the if around an import must resolve too."""
    found = needs("HAS = True\nif HAS:\n    import a", "def f(x): return a.b(x)")
    assert (found.reason, found.detail) == ("needs_module_names", "HAS")


def test_the_last_binding_counts():
    """An import that the module later replaces is not what the function sees."""
    assert needs("import a\na = 3", "def f(x): return a").reason == "needs_module_names"
    assert carried("a = 3\nimport a", "def f(x): return a") == "import a"
    assert needs("import a\ndel a", "def f(x): return a").reason == "needs_module_names"


def test_recursion_needs_nothing():
    """A function may call itself."""
    assert carried("", "def f(x): return f(x - 1) if x else 0") == ""


@pytest.mark.parametrize(
    "definition", ["def g(): pass", "class g: pass", "for g in (): pass", "with open('x') as g: pass", "g: int = 1"]
)
def test_all_kinds_of_definitions_are_module_names(definition: str):
    """Whatever statement binds a name, a function that uses it does not stand alone."""
    found = needs(definition, "def f(x): return g")
    assert (found.reason, found.detail) == ("needs_module_names", "g")


def test_a_conditional_import_over_another_keeps_both():
    """Where a later `if` may or may not replace a name, both meanings are carried."""
    imports = "import sys\nimport json\nif sys.platform == 'x':\n    import fastjson as json"
    assert carried(imports, "def f(x): return json.dumps(x)") == imports


def test_the_same_module_in_both_branches_stays_in_both():
    """Each branch keeps its import of a dotted module."""
    imports = "import sys\nif sys.flags.safe_path:\n    import a.b\nelse:\n    import a.b"
    assert carried(imports, "def f(x): return a.b.c(x)") == imports
