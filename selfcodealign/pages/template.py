"""The environment of all page templates: everything is escaped, a name that does not exist is an error."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pygments.formatters import HtmlFormatter

from selfcodealign.pages.code import PREFIX, show_code, show_text, split_text

#: Colours of code: contrast of at least 4.5 on the pages' backgrounds.
_LIGHT, _DARK = "friendly", "github-dark"


@lru_cache
def environment(package: str) -> Environment:
    """Return the environment with the templates of `package` (its folder `templates`), and those that all pages share.

    Filters: `number` (1,234), `percent` (0.876 → 87.6 %), `clock` (seconds → 1:02:03), `code` (Python in colours;
    `marked` is a line from 1), `text` (any text, with invisible characters made visible), `parts` (a response as
    prose and code).
    """
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("selfcodealign.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "number": _number,
        "percent": _percent,
        "clock": _clock,
        "code": show_code,
        "text": show_text,
        "parts": split_text,
    }
    return found


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@lru_cache
def style() -> Markup:
    """The style sheet of all pages, with the colours of code in light and dark."""
    text = files("selfcodealign.pages").joinpath("style.css").read_text("utf-8")
    light, dark = (
        HtmlFormatter(style=name, classprefix=PREFIX).get_token_style_defs(".code") for name in (_LIGHT, _DARK)
    )
    return Markup(f"{text}\n{chr(10).join(light)}\n@media (prefers-color-scheme: dark) {{\n{chr(10).join(dark)}\n}}\n")
