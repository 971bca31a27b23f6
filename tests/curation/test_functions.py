"""The functions that become seeds, and seeds that stand alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.curation.functions import extract_seeds
from selfcodealign.rows import Dropped, Seed, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import iterate_source_files

GOOD = '''def double(number):
    """Return twice the number."""
    return 2 * number
'''


def extract(text: str | bytes, **settings: object) -> list[Seed | Dropped]:
    text = dedent(text) if isinstance(text, str) else text
    file = SourceFile(id="0f", path="a.py", text=text, origin="here", commit="c0", licence="MIT")
    return extract_seeds(file, SeedSettings.model_validate(settings))


def only(text: str | bytes, **settings: object) -> Seed | Dropped:
    (outcome,) = extract(text, **settings)
    return outcome


def reason(text: str | bytes, **settings: object) -> str:
    outcome = only(text, **settings)
    assert isinstance(outcome, Dropped)
    return outcome.reason


def test_seed_carries_code_place_and_licence():
    """A seed has its text, its line and the facts about its file."""
    seed = only("import os\n\n\n" + GOOD)
    assert isinstance(seed, Seed)
    assert seed.seed == GOOD.rstrip("\n")
    assert (seed.function, seed.source_path, seed.source_line) == ("double", "a.py", 4)
    assert (seed.origin, seed.commit, seed.licence, seed.source_id) == ("here", "c0", "MIT", "0f")


def test_decorators_comments_and_async_are_kept():
    """The text starts at the first decorator and keeps the comments inside."""
    seed = only(
        '''
        import functools

        @functools.cache
        async def double(number):  # twice
            """Return twice the number."""
            # no need to hurry
            return 2 * number
        '''
    )
    assert isinstance(seed, Seed)
    assert seed.seed.startswith("import functools\n\n\n@functools.cache\nasync def double(number):  # twice\n")
    assert "# no need to hurry" in seed.seed
    assert seed.source_line == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\n", "no_functions"),
        ("class A:\n    def f(self, x):\n        '''Return x itself.'''\n        return x\n", "no_functions"),
        ("", "no_functions"),
        ("def f(x):\n    return x\n", "no_docstring"),
        ("def f(x):\n    'Return.'\n    return x\n", "trivial_docstring"),
        ("def f(x):\n    'TODO: write what this does'\n    return x\n", "trivial_docstring"),
        ("def f():\n    'Return always the same.'\n    return 1\n", "too_few_arguments"),
        ("def f(x):\n    'Print what is given.'\n    print(x)\n", "no_return_value"),
        ("def f(x):\n    'Return nothing at all.'\n    return None\n", "no_return_value"),
        ("def f(x):\n    '''Write a page.\n    </snippet>\n    '''\n    return x\n", "prompt_markup"),
        ("def f(x):\n    '''Write a text.\n## Example 3\n    '''\n    return x\n", "prompt_markup"),
        ("def f(x):\n    'Has an inner one.'\n    def g():\n        return 1\n    g()\n", "no_return_value"),
        ("def f(x):\n    'Return the set x.'\n    global LAST\n    LAST = x\n    return x\n", "undefined_names"),
        ("def f(x):\n    'Return a file name.'\n    return __file__ + x\n", "undefined_names"),
        ("from .a import g\ndef f(x):\n    'Return g of x.'\n    return g(x)\n", "relative_import"),
        ("from a import *\ndef f(x):\n    'Return g of x.'\n    return g(x)\n", "star_import"),
        ("def f(x):\n    'Return x or so.'\n    return x\n" + "    #\n" * 3 + "    x = 1\n", "too_long"),
        ("def f(x):\n    'Return a list.'\n    return [" + "1, " * 500 + "]\n", "long_line"),
        ("def f(x):\n    'Return it all.'\n    return (yield x) if await_(x) else 1 +\n", "syntax_error"),
        ("def f(x):\n    'Return x itself.'\n    nonlocal x\n    return x\n", "does_not_compile"),
        ("def f(x):\n    'Return \0, or so.'\n", "syntax_error"),
        ('"""\ndef f(x): pass\n"""\n', "no_functions"),
        ("x = " + "(" * 5000 + "1" + ")" * 5000, "minified"),
        (b"caf\xe9 = 1\n", "not_utf8"),
        (b"# coding: no-such-coding\n", "not_utf8"),
        ("x = '\ud800'\n", "not_utf8"),
    ],
)
def test_every_function_that_is_no_seed_has_its_reason(text: str | bytes, expected: str):
    """Each rule has one fixed word, and a file without functions says so."""
    assert reason(text, max_lines=5, closure_lines=3) == expected


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ("A = 1\nB = 2\nC = 3\nLIMIT = A + B + C", "closure_too_large"),
        ("LIMIT = open('limit').read()", "import_effects"),
        ("def read():\n    return open('limit').read()\nLIMIT = read()", "import_effects"),
        ("LIMIT = 1\ndel LIMIT", "needs_module_names"),
        ("LIMIT = int(repr(f)[-1])", "needs_module_names"),
        ("from .limits import LOW\nLIMIT = 2 * LOW", "relative_import"),
        ("from limits import *\nLIMIT = 2 * LOW", "star_import"),
        ("LIMIT = 2 * LOW", "undefined_names"),
        ("LIMIT = '''\n</snippet>\n'''", "prompt_markup"),
        (f"LIMIT = '{'x' * 1000}'", "long_line"),
    ],
)
def test_what_cannot_be_carried_has_its_reason(above: str, expected: str):
    """A definition that is large, does something at import, or needs what is not there, costs the seed."""
    text = f"{above}\n\n\ndef f(x):\n    'Return the limited x.'\n    return min(x, LIMIT)\n"
    for chosen, reason in (({"closure_lines": 3}, expected), ({"closure": False}, "needs_module_names")):
        (outcome,) = [row for row in extract(text, **chosen) if isinstance(row, Dropped) and row.row["function"] == "f"]
        assert outcome.reason == reason, outcome


def test_deep_nesting_is_a_drop_and_no_crash():
    """Nesting beyond Python's parser drops the file and does not end the run."""
    nested = (
        "def f(x): pass\nx = "
        + "\n".join("[" * 100 for _ in range(50))
        + "\n"
        + "\n".join("]" * 100 for _ in range(50))
    )
    assert reason(nested) in ("too_nested", "syntax_error")
    added = "def f(x): pass\nx = (" + "1 +\n" * 20_000 + "1)"
    assert reason(added) in ("too_nested", "syntax_error", "no_docstring")


