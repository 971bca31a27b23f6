"""Docstrings that say nothing, or say it in another language."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from selfcodealign.curation.rules.code import Code, Problem

#: Fewer words of prose say nothing certain about their language, and so does a lower probability of the likeliest
#: one (related ones, as the Chinese ones are, share it).
_READ = 4000  # characters of a docstring that tell its language; the time grows with them
_LEAST_WORDS, _LEAST_CHARACTERS, _LEAST_PROBABILITY = 6, 15, 0.7
#: Languages that are written without blanks have no words to count.
_WITHOUT_BLANKS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
#: What is no prose: doctests, fields, roles, names with underscores, dots, digits or brackets.
_NO_PROSE = re.compile(
    r"(?m)^\s*(?:>>>|\.\.\.).*$|^\s*\.\. .*$|^\s*:\w+[^:]*:|:\w+:`[^`]*`|`+[^`]*`+|\S*[_\d\[\](){}<>=\\/.][\w_]\S*"
)
#: English, and no other language, has so many of these; the detector, which takes longer, is asked about the rest.
_ENGLISH, _SURELY_ENGLISH = re.compile(r"\b(?:the|and|with|from|that|this|which|should)\b"), 3
_LETTERS, _PART = re.compile(r"[^\W\d_]+"), re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
#: What an editor writes into a new docstring.
_TEMPLATE = re.compile(r"(?i)(?<![\w.])_(?:summary|description)_(?!\w)|\[(?:summary|description)\]")
#: Headings, markers and words without content.
_EMPTY_WORDS = """
    a an and arg args argument arguments as at by class detail details example examples for from function give given
    gives helper i in input inputs into is it its keyword kwarg kwargs method must none note notes of on optional or
    output outputs param parameter parameters raise raises return returned returning returns rtype see self should
    that the this to todo type types used using value values which will with yield yields any bool bytes callable dict
    float int iterable list number object set str string tuple
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())


def find_stub_docstring(code: Code, *, stubs: bool = True, repeating: bool = False) -> Problem | None:
    """A docstring that an editor wrote, or that holds nothing but headings, types and the names of arguments.

    With `repeating`, the words of the function's name are nothing as well.
    """
    function, docstring = code.function, code.docstring
    if function is None or docstring is None:
        return None
    text = str(docstring.value)
    if stubs and (found := _TEMPLATE.search(text)):
        return Problem("stub_docstring", docstring.lineno + text.count("\n", 0, found.start()), found[0])
    known: set[str] = set(_EMPTY)
    for node in ast.walk(function.args):
        if isinstance(node, ast.arg):
            known.update(_split_name(node.arg))
    said = (word for found in _LETTERS.finditer(text) for word in _split_name(found[0]) if word not in known)
    first = next(said, None)
    if stubs and first is None:
        return Problem("stub_docstring", docstring.lineno, "no word but headings, types and names of arguments")
    own = {_stem(word) for word in _split_name(function.name)}
    if repeating and first is not None and all(_stem(word) in own for word in (first, *said)):
        return Problem("repeating_docstring", docstring.lineno, f"no word but those of {function.name}")
    return None


def find_foreign_docstring(code: Code, languages: Sequence[str]) -> Problem | None:
    """A docstring that is certainly in none of these languages (ISO 639)."""
    if not languages or code.docstring is None:
        return None
    text = str(code.docstring.value)[:_READ]
    if "en" in languages and len(_ENGLISH.findall(text)) >= _SURELY_ENGLISH:
        return None
    prose = _NO_PROSE.sub(" ", text)
    words = _WORD.findall(prose)
    dense = len(_WITHOUT_BLANKS.findall(prose))
    if len(words) < _LEAST_WORDS and dense < _LEAST_CHARACTERS:
        return None
    language, probability = _identifier().classify(" ".join(words))
    if language in languages or probability < _LEAST_PROBABILITY:
        return None
    return Problem("docstring_language", code.docstring.lineno, f"{language}, probability {probability:.2f}")


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _split_name(name: str) -> list[str]:
    """The words of a name, in lower case: `parseHTTPHeader` → parse, http, header."""
    return [word.lower() for word in _PART.findall(name)]


def _stem(word: str) -> str:
    """A word without the ending of a form: get, gets, getting."""
    return re.sub(r"(?:ing|es|s|ed|d|e)$", "", word) or word
