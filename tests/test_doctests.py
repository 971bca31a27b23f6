"""The examples in the package's docstrings give the results that they show."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from tests.support.places import ROOT

PACKAGE = ROOT / "selfcodealign"


def count_examples(path: Path) -> int:
    """Count the examples in a file: lines that begin with the prompt."""
    return len(re.findall(r"^\s*>>> ", path.read_text("utf-8"), re.MULTILINE))


EXAMPLES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): count
    for path in sorted(PACKAGE.rglob("*.py"))
    if (count := count_examples(path))
}


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_give_what_they_show(module: str) -> None:
    """All of a module's examples run: an example that doctest does not find (in an inner function) is a failure."""
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert (failed, attempted) == (0, EXAMPLES[module])


def test_examples_are_found_by_their_text(tmp_path: Path) -> None:
    """A prompt in the middle of a line is not an example; a prompt in any docstring is."""
    path = tmp_path / "module.py"
    path.write_text('"""Run `>>> ` examples.\n\n>>> 1\n1\n"""\ndef f():\n    """\n    >>> f()\n    """\n', "utf-8")
    assert count_examples(path) == 2
    assert {"selfcodealign.stages.concepts", "selfcodealign.models.scripted"} <= set(EXAMPLES)
