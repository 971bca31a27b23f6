"""The code cells of a notebook are one module; what only IPython understands is left out."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.sources.notebooks import read_notebook
from tests.support.sources import CODE, commit, drops, kept


def notebook(*cells: Any, language: str = "python", **facts: Any) -> str:
    made = [cell if isinstance(cell, dict) else {"cell_type": "code", "source": cell} for cell in cells]
    metadata = {"kernelspec": {"language": language}} if language else {}
    return json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, **facts})


def test_code_cells_in_order() -> None:
    """Text cells are left out; a cell's source is a text or a list of lines."""
    text = notebook("import math\n", {"cell_type": "markdown", "source": "# A title"}, ["x = 1\n", "y = 2"])
    assert read_notebook(text) == "import math\n\nx = 1\ny = 2\n"


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("%matplotlib inline\nx = 1", "x = 1"),
        ("!pip install thing\nx = 1", "x = 1"),
        ("!pip install thing \\\n    other\nx = 1", "x = 1"),
        ("files = !ls\nx = 1", "x = 1"),
        ("found = %timeit -o f(x)\nx = 1", "x = 1"),
        ("?print\nprint?\nx.y??\nx = 1", "x = 1"),
        ("%%time\nx = 1", "x = 1"),
        ("%%bash\nls -l", ""),
        ("%%writefile a.py\nx = 1", ""),
        ("if x:\n    !ls\nelse:\n    y = 1", "if x:\n    pass\nelse:\n    y = 1"),
        ('x = """\n!not a command\n%not magic\n"""', 'x = """\n!not a command\n%not magic\n"""'),
        ("x = (a\n    != b)", "x = (a\n    != b)"),
        ("x = 'a' + \\\n    'b?'", "x = 'a' + \\\n    'b?'"),
        ("x = 7 % y", "x = 7 % y"),
    ],
)
def test_magics_and_shell_lines(cell: str, code: str) -> None:
    """They are removed, with the lines they go on in; what looks like one inside of Python stays."""
    found = read_notebook(notebook(cell))
    assert found is not None
    assert found.strip() == code
    ast.parse(found)


def test_other_languages_and_forms() -> None:
    """A notebook in another language has no Python; one of the third format has its cells in worksheets."""
    assert read_notebook(notebook("x <- 1", language="R")) is None
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1\n"], "language": "python"}]}]}
    assert read_notebook(json.dumps(old)) == "x = 1\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "a JSON list, not a notebook"),
        ("{}", "no list of cells"),
        ('{"cells": 3}', "no list of cells"),
        ('{"cells": [3]}', "a cell is no object"),
        ('{"cells": [{"cell_type": "code", "source": 3}]}', "is not text"),
        ('{"cells": [{"cell_type": "code", "source": ["a", 3]}]}', "is not text"),
        ('{"cells": {"a": 1}, "metadata": 3}', "no list of cells"),
        ('{"cells": [], "metadata": {"kernelspec": 7, "language_info": {"name": 3}}}', ""),
    ],
)
def test_broken_notebooks(text: str, reason: str, tmp_path: Path) -> None:
    """Each is a `ValueError` that says what is wrong, and a drop of its source."""
    if not reason:
        assert read_notebook(text) == "\n"
        return
    with pytest.raises(ValueError, match=reason):
        read_notebook(text)
    (tmp_path / "a.ipynb").write_text(text)
    assert drops(tmp_path) == [("a.ipynb", "broken_notebook")]


def test_notebooks_in_folders_and_repositories(tmp_path: Path) -> None:
    """They are read beside .py files, and may be larger than these: most of a notebook are pictures."""
    pictures = [{"output_type": "display_data", "data": {"image/png": "x" * 20_000}}]
    made = notebook({"cell_type": "code", "source": CODE, "outputs": pictures})
    folder = commit(tmp_path / "work", {"a.py": CODE, "n.ipynb": made, "r.ipynb": notebook("1", language="R")})
    for source in (folder, f"git:{folder}"):
        assert [(file.path, file.text) for file in kept(source, max_file_kib=4)] == [
            ("a.py", CODE.encode()),
            ("n.ipynb", CODE),
        ]
        assert drops(source, max_file_kib=4) == [("r.ipynb", "not_python")]
    assert [file.path for file in kept(folder / "n.ipynb")] == ["n.ipynb"]
