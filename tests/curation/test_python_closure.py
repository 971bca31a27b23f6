"""What a seed carries of its own file besides imports."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfcodealign.curation.carried import hide_carried
from selfcodealign.curation.functions import extract_seeds
from selfcodealign.rows import Dropped, Seed, SourceFile
from selfcodealign.settings import SeedSettings


def extract(text: str, name: str = "f", **chosen: Any) -> Seed | Dropped:
    file = SourceFile(id="0f", path="a.py", text=dedent(text), origin="here", licence="MIT")
    for row in reversed(extract_seeds(file, SeedSettings.model_validate(chosen))):
        if (row.row.get("function") if isinstance(row, Dropped) else row.function) == name:
            return row
    raise AssertionError(f"no {name} in {text}")


def seed_of(text: str, name: str = "f", **chosen: Any) -> Seed:
    seed = extract(text, name, **chosen)
    assert isinstance(seed, Seed), (seed.reason, seed.detail)
    return seed


def block(above: str, body: str = "return g(x)", below: str = "") -> str:
    """What `f` carries of a file with `above` over it and `below` under it."""
    text = f"{dedent(above)}\n\ndef f(x):\n    'Return what is asked for.'\n    {body}\n\n{dedent(below)}\n"
    seed = seed_of(text)
    lines = seed.seed.split("\n")
    return "\n".join(lines[seed.carried_start - 1 :][: seed.carried_lines]) if seed.carried_start else ""


def test_the_carried_part_is_marked():
    """Imports, the carried definitions with the comments above them, the function: in this order, each marked."""
    seed = seed_of(
        """
        import math
        import unused

        # How exact a result is.
        DIGITS = 3
        OTHER = 4


        class Rounded(float):
            '''A number with its text.'''


        def shorten(value):
            return Rounded(round(value, DIGITS))


        def f(x):
            '''Return the rounded root.'''
            return shorten(math.sqrt(x))
        """
    )
    lines = seed.seed.split("\n")
    assert seed.carried == ["DIGITS", "Rounded", "shorten"]
    assert lines[0] == "import math"
    assert lines[seed.carried_start - 1] == "# How exact a result is."
    assert lines[seed.carried_start + seed.carried_lines - 2] == "    return Rounded(round(value, DIGITS))"
    assert "OTHER" not in seed.seed
    assert "unused" not in seed.seed
    assert hide_carried(seed.fields()) == (
        "import math\n\n\ndef f(x):\n    '''Return the rounded root.'''\n    return shorten(math.sqrt(x))"
    )


@pytest.mark.parametrize(
    "above",
    [
        "g = 3",
        "g: int = 3",
        "g = {}\ng['a'] = 1",
        "g = []\ng.append(1)",
        "g = 1\ng += 1",
        "g = {}\nfor key in 'ab':\n    g[key] = key",
        "a, (g, *b) = 1, (2, 3)",
        "try:\n    g = int('x')\nexcept ValueError:\n    g = 0",
        "class g:\n    pass\n\n\ng.name = 'g'",
        "g = {}\n\n\ndef put(key):\n    g[key] = 1\n\n\nput('a')",
        "g = []\n\n\ndef add(a):\n    g.append(a)\n    return a\n\n\n@add\ndef one(x):\n    return 1",
        "g = lambda x: x + 1",
        "first = 1\ng = first",
        "g = other = []\nother.append(1)",
        "g = []\nother = g\nother.append(1)",
        "g = {'a': []}\nother = g['a']\nother.append(1)",
        "class g:\n    pass\n\n\nsetattr(g, 'name', 'g')",
        "class g:\n    pass\n\n\nfor key in 'ab':\n    setattr(g, key, key)",
        "numbers = iter([1, 2])\nfirst = next(numbers)\ng = next(numbers)",
        "class g:\n    made = []\n    def __init_subclass__(cls):\n        cls.made.append(cls)\n\n\n"
        "class one(g):\n    pass",
        "class g(type):\n    made = []\n    def __new__(meta, *parts):\n        g.made.append(parts)\n"
        "        return type.__new__(meta, *parts)\n\n\nclass one(metaclass=g):\n    pass",
    ],
)
def test_a_name_is_carried_with_all_that_changes_it(above: str):
    """Statements that bind a name or complete what it names are carried together and in order."""
    assert block(above + "\nh = 2", "return g") == above


def test_a_copy_is_not_another_name():
    """What changes a copy does not change the original."""
    assert block("g = [1]\nother = g[:]\nother.append(2)", "return g") == "g = [1]"


@pytest.mark.parametrize(
    ("above", "body", "reason"),
    [
        ("import math\nmath.floor = round", "return math.floor(x)", "needs_module_names"),
        ("import math\nsetattr(math, 'half', 0.5)", "return math.half", "needs_module_names"),
        ("g = 1", "return globals()['g']", "needs_module_names"),
        ("g = 1", "return __doc__", "undefined_names"),
        ("g = 1", "return __spec__", "undefined_names"),
    ],
)
def test_what_only_its_own_file_gives_is_refused(above: str, body: str, reason: str):
    """A module that the file changes, its table of names and its docstring are not the seed's."""
    dropped = extract(f"{above}\n\ndef f(x):\n    'Return what is asked for.'\n    {body}\n")
    assert isinstance(dropped, Dropped)
    assert dropped.reason == reason


