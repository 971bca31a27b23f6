"""The command `check`: worked examples run in the sandbox, recipes looked over, everything to fix told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import call
from tests.support.journey import write_sources

EXAMPLE = '''## Example: {name}
<snippet>
def add(x):
    """Return x and {number}."""
    return x + {number}
</snippet>
<properties>
category: function
language: {language}
difficulty: easy
concepts: arithmetic, addition
</properties>
<instruction>
Write a function `more(x)` that returns x plus {number}.
</instruction>
<response>
```python
def more(x):
    return x + {number}
```
</response>
<tests>
```python
assert more(1) == {result}
assert more(-{number}) == 0
```
</tests>
'''


def example(name: str, number: int, *, result: int | None = None, language: str = "Python") -> str:
    result = number + 1 if result is None else result
    return EXAMPLE.format(name=name, number=number, result=result, language=language)


def test_worked_examples_are_run_and_measured(tmp_path: Path) -> None:
    """Each example has its verdict; prompts are counted; a copied snippet is named; Rust is not run."""
    path = tmp_path / "mine.md"
    path.write_text(example("first", 2) + example("second", 2) + example("third", 4, language="Rust"))
    done = call("check", str(path))
    assert done.returncode == 0, done.stderr
    assert "first: passed, its tests kill 100% of mutants" in done.stdout
    assert "third: not run: the sandbox does not run Rust" in done.stdout
    assert 'warning: "first" and "second" have the same snippet' in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "responses" in line]
    assert " 3 " in line
    assert "judge" not in done.stdout


def test_an_example_that_fails_its_own_tests_is_an_error(tmp_path: Path) -> None:
    """Exit code 2; one line for each failing example, with its line in the file and the reason; the others pass."""
    path = tmp_path / "mine.md"
    good = example("good", 2)
    path.write_text(good + example("wrong", 3, result=9))
    done = call("check", str(path))
    assert done.returncode == 2
    assert "good: passed" in done.stdout
    assert "error: " in done.stderr
    assert "1 of 2 examples fail their own tests" in done.stderr
    assert f'line {good.count(chr(10)) + 1}, "wrong": failed: AssertionError' in done.stderr
    assert "in line 1 of its code" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('journey = ["seeds", "responses"]', "between them belong concepts, instructions"),
        ("[seeds]\nlimit = 0", "seeds.limit = 0: input should be greater than or equal to 1"),
        ('journey = ["seeds"]\n[seeds]\nsources = "absent"', "source absent does not exist"),
        ('[few_shot]\nfile = "pyton"', 'did you mean "python"?'),
        ('journey = ["seeds", "judge"]\n[few_shot]\nfile = "tiny"', 'stage "judge" needs more examples (6) than'),
        ("[seeds", "is not valid TOML"),
    ],
)
def test_a_recipe_is_looked_over(tmp_path: Path, text: str, said: str) -> None:
    """What has to be fixed is one line that names the file."""
    (tmp_path / "mine.toml").write_text(text)
    done = call("check", "mine.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: mine.toml")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_several_files_are_checked_in_one_call(tmp_path: Path) -> None:
    """Good and bad ones, by path and by name; the good ones are told, the exit code is 2 for the others."""
    source = write_sources(tmp_path / "source", 1)
    (tmp_path / "good.toml").write_text(f'journey = ["seeds"]\n[seeds]\nsources = "{source}"\n')
    (tmp_path / "bad.toml").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("")
    done = call("check", "good.toml", "tiny", "bad.toml", "pythn", "notes.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert "good.toml: ready to run" in done.stdout
    assert "tiny.md" in done.stdout
    first, second, third = done.stderr.splitlines()
    assert 'error: bad.toml: unknown setting "x"' in first
    assert second == 'error: no file "pythn"; did you mean "python"?'
    assert "notes.txt is no few-shot file (.md) and no recipe (.toml)" in third
