"""A seed's code → the first of the rules that it breaks; each rule is a setting of `[quality]`.

Rules on text (secrets, personal data, words) hold for every kind of seed, the others for functions. The result depends
on the arguments alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec

from selfcodealign.curation.finding import tell_line
from selfcodealign.curation.rules.bodies import find_data, find_placeholder, find_wrapper
from selfcodealign.curation.rules.code import Code, Problem
from selfcodealign.curation.rules.docstrings import find_foreign_docstring, find_stub_docstring
from selfcodealign.curation.rules.modules import find_bad_import
from selfcodealign.curation.rules.personal_data import find_address
from selfcodealign.curation.rules.secrets import find_secret
from selfcodealign.curation.rules.words import find_bad_word
from selfcodealign.errors import MissingExtra
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import QualitySettings

Rule = Callable[[Code], Problem | None]


def judge_quality(seed: Seed, settings: QualitySettings) -> list[Seed | Dropped]:
    """The seed, or its drop by the first rule that it breaks, with the line that decided."""
    code = Code(seed.seed, seed.function)
    try:
        problem = next((found for rule in _rules(settings, seed.kind) if (found := rule(code)) is not None), None)
    except (RecursionError, MemoryError):
        problem = Problem("too_nested", 1, "nested deeper than can be looked at")
    if problem is None:
        return [seed]
    detail = tell_line(seed.seed, problem.line, problem.what)
    return [Dropped(parent=seed.id, reason=problem.reason, detail=detail, row=seed.fields())]


def describe_detectors(settings: QualitySettings) -> list[str]:
    """Names and versions of the libraries that decide with these settings. Raises `MissingExtra`."""
    needed = ["detect-secrets"] * settings.secrets + ["py3langid"] * bool(settings.docstring_languages)
    for package in needed:
        if find_spec(package.replace("-", "_")) is None:
            raise MissingExtra(f"the stage quality ({package})", "curation")
    return [f"{package} {version(package)}" for package in needed]


def _rules(settings: QualitySettings, kind: str) -> Iterator[Rule]:
    """The rules that are on for this kind of seed: cheap ones first, since the first problem decides."""
    if kind == "functions":
        yield from _rules_for_functions(settings)
    if settings.bad_words:
        yield lambda code: find_bad_word(code, settings.bad_words)
    if settings.personal_data:
        yield find_address
    if settings.secrets:
        yield find_secret


def _rules_for_functions(settings: QualitySettings) -> Iterator[Rule]:
    if settings.placeholders:
        yield find_placeholder
    if settings.wrappers:
        yield find_wrapper
    if settings.stub_docstrings or settings.repeating_docstrings:
        yield lambda code: find_stub_docstring(
            code, stubs=settings.stub_docstrings, repeating=settings.repeating_docstrings
        )
    if settings.bad_imports:
        banned = {tuple(name.split(".")) for name in settings.bad_imports}
        yield lambda code: find_bad_import(code, banned)
    if settings.max_data < 1:
        yield lambda code: find_data(code, settings.max_data)
    if settings.docstring_languages:
        yield lambda code: find_foreign_docstring(code, settings.docstring_languages)