def test_one_long_line_is_minified():
    """A megabyte in one line is dropped before it is parsed."""
    assert reason("x=1;" * 250_000) == "minified"


def test_declared_coding_and_line_ends_are_understood():
    """A latin-1 file with CRLF lines gives a seed in plain text."""
    seed = only(b"# coding: latin-1\r\ndef f(x):\r\n    'Return x, caf\xe9 or not.'\r\n    return x\r\n")
    assert isinstance(seed, Seed)
    assert seed.seed == "def f(x):\n    'Return x, café or not.'\n    return x"


def test_settings_decide():
    """max_lines and min_arguments mean what they say."""
    assert reason(GOOD, max_lines=2) == "too_long"
    assert reason(GOOD, min_arguments=2) == "too_few_arguments"
    assert isinstance(only("def f():\n    'Return one and only.'\n    return 1\n", min_arguments=0), Seed)


def test_exact_copies_share_their_id_and_others_do_not():
    """The id of a seed comes from its text alone."""
    first, second = only(GOOD), only("# elsewhere\n\n" + GOOD.replace("\n", "\r\n"))
    third = only(GOOD.replace("2", "3"))
    assert isinstance(first, Seed)
    assert isinstance(second, Seed)
    assert isinstance(third, Seed)
    assert first.seed_id == second.seed_id != third.seed_id


def test_dropped_functions_show_what_they_were():
    """A drop holds the known fields of the seed and its file's id."""
    dropped = only("x = 1\ndef f(a):\n    return a + x\n")
    assert isinstance(dropped, Dropped)
    assert dropped.parent == "0f"
    assert dropped.row["function"] == "f"
    assert dropped.row["seed"] == "def f(a):\n    return a + x"
    assert set(dropped.row) == {field for field in Seed.__dataclass_fields__ if field != "id_field"}


