"""The environment of all page templates: everything is escaped, a name that does not exist is an error."""

from __future__ import annotations

import math
from datetime import timedelta
from functools import lru_cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pygments.formatters import HtmlFormatter

from selfcodealign.pages.code import PREFIX, show_code, show_text, split_text

#: Colours of code: contrast of at least 4.5 on the pages' backgrounds.
_LIGHT, _DARK = "xcode", "github-dark"


@lru_cache
def environment(package: str) -> Environment:
    """Return the environment with the templates of `package` (its folder `templates`), and those that all pages share.

    Filters: `number` (1,234), `percent` (0.876 → 87.6 %), `clock` (seconds → 1:02:03), `unit` (a share within 0..1),
    `code` (Python in colours; `marked` is a line from 1), `text` (any text, with invisible characters made visible),
    `parts` (a response as prose and code).
    """
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("selfcodealign.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "number": show_number,
        "percent": show_percent,
        "clock": show_clock,
        "unit": clamp,
        "code": show_code,
        "text": show_text,
        "parts": split_text,
    }
    return found


def show_number(value: float) -> str:
    """1,234 or 1,234.5."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def show_percent(share: float) -> str:
    """87.6 % for 0.876."""
    return f"{100 * share:.1f} %"


def show_clock(seconds: float) -> str:
    """1:02:03 for 3723 seconds."""
    if not math.isfinite(seconds):
        return "?"
    return str(timedelta(seconds=round(seconds)))


def clamp(share: float) -> float:
    """The share within 0..1, for widths; 0 for what is no number."""
    return min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0


@lru_cache
def style() -> Markup:
    """The style sheet of all pages, with the colours of code in light and dark."""
    text = files("selfcodealign.pages").joinpath("style.css").read_text("utf-8")
    light, dark = (
        HtmlFormatter(style=name, classprefix=PREFIX).get_token_style_defs(".code") for name in (_LIGHT, _DARK)
    )
    return Markup(
        f"{text}\n{chr(10).join(light)}\n@media screen and (prefers-color-scheme: dark) {{\n{chr(10).join(dark)}\n}}\n"
    )
