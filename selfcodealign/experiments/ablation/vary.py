"""What an ablation varies: `--vary KEY=[one, other]`, and the arms that come of it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from selfcodealign.errors import ExperimentError

#: Keys that are no settings: another recipe, stages added, stages left out.
RECIPE, WITH, WITHOUT = "recipe", "with", "without"
#: The value of `with` and `without` that changes nothing.
NONE = "none"


@dataclass(frozen=True)
class Axis:
    """One key and the values it takes, two or more, all different."""

    key: str
    values: tuple[Any, ...]


def read_axis(text: str) -> Axis:
    """Read what `--vary` gave. Words need no quotes, which a shell would remove. Raises `ExperimentError`.

    >>> read_axis("selection.answers=[passed, random]")
    Axis(key='selection.answers', values=('passed', 'random'))
    >>> read_axis("seeds.limit=[100, 200]").values
    (100, 200)
    """
    key, equals, given = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise ExperimentError(f"--vary {text}: write KEY=[VALUE, VALUE], as in selection.answers=[passed,random]")
    if not (given.startswith("[") and given.endswith("]")):
        example = given if "," in given else f"{given or 'a'},b"
        raise ExperimentError(f"--vary {text}: the values stand in brackets, as in {key}=[{example}]")
    values = tuple(_read_list(given))
    if len(values) < 2:
        told = f"has one value ({_show(values[0])})" if values else "has no value"
        raise ExperimentError(f"--vary {key} {told}: give two or more, or set it with --set")
    told = [_show(value) for value in values]
    if twice := next((one for one in told if told.count(one) > 1), ""):
        raise ExperimentError(f"--vary {key} names {twice} twice: name each value once")
    return Axis(key, values)


def read_axes(texts: Sequence[str]) -> list[Axis]:
    """Read all `--vary`, each key once. Raises `ExperimentError`."""
    axes = [read_axis(text) for text in texts]
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ExperimentError(f"--vary names {key} twice: give all its values in one list")
    return axes


def cross(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Every combination of the values, the last key changing fastest.

    >>> [*cross([Axis("a", (1, 2)), Axis("b", ("x",))])]
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    for values in product(*(axis.values for axis in axes)):
        yield dict(zip((axis.key for axis in axes), values, strict=True))


def name_arm(varied: dict[str, Any]) -> str:
    """The name of an arm in tables.

    >>> name_arm({"selection.answers": "passed", "seeds.limit": 10})
    'selection.answers=passed, seeds.limit=10'
    """
    return ", ".join(f"{key}={_show(value)}" for key, value in varied.items())


def name_folder(name: str) -> str:
    """A name as a folder's."""
    return re.sub(r"[^\w.=+-]+", "-", name).strip("-.")[:100] or "arm"


def as_setting(key: str, value: Any) -> str:
    """The `--set` of a varied setting; a JSON value is a TOML value."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_list(text: str) -> list[Any]:
    """The values of a TOML array, or of one whose words have no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return [_read_value(one.strip()) for one in _split(text[1:-1]) if one.strip()]


def _read_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if text.startswith("["):
            return _read_list(text)
        return text.strip("\"'")


def _split(text: str) -> Iterator[str]:
    """Split at the commas that stand in no brackets."""
    depth, start = 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "[{") - (sign in "]}")
        if sign == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]