def test_other_parts_of_a_changed_module_can_be_used():
    """Setting a variable of the environment changes nothing that `os.path` gives."""
    text = (
        "import os\nos.environ['A'] = 'b'\n\ndef f(x):\n    'Return what is asked for.'\n    return os.path.join(x)\n"
    )
    assert seed_of(text).seed.startswith("import os\n")


def test_statements_that_change_other_things_are_not_carried():
    """Who only reads a variable does not change it."""
    above = "g = {}\n\n\ndef show(key):\n    return g.get(key)\n\n\nshown = show(1)\nprint(g['a'])"
    assert block(above, "return g") == "g = {}"


def test_conditions_stay_around_definitions():
    """Below an `if`, only what is needed is carried, with its condition and in each branch."""
    above = """
        import sys
        if sys.platform == "win32":
            import winreg
            def g(x):
                return 1
            def h(x):
                return winreg
        elif sys.platform == "darwin":
            h = None
            def g(x):
                return 2
        else:
            h = 1
            g = len
    """
    expected = """
        if sys.platform == 'win32':
            def g(x):
                return 1
        elif sys.platform == 'darwin':
            def g(x):
                return 2
        else:
            g = len
    """
    assert block(above) == dedent(expected).strip("\n")


def test_an_import_below_a_condition_of_the_module_comes_with_it():
    """`HAS` is not imported, so that the import cannot stand above it."""
    above = "HAS = bool(1)\nif HAS:\n    import a as g\nelse:\n    import b as g"
    assert block(above) == above
    assert isinstance(extract(f"{above}\ndef f(x):\n    'Return g of x.'\n    return g(x)", closure=False), Dropped)


def test_mutual_recursion_and_global_state():
    """Functions may call each other, and what a function writes is there."""
    below = "def g(x):\n    return f(x - 1)"
    assert block("", "return g(x) if x else 0", below) == below
    assert block("COUNT = 0", "global COUNT; COUNT += 1; return COUNT") == "COUNT = 0"


def test_types_come_with_what_names_them():
    """Aliases, type variables and quoted types are carried, overloads stand directly above their function."""
    text = """
        from typing import TypeVar, Union, overload

        T = TypeVar("T", bound="Base")
        Number = Union[int, "Big"]

        class Base: ...
        class Big: ...

        @overload
        def f(x: T, y: int) -> T: ...
        @overload
        def f(x: "Number", y: str) -> int: ...
        def f(x, y):
            '''Return the first of the two.'''
            return x
    """
    seed = seed_of(text)
    assert seed.carried == ["T", "Number", "Base", "Big"]
    assert seed.seed.count("@overload") == 2


def test_bounds():
    """The lines carried and the steps to a definition are bounded; the drop says what was too far."""
    text = """
        A = 1

        def g():
            return A

        def h():
            return g()

        def f(x):
            'Return h, and not x.'
            return h()
    """
    assert seed_of(text, closure_depth=3).carried == ["A", "g", "h"]
    for name, most, detail in (("closure_depth", 2, "A is 3 steps away"), ("closure_lines", 4, "5 lines with A")):
        dropped = extract(text, "f", **{name: most})
        assert isinstance(dropped, Dropped)
        assert (dropped.reason, dropped.detail) == ("closure_too_large", detail)


