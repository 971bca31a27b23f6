"""Seed → seed: no undefined names (ruff), no type errors (pyrefly or pyright). Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from selfcodealign.curation.batches import Batches
from selfcodealign.curation.finding import tell_line
from selfcodealign.curation.static_checks import Unchecked, check_codes, probe
from selfcodealign.curation.static_tools import PYTHON, Tool, open_tools
from selfcodealign.errors import UserError
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import TypeSettings
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context

#: A tool takes a second to start and a millisecond for a seed.
ROWS_AT_ONCE = 2000


class StaticCheck:
    """Keeps a seed in which the tools find nothing; the first finding is the drop's.

    Windows of lines are no programs, and a commit's file is not on its own: only functions are checked.
    """

    def __init__(self, context: Context) -> None:
        tools = _tools(context)
        self._check = Batches(partial(check_codes, tools=tools), ROWS_AT_ONCE) if tools else None

    async def __call__(self, seed: Seed) -> list[Seed | Dropped]:
        if seed.kind != "functions" or self._check is None:
            return [seed]
        found = await self._check(seed.seed)
        if isinstance(found, Unchecked):
            detail = f"{found.tool}: {found.what}"
            return [Dropped(parent=seed.id, reason="check_failed", detail=detail, row=seed.fields())]
        if not found:
            return [seed]
        first = found[0]
        detail = tell_line(seed.seed, first.line, f"{first.message} [{first.rule}]")
        return [Dropped(parent=seed.id, reason=first.reason, detail=detail, row=seed.fields())]


def _tools(context: Context) -> list[Tool]:
    settings = context.recipe.types
    return open_tools(
        settings.checker, undefined_names=settings.undefined_names, possibly_unbound=settings.possibly_unbound
    )


def _check(context: Context) -> Iterable[str | UserError]:
    for tool in _tools(context):
        if problem := probe(tool):
            yield problem


def _decided_by(context: Context) -> dict[str, Any]:
    tools = [tool.describe() for tool in _tools(context)]
    return {**context.deciding("types"), "versions of the checkers": tools, "Python that seeds are checked for": PYTHON}


TYPES = Each(
    name="types",
    takes=Seed,
    gives=Seed,
    settings=TypeSettings,
    columns=("function", "origin", "licence"),
    check=_check,
    decided_by=_decided_by,
    build=StaticCheck,
    rows_at_once=lambda context: ROWS_AT_ONCE,
)
