"""Puts a text into every text field of a value, at any depth: dataclasses, mappings and their keys, sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: Texts that reach for the page around them, each in another way.
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "'><svg onload='document.title=1'>",
    "</style><style>body{display:none}</style>",
    "</title></pre></details><h1>owned</h1>",
    "javascript:document.title='owned'",
    "--><!-- <iframe srcdoc='<script>parent.document.title=1</script>'>",
    "\u202etxt.exe\u2066 \u200b\ufeff",
    "\x00\x1b[31m\x7f",
    "\ud800 lone \udfff",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "&lt;b&gt; &#x3c;script&#x3e;",
)


def plant(value: Any, write: Callable[[str], str], keep: frozenset[str] = frozenset()) -> Any:
    """A copy of `value` in which `write` has replaced each text; texts in `keep` stay, also as keys."""
    if isinstance(value, str):
        return value if value in keep else write(value)
    if isinstance(value, Path):
        return Path(write(str(value)).replace("\x00", "0"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: plant(getattr(value, one.name), write, keep) for one in dataclasses.fields(value)}
        return type(value)(**fields)
    if isinstance(value, Mapping):
        return {plant(key, write, keep): plant(item, write, keep) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plant(one, write, keep) for one in value)
    return value
