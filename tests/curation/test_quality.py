"""The rules of the stage quality: what each drops, what it only seems to drop, and that it can be switched off."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from selfcodealign.curation.quality import describe_detectors, judge_quality
from selfcodealign.errors import MissingExtra
from selfcodealign.rows import Dropped
from selfcodealign.settings import QualitySettings
from tests.support.rows import make_seed

OFF: dict[str, Any] = {
    "secrets": False,
    "personal_data": False,
    "bad_imports": [],
    "bad_words": [],
    "placeholders": False,
    "wrappers": False,
    "stub_docstrings": False,
    "repeating_docstrings": False,
    "docstring_languages": [],
    "max_data": 1.0,
}
#: Made up here, in the format of the provider; in two parts, so that no scanner takes this file for a leak.
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
KEY = "AKIA" + "QXZ7RWV2KLMN4TSE"


def function(body: str, doc: str = "Return the sum of all prices in the basket, with tax.", head: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    return f'{head}def total(prices, rate):\n    """{doc}"""\n{lines}'


def judge(code: str, name: str = "total", kind: str = "functions", **settings: Any) -> str:
    """The drop as `reason: detail`, or "kept"."""
    seed = make_seed(1, code, function=name, kind=kind)
    (outcome,) = judge_quality(seed, QualitySettings(**settings))
    if isinstance(outcome, Dropped):
        assert outcome.row == seed.fields()
        assert outcome.parent == seed.id
        return f"{outcome.reason}: {outcome.detail}"
    assert outcome is seed
    return "kept"


WORK = "return sum(prices) * (1 + rate)"
RULES: list[tuple[dict[str, Any], str, str]] = [
    # the setting that drops it, the code, the drop
    ({"secrets": True}, function(f"token = '{TOKEN}'\n{WORK}"), "secret: line 3: token = "),
    ({"secrets": True}, function(f"# {KEY}\n{WORK}"), "secret: line 3: # AKIA"),
    ({"secrets": True}, function("return get('https://ann:t0psEcret9@shop.org')"), "secret: line 3: return get("),
    ({"personal_data": True}, function(WORK, "Total. Author: <ann.lee@shop.org>"), "personal_data: line 2: "),
    ({"personal_data": True}, function(f"host = '93.184.216.34'\n{WORK}"), "personal_data: line 3: host = "),
    ({"bad_imports": ["os"]}, function(WORK, head="from os.path import join as j\n"), "bad_import: line 1: from os"),
    ({"bad_imports": ["os"]}, function(f"import os.path as p\n{WORK}"), "bad_import: line 3: import os.path as p (os)"),
    ({"bad_imports": ["os.system"]}, function("return o.system('x')", head="import os as o\n"), "bad_import: line 4: "),
    ({"bad_imports": ["os.system"]}, function(WORK, head="from os import system\n"), "bad_import: line 1: "),
    ({"bad_imports": ["os"]}, function(f"from .tax import add\n{WORK}"), "relative_import: line 3: from .tax"),
    ({"bad_words": ["todo"]}, function(f"# Todo: round\n{WORK}"), "bad_word: line 3: # Todo: round (Todo)"),
    ({"bad_words": ["todo"]}, function(WORK, "Sum of prices.\n\n    TODO: tax\n    "), "bad_word: line 4: TODO: tax"),
    ({"placeholders": True}, function("pass"), "placeholder: line 3: pass (the body does nothing)"),
    ({"placeholders": True}, function("..."), "placeholder: line 3: "),
    ({"placeholders": True}, function("raise NotImplementedError('later')"), "placeholder: line 3: raise"),
    ({"placeholders": True}, function("return NotImplemented"), "placeholder: line 3: "),
    ({"placeholders": True}, function("return 0"), "placeholder: line 3: "),
    ({"wrappers": True}, function("return shop.total(prices, rate=rate)"), "wrapper: line 3: return shop.total"),
    ({"stub_docstrings": True}, function(WORK, "_summary_"), "stub_docstring: line 2: "),
    (
        {"stub_docstrings": True},
        function(WORK, "\n    Args:\n        prices (list):\n        rate (float):\n    Returns:\n        float\n    "),
        "stub_docstring: line 2: ",
    ),
    (
        {"repeating_docstrings": True},
        function(WORK, "Returns the totals for the prices."),
        "repeating_docstring: line 2",
    ),
    (
        {"docstring_languages": ["en"]},
        function(WORK, "Gibt die Summe aller Preise im Warenkorb zurück, einschließlich der Steuer."),
        "docstring_language: line 2: ",
    ),
    (
        {"docstring_languages": ["en"]},
        function(WORK, "计算购物车中所有商品的总价格，包括税费在内，并返回结果。"),
        "docstring_language: ",
    ),
    ({"max_data": 0.8}, function(f"table = {list(range(300))}\nreturn table[rate]"), "data: line 3: table = "),
    (
        {"max_data": 0.8},
        function(f"return load('{base64.b64encode(bytes(range(256))).decode()}')" + "\n# and code" * 90),
        "data: line 3: return load",
    ),
]


@pytest.mark.parametrize(("settings", "code", "drop"), RULES, ids=[drop for _, _, drop in RULES])
def test_a_rule_drops_what_it_is_for_and_can_be_switched_off(settings: dict[str, Any], code: str, drop: str) -> None:
    """The reason, and the line that decided; the same seed stays when all rules are off."""
    assert judge(code, **(OFF | settings)).startswith(drop)
    assert judge(code, **OFF) == "kept"


KEPT: dict[str, tuple[dict[str, Any], str]] = {
    "an example of an address": ({}, function(WORK, "Total for a user such as ann@example.com or ann@shop.example.")),
    "an address that answers nobody": ({}, function(f"url = 'git@github.com:ann/shop.git'\n{WORK}")),
    "a matrix product": ({}, function("return prices@rate.values")),
    "private and documented machines": ({}, function(f"hosts = '10.0.0.7', '127.0.0.1', '192.0.2.1'\n{WORK}")),
    "a version": ({}, function(WORK, "Return the sum of prices as release 2.17.4.1 does, with tax.")),
    "a name of a password": ({}, function("return connect('ftp://user:password@host', password=rate)")),
    "a module whose name begins alike": (
        {"bad_imports": ["os", "sys"]},
        function(WORK, "Sum; see import os and from sys.", head="import ossaudio\nimport system.os\n"),
    ),
    "an allowed attribute": ({}, function("return os.path.join(prices, rate)", head="import os\n")),
    "another object's attribute": ({"bad_imports": ["os.system"]}, function("return os.system(prices)")),
    "a word in a word": ({"bad_words": ["bug"]}, function(f"# debug output, debugging, bugs_total\n{WORK}")),
    "a word as a name": ({}, function("todo = list(prices)\nwhile todo:\n    rate += todo.pop()\nreturn rate")),
    "a word in a value": ({}, function("return 'todo' if rate else prices")),
    "a last line that raises": ({}, function(f"if rate:\n    {WORK}\nraise NotImplementedError")),
    "a call with more": ({"wrappers": True}, function("return round(prices, 2)")),
    "a short docstring": ({}, function(WORK, "Gibt die Summe zurück.")),
    "English terms": ({}, function(WORK, "Compute FFT magnitude, Hann window, log mel filterbank energies per frame.")),
    "a docstring that names a type": ({}, function(WORK, "Convert :class:`Basket` rows, dtype _type_, to totals.")),
    "a small table": ({}, function("rates = {'a': 1, 'b': 2, 'c': 3}\nreturn [rates[p] + rate for p in prices]")),
    "a long text": ({}, function("return format(prices, '" + "Ein langer Satz mit Leerzeichen. " * 20 + "')")),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_only_looks_like_it_stays(name: str) -> None:
    """Near misses of every rule, with the default settings but for what is named."""
    settings, code = KEPT[name]
    assert judge(code, **settings) == "kept"


def test_the_function_is_looked_at_and_not_what_it_carries() -> None:
    """Of several definitions the one that the seed is named after decides, also in a class."""
    carried = 'def helper(x):\n    """Does nothing."""\n    pass\n\n\n'
    assert judge(carried + function(WORK)) == "kept"
    assert judge(carried + function("pass")).startswith("placeholder: line 8: ")
    method = 'class Shop:\n    def total(self, x):\n        """Return the sum of all prices."""\n        pass\n'
    assert judge(method, "Shop.total").startswith("placeholder: line 4: ")


def test_what_is_no_program_is_judged_by_its_text() -> None:
    """A window of lines has no tree: secrets, addresses and words are found, the rest is passed over."""
    assert judge("    else:\n        return x\n", kind="lines") == "kept"
    assert judge(f"    else:\n        x = '{TOKEN}'\n", kind="lines").startswith("secret: line 2: ")
    assert judge("    else:  # fixme\n        y = (\n", kind="lines").startswith("bad_word: line 1: ")
    assert judge('    else:\n        mail("ann.lee@shop.org"\n', kind="lines").startswith("personal_data: line 2: ")


@pytest.mark.parametrize(
    "code",
    [
        "x = " + "(" * 5000,
        "x = " + "-" * 100_000 + "1",
        "def total(a):\n    return " + "a." * 20_000 + "b",
        "\0",
        "'''",
        "a" * 10**6,
    ],
    ids=["parentheses", "signs", "attributes", "null", "open string", "long word"],
)
def test_hostile_code_is_judged_in_bounded_time(code: str) -> None:
    """Nesting beyond the parser and half a program are one outcome like any other."""
    seed = make_seed(1, code, function="total")
    assert len(judge_quality(seed, QualitySettings())) == 1


def test_a_missing_detector_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the settings need is asked for."""
    monkeypatch.setattr("selfcodealign.curation.quality.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"detect-secrets.*curation"):
        describe_detectors(QualitySettings())
    with pytest.raises(MissingExtra, match=r"py3langid.*curation"):
        describe_detectors(QualitySettings(secrets=False))
    assert describe_detectors(QualitySettings(secrets=False, docstring_languages=[])) == []
