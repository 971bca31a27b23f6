"""The Python code of a notebook: its code cells in order, without magics and shell lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# The rest of such a cell is Python; any other cell magic makes its cell another language or a file.
_PYTHON_CELL = re.compile(r"%%(time|timeit|capture|prun|python3?|pypy)\b")
_MAGIC = re.compile(
    r"\s*(%{1,2}[A-Za-z_]|!(?!=)|\?{1,2}[\w%.]|[\w.%]+\?{1,2}\s*$)"  # %magic, !command, ?help, help?
    r"|\s*[\w.]+(\s*,\s*[\w.]+)*\s*=\s*(!|%{1,2}[A-Za-z_])"  # name = !command
)
_QUOTES = re.compile(r'"{3}|\'{3}')


def read_notebook(content: bytes | str) -> str | None:
    """The code of a notebook as one module; None if its language is not Python. Raises `ValueError` if it is broken."""
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(notebook, dict):
        raise ValueError(f"a JSON {type(notebook).__name__}, not a notebook")
    if _language(notebook) not in ("", "python", "python2", "python3", "ipython"):
        return None
    cells = [_clean(source) for source in _code_cells(notebook)]
    return "\n\n".join(cell for cell in cells if cell.strip()) + "\n"


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    for part, name in (("kernelspec", "language"), ("language_info", "name")):
        facts = metadata.get(part) if isinstance(metadata, dict) else None
        language = facts.get(name) if isinstance(facts, dict) else None
        if isinstance(language, str) and language:
            return language.lower()
    return ""


def _code_cells(notebook: dict[str, Any]) -> Iterator[str]:
    for cell in _cells(notebook):
        if not isinstance(cell, dict):
            raise ValueError("a cell is no object")
        if cell.get("cell_type") != "code":
            continue
        source = cell.get("source", cell.get("input", ""))
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            raise ValueError("the source of a cell is not text")
        yield source


def _cells(notebook: dict[str, Any]) -> list[Any]:
    """The cells; version 3 of the format has them in worksheets."""
    if isinstance(sheets := notebook.get("worksheets"), list):
        nested = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
        return [cell for cells in nested if isinstance(cells, list) for cell in cells]
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise ValueError("it has no list of cells")
    return cells


def _clean(source: str) -> str:
    """A cell without what only IPython understands; "" for a cell in another language."""
    source = source.replace("\r\n", "\n").rstrip("\n")
    first, _, rest = source.lstrip("\n").partition("\n")
    if first.startswith("%%"):
        return _clean(rest) if _PYTHON_CELL.match(first) else ""
    if not any(mark in source for mark in "%!?"):
        return source
    return "\n".join(_clean_lines(source.split("\n")))


def _clean_lines(lines: list[str]) -> Iterator[str]:
    """The lines without magics; an indented one becomes `pass`, because it may be all that its block has."""
    quotes = ""
    continues = False
    for line in lines:
        if continues or (not quotes and _MAGIC.match(line)):
            indent = line[: len(line) - len(line.lstrip())]
            if indent and not continues:
                yield f"{indent}pass"
            continues = line.endswith("\\")
            continue
        yield line
        for found in _QUOTES.findall(line):
            quotes = "" if found == quotes else quotes or found