def test_what_runs_at_import_keeps_its_order():
    """The function stands last: what calls it at import, or changes its defaults later, cannot be carried."""
    for above, below in (("", "g = f"), ("", "g = [f(1)]"), ("def h():\n    return f(1)", "g = h()")):
        text = f"{above}\n\ndef f(x):\n    'Return g, and not x.'\n    return g\n\n{below}\n"
        dropped = extract(text)
        assert isinstance(dropped, Dropped)
        assert dropped.reason == "needs_module_names"
    changed = extract("A = 1\ndef f(x=A):\n    'Return x or A.'\n    return x or A\nA = 2\n")
    assert isinstance(changed, Dropped)
    assert changed.detail == "A (changed later)"


def test_a_main_guard_binds_nothing():
    """A module that is imported does not run it."""
    dropped = extract("def f(x):\n    'Return the limit.'\n    return g\nif __name__ == '__main__':\n    g = 1\n")
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "undefined_names"


def test_files_with_thousands_of_definitions_are_read():
    """Functions that all call each other end in a drop, and in bounded work."""
    many = "".join(f"def g{n}(x):\n    T[x] = {n}\n    return g{(n * 7 + 1) % 3000}(x)\n" for n in range(3000))
    text = "T = {}\n" + many + "def f(x):\n    'Return it from the table.'\n    return T[x]\n"
    assert seed_of(text).carried == ["T"]


NAMES = ("a", "b", "c", "d")
VALUES = st.sampled_from(["1", "{}", "[]", "'t'"])


@st.composite
def modules(draw: st.DrawFn) -> str:
    """A module of constants, tables, helpers and calls at import, which uses only names that are bound before."""
    lines: list[str] = []
    bound: list[str] = []
    functions: list[str] = []
    for number in range(draw(st.integers(1, 9))):
        name = draw(st.sampled_from(NAMES))
        kind = draw(st.sampled_from(["value", "table", "put", "copy", "helper", "writer", "call", "branch", "unpack"]))
        known = draw(st.sampled_from(bound)) if bound else None
        match kind:
            case "value":
                lines.append(f"{name} = ['v', {draw(VALUES)}]")
            case "unpack":
                lines.append(f"{name}, {name}_2 = ['u', {number}], ['w', {number}]")
                bound.append(f"{name}_2")
            case "table":
                lines.append(f"{name} = ['t']\nfor i_{number} in range(2):\n    {name}.append(i_{number})")
            case "branch":
                lines.append(f"if {number} % 2:\n    {name} = ['x']\nelse:\n    {name} = ['y', {number}]")
            case "put" if known:
                lines.append(f"{known}.append({number})")
                continue
            case "copy" if known:
                lines.append(f"{name} = list({known})")
            case "helper" if known:
                lines.append(f"def h{number}():\n    return [*{known}]")
                functions.append(f"h{number}")
                continue
            case "writer" if known:
                lines.append(f"def h{number}():\n    {known}.append('h{number}')\n    return []")
                functions.append(f"h{number}")
                continue
            case "call" if functions:
                lines.append(f"{name} = ['c', *{draw(st.sampled_from(functions))}()]")
            case _:
                continue
        bound.append(name)
    used = [*bound, *(f"{function}()" for function in functions)]
    shown = draw(st.lists(st.sampled_from(used), max_size=3)) if used else []
    at = draw(st.integers(0, len(lines)))
    lines.insert(at, f"def f(x):\n    'Return what the module holds.'\n    return [x, {', '.join(shown)}]")
    return "\n".join(lines) + "\n"


@settings(max_examples=300, deadline=None)
@given(modules())
def test_a_seed_computes_what_its_module_computes(text: str):
    """For modules of constants, tables and helpers, the function of the seed returns what that of the module does."""
    row = extract(text)
    if isinstance(row, Dropped):
        assert row.reason in ("needs_module_names", "closure_too_large"), row
        return
    whole: dict[str, object] = {}
    alone: dict[str, object] = {}
    exec(text, whole)  # generated above, and harmless
    exec(row.seed, alone)
    assert alone["f"](1) == whole["f"](1), row.seed  # type: ignore[operator]