def test_extraction_travels_to_other_processes():
    """Files, settings and outcomes survive pickling, so that a pool of processes can do the work."""
    file = SourceFile(id="0f", path="a.py", text=GOOD, origin="here")
    work = pickle.loads(pickle.dumps((extract_seeds, file, SeedSettings())))
    assert pickle.loads(pickle.dumps(work[0](*work[1:]))) == extract_seeds(file, SeedSettings())


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_input_has_an_outcome(content: str | bytes):
    """Any file gives at least one row and no exception."""
    assert extract(content)


@pytest.fixture(scope="module")
def stdlib() -> list[Seed | Dropped]:
    settings = SeedSettings(sources=["stdlib"])
    files = [file for file in iterate_source_files(settings) if isinstance(file, SourceFile)]
    return [outcome for file in files for outcome in extract_seeds(file, settings)]


def test_standard_library_gives_enough_seeds(stdlib: list[Seed | Dropped]):
    """At least 750 distinct seeds, each of which compiles and names its licence; many carry something."""
    seeds = [row for row in stdlib if isinstance(row, Seed)]
    for seed in seeds:
        compile(seed.seed, seed.source_path, "exec", dont_inherit=True)
    assert len({seed.seed_id for seed in seeds}) >= 750
    assert sum(bool(seed.carried) for seed in seeds) >= 300
    assert Counter(seed.licence for seed in seeds).most_common(1)[0][0] == "PSF-2.0"
    assert "idlelib" not in {seed.source_path.split("/")[0] for seed in seeds}
    (found,) = [seed for seed in seeds if (seed.source_path, seed.function) == ("textwrap.py", "dedent")]
    assert found.carried == ["_whitespace_only_re", "_leading_whitespace_re"]


def test_names_of_standard_library_seeds_resolve(stdlib: list[Seed | Dropped], tmp_path):
    """An independent checker (ruff) finds no undefined name, nothing defined twice, and no unused import line."""
    seeds = [row for row in stdlib if isinstance(row, Seed)]
    for folder, names in (("alone", "F401,"), ("carrying", "")):  # helpers are carried word for word
        (tmp_path / folder).mkdir()
        for number, seed in enumerate(seeds):
            if bool(seed.carried) == (folder == "carrying"):
                (tmp_path / folder / f"seed_{number}.py").write_text(seed.seed + "\n", "utf-8")
        rules = names + "F821,F822,F823,F811,E9"
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "-q", "--select", rules]
        found = subprocess.run([*command, str(tmp_path / folder)], capture_output=True, text=True, check=False)
        assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr


@pytest.mark.parametrize(
    ("head", "path", "expected"),
    [
        ("def double(self, number):", "a.py", "self_argument"),
        ("def double(self, /):", "a.py", "self_argument"),
        ("def double(cls):", "a.py", ""),
        ("@pytest.fixture\ndef double(number):", "a.py", "pytest_fixture"),
        ('@pytest.fixture(scope="module")\ndef double(number):', "a.py", "pytest_fixture"),
        ("@fixture\nasync def double(number):", "a.py", "pytest_fixture"),
        ("@pytest_asyncio.fixture()\nasync def double(number):", "a.py", "pytest_fixture"),
        ("def double(number):", "tests/conftest.py", "conftest"),
        ("def test_double(number):", "test_a.py", "test_function"),
        ("def test_double(number):", "a_test.py", "test_function"),
        ("def test_double(number):", "tests/a.py", "test_function"),
        ("def test_double(number):", "a.py", ""),
        ("def testify(number):", "tests/a.py", ""),
        ("def double(number, self=None):", "myconftest.py", ""),
        ("@functools.cache\ndef double(number):", "fixture.py", ""),
    ],
)
def test_functions_of_classes_and_of_tests_are_no_seeds(head: str, path: str, expected: str) -> None:
    """Each has a reason of its own; names that only resemble theirs are seeds."""
    text = f'import functools\nimport pytest\n\n\n{head}\n    """Return twice the number."""\n    return 2 * 2\n'
    (outcome,) = extract_seeds(SourceFile(id="0f", path=path, text=text, origin="here", licence="MIT"), SeedSettings())
    assert (outcome.reason if isinstance(outcome, Dropped) else "") == expected
