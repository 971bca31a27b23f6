"""The pages of a static bundle: the explorer's own, with relative links, and lists that a script searches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from selfcodealign.explorer.bundled_rows import Drawn
from selfcodealign.explorer.reasons import split_ids
from selfcodealign.explorer.rendering import render
from selfcodealign.explorer.rows import show_value

#: Nothing but the bundle's own files is loaded or asked for.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
#: Characters of a value in a list.
_MOST_CHARACTERS = 160
_HEAD = '<meta charset="utf-8">\n'


@dataclass(frozen=True)
class Site:
    """What all pages of a bundle share: the run's name, its stages, the page of each row by id, the most rows of each
    stage, and when the bundle was made."""

    run_name: str
    stages: Sequence[str]
    pages: Mapping[str, str]
    most: int
    made: str

    def page(self, template: str, path: str, **values: Any) -> str:
        """Fill a template for the page at `path` ("row/3f9a.html")."""
        root = "../" * path.count("/")
        text = render(
            None,
            template,
            root=root or "./",
            url=self._url(root),
            here="/" if path == "index.html" else f"/{path.removesuffix('.html')}",
            run_name=self.run_name,
            stages=self.stages,
            known=lambda row_id: row_id in self.pages,
            split_ids=split_ids,
            **values,
        )
        policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        note = f'<footer class="dim">A copy of {self.made}, of at most {self.most:,} rows of each stage. '
        note += "Marks are shown, and cannot be made here.</footer>\n</main>"
        return text.replace(_HEAD, _HEAD + policy, 1).replace("</main>", note, 1)

    def _url(self, root: str) -> Callable[[str], str]:
        def url(path: str) -> str:
            path, _, query = path.partition("?")
            kind, _, name = path.lstrip("/").partition("/")
            match kind:
                case "":
                    return f"{root}index.html"
                case "row":
                    return root + self.pages.get(unquote(name), "index.html")
                case "compare":
                    return root + compare_page(*(parse_qs(query)[one][0] for one in ("a", "b")))
                case "static":
                    return f"{root}static/{name}"
                case "report.html":
                    return f"{root}report.html"
                case _:
                    return f"{root}{path.lstrip('/')}.html"

        return url


def compare_page(left: str, right: str) -> str:
    """Return the page of two answers; their ids are hexadecimal.

    >>> compare_page("3f9a", "0b11")
    'compare/3f9a-0b11.html'
    """
    return f"compare/{left}-{right}.html"


def write_data(drawn: Drawn, pages: Mapping[str, str], marks: Mapping[str, str]) -> str:
    """Return the script that holds a list: browsers load no other data from a disk.

    Every character beyond ASCII is escaped, and so is what could end a script.
    """
    columns = ["kept", "reason", "detail", "mark", *drawn.table.columns]
    rows = [
        [
            row["own"] or "",
            pages.get(row["own"] or "", ""),
            "kept" if row["kept"] else "dropped",
            _cut(row["reason"]),
            _cut(row["detail"]),
            marks.get(row["own"] or "", ""),
            *(_cut(row[name]) for name in drawn.table.columns),
        ]
        for row in drawn.rows
    ]
    text = json.dumps({"columns": columns, "rows": rows}, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return f"window.LISTED = {text};\n"


def _cut(value: Any) -> str:
    text = " ".join(value[: 2 * _MOST_CHARACTERS].split()) if isinstance(value, str) else show_value(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} …"
