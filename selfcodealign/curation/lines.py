"""Source file → seeds: windows of its lines, drawn at random, as OSS-Instruct and the paper's ablation take them.

OSS-Instruct draws one window of 1 to 15 lines from each document, of any quality. The ablation of SelfCodeAlign draws
one of 5 to 30 lines from each chunk of 100, and tidies it.
"""

from __future__ import annotations

import ast
import sys
import textwrap
import warnings
from collections.abc import Iterator
from itertools import pairwise

from selfcodealign.curation.source_text import decode_source, drop_file
from selfcodealign.generation.prompts import find_markup
from selfcodealign.rows import Dropped, Seed, SourceFile, digest, seed_of
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import UNKNOWN, is_permitted

_CHUNK = 100  # lines
# A tidy document.
_FEWEST_LINES = 10
_MOST_LINES = 5000
_MEAN_LENGTH = 80
# What no prompt can show.
_MINIFIED_MEAN = 200
_MINIFIED_CHARACTERS = 2048
_LONGEST_LINE = 1000

#: Lines with their numbers in the file, from 1.
_Numbered = list[tuple[int, str]]


def extract_windows(file: SourceFile, settings: SeedSettings) -> list[Seed | Dropped]:
    """One window of a file, or one of each of its chunks, as a seed or as a drop with its reason.

    The file as a whole is dropped as `not_utf8`, `blank`, `minified` or `too_few_lines`, a tidy one also as
    `too_many_lines`, `long_lines`, `syntax_error` or `other_imports`; a window as `blank`, `long_line`,
    `prompt_markup`, `symbols_only` (a tidy one) or `licence`. The draws come from the file's id, so that a file always
    gives the same windows.
    """
    try:
        text = decode_source(file.text)
    except (UnicodeError, SyntaxError) as error:
        return [drop_file(file, "not_utf8", str(error))]
    lines = list(enumerate(text.removesuffix("\n").split("\n"), start=1))
    if problem := _find_problem(text, lines, settings):
        return [drop_file(file, *problem)]
    chunks = _cut(lines) if settings.lines_per == "chunk" else [lines]
    drawn = [_draw(chunk, number, file, settings) for number, chunk in enumerate(chunks)]
    return [_judge(window, file, settings) for window in drawn]


def _find_problem(text: str, lines: _Numbered, settings: SeedSettings) -> tuple[str, str] | None:
    """Why no window of the file is taken, as (reason, detail)."""
    if not text.strip():
        return "blank", ""
    mean = len(text) / len(lines)
    if len(text) > _MINIFIED_CHARACTERS and mean > _MINIFIED_MEAN:
        return "minified", f"{len(text):,} characters in {len(lines):,} lines"
    tidy = settings.tidy_lines
    fewest = max(settings.line_bounds[0], _FEWEST_LINES if tidy else 1)
    if len(lines) < fewest:
        return "too_few_lines", f"{len(lines)} lines, at least {fewest} are needed"
    if tidy and len(lines) > _MOST_LINES:
        return "too_many_lines", f"{len(lines):,} lines"
    if tidy and mean > _MEAN_LENGTH + 1:  # the line ends are no part of the lines
        return "long_lines", f"{mean:.0f} characters on average"
    return _find_other_import(text) if settings.lines_standard_library else None


def _find_other_import(text: str) -> tuple[str, str] | None:
    """The first import that is not of the standard library, as a problem; text that cannot be parsed is one, too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return "syntax_error", str(error)
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                return "other_imports", name
    return None


def _cut(lines: _Numbered) -> Iterator[_Numbered]:
    """Chunks in the order of the file, counted from its end: the rest is its head, with notices and imports."""
    over = len(lines) % _CHUNK if len(lines) > _CHUNK else 0
    for start in range(over, len(lines), _CHUNK):
        yield lines[start : start + _CHUNK]


def _draw(chunk: _Numbered, number: int, file: SourceFile, settings: SeedSettings) -> _Numbered:
    """A window of a chunk: per document it begins at any line and may be cut by the end, per chunk it fits in."""
    if settings.tidy_lines:
        chunk = _collapse(chunk)
    fits = settings.lines_per == "chunk"
    fewest, most = (min(bound, len(chunk)) if fits else bound for bound in settings.line_bounds)
    length = fewest + seed_of(file.id, f"length of window {number}") % (most - fewest + 1)
    room = max(0, len(chunk) - (length if fits else fewest))
    start = seed_of(file.id, f"start of window {number}") % (room + 1)
    return chunk[start : start + length]


def _collapse(lines: _Numbered) -> _Numbered:
    """The lines without those empty ones that follow an empty one."""
    return [lines[0], *(line for before, line in pairwise(lines) if before[1].strip() or line[1].strip())]


def _judge(window: _Numbered, file: SourceFile, settings: SeedSettings) -> Seed | Dropped:
    lines = [line for _, line in window]
    code = "\n".join(lines)
    if settings.tidy_lines:
        code = textwrap.dedent(code.replace("\t", "    "))
    seed = Seed(
        seed_id=digest("seed", code),
        source_id=file.id,
        seed=code,
        function="",
        origin=file.origin,
        source_path=file.path,
        source_line=window[0][0],
        commit=file.commit,
        licence=file.licence,
        repository=file.repository,
        kind="lines",
    )
    reason, detail = "", ""
    if not code.strip():
        reason = "blank"
    elif (longest := max(map(len, lines))) > _LONGEST_LINE:
        reason, detail = "long_line", f"{longest:,} characters"
    elif marks := find_markup(code.split("\n")):
        reason, detail = "prompt_markup", marks
    elif settings.tidy_lines and not any(map(str.isalpha, code)):
        reason = "symbols_only"
    elif not file.own and not is_permitted(file.licence, settings.licences):
        reason, detail = "licence", file.licence or UNKNOWN
    if not reason:
        return seed
    row = seed.fields() | ({"seed": ""} if reason == "long_line" else {})
    return Dropped(parent=file.id, reason=reason, detail=detail, row=row)
