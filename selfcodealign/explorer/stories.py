"""The pages about single rows: a row's story, two answers side by side, the prompts, and marks."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from selfcodealign.errors import RecipeError, RunFolderError
from selfcodealign.explorer.access import NotFound
from selfcodealign.explorer.database import Database
from selfcodealign.explorer.diffs import Line, Pair, side_by_side, unified
from selfcodealign.explorer.reasons import describe_verdict, explain_fate, split_ids
from selfcodealign.explorer.rendering import respond
from selfcodealign.explorer.story import Row, Story, build_story
from selfcodealign.report.search import Search, check_id
from selfcodealign.run_folder.folder import open_existing
from selfcodealign.run_folder.marks import Label, Mark, add_mark, list_marks, read_marks

if TYPE_CHECKING:
    from selfcodealign.settings import Recipe
    from selfcodealign.stages.context import Place

#: Marks on one page, the last ones; characters of a note.
MOST_MARKS, _MOST_NOTE = 1_000, 2_000


@dataclass(frozen=True)
class Side:
    """One of two answers that are compared."""

    id: str
    task: str
    fate: Sequence[tuple[str, str]]
    verdict: Sequence[tuple[str, str]]


class Stories:
    """The pages about single rows of a run."""

    def __init__(self, run: Path, database: Database) -> None:
        self._run = run
        self._database = database

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/row/{id}", self._story)
        app.router.add_get("/row/{id}/prompts", self._prompts)
        app.router.add_get("/compare", self._compare)
        app.router.add_get("/marks", self._marks)
        app.router.add_post("/mark", self._mark)

    async def _story(self, request: web.Request) -> web.Response:
        beginning = _id(request.match_info["id"])
        marks = await asyncio.to_thread(read_marks, self._run)
        choose = choice_of(self._run)
        story: Story = await self._ask(lambda search: build_story(search, beginning, marks, choose))
        history = await asyncio.to_thread(lambda: list(list_marks(self._run, story.id)) if story.id in marks else [])
        return respond(request, "story.html", story=story, history=history, brief=False, **HELPERS)

    async def _compare(self, request: web.Request) -> web.Response:
        wanted = [_id(request.query.get(name, "")) for name in ("a", "b")]
        rows = await self._ask(lambda search: [find_answer(search, one) for one in wanted])
        return respond(request, "compare.html", **compare(*rows), **HELPERS)

    async def _prompts(self, request: web.Request) -> web.Response:
        row_id = _id(request.match_info["id"])
        rows = await self._ask(lambda search: search.rows(*search.find(row_id), most=20))
        asked = await asyncio.to_thread(_lay_out, self._run, rows)
        return respond(request, "prompts.html", id=row_id, asked=asked, **HELPERS)

    async def _marks(self, request: web.Request) -> web.Response:
        marks = await asyncio.to_thread(read_marks, self._run)
        return respond(request, "marks.html", **last_marks(marks), **HELPERS)

    async def _mark(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        said = {name: str(form.get(name, "")) for name in ("row", "label", "note", "back")}
        row_id, back = _id(said["row"]), _id(said["back"] or said["row"])
        _, full_id = await self._ask(lambda search: search.find(row_id))
        note = said["note"][:_MOST_NOTE]
        await asyncio.to_thread(set_mark, self._run, full_id, said["label"], note)
        return web.Response(status=303, headers={"Location": f"/row/{quote(back)}"})

    async def _ask(self, question: Any) -> Any:
        """Ask the run's rows. Raises `NotFound` where no row, or more than one, is meant."""

        def ask(cursor: Any) -> Any:
            return question(Search(open_existing(self._run), cursor))

        try:
            return await self._database.ask(ask)
        except RunFolderError as error:
            raise NotFound(f"{error}.") from None


#: What the templates of single rows call.
HELPERS: Mapping[str, Any] = {"known": lambda row_id: bool(row_id), "split_ids": split_ids}


def set_mark(run: Path, row_id: str, label: str, note: str) -> None:
    """Mark a row as the form says: "keep" or "drop", a "note" without changing the label, or "clear" for neither."""
    if label not in ("keep", "drop", "note", "clear"):
        raise NotFound("There is no such label.")
    known = read_marks(run).get(row_id)
    new: Label = label if label in ("keep", "drop") else known.label if known and label == "note" else ""  # type: ignore[assignment]
    said = Mark(row_id, new, "" if label == "clear" else note, _user())
    if known is not None or said.label or said.note:
        add_mark(run, said)


def last_marks(marks: Mapping[str, Mark]) -> dict[str, Any]:
    """Return what the page of marks shows, the last one first."""
    return {"marks": list(reversed(list(marks.values())[-MOST_MARKS:])), "total": len(marks)}


def find_answer(search: Search, beginning: str) -> Row:
    """Return the row of an answer. Raises `RunFolderError` if there is none."""
    name, row_id = search.find(beginning)
    rows = search.rows(name, row_id, most=1) if name == "response_id" else []
    if not rows:
        raise RunFolderError(f'"{beginning}" is no answer: two answers can be compared')
    return rows[0]


def compare(left: Row, right: Row) -> dict[str, Any]:
    """Return what the page of two answers shows: how the one would become the other, and never a passing one worse."""
    if left.get("status") == "passed" != right.get("status"):
        left, right = right, left
    compared: list[tuple[str, list[Pair], list[Line]]] = []
    for name, field in (("Response", "response"), ("Tests", "tests")):
        texts = (left.get(field) or "", right.get(field) or "")
        compared.append((name, side_by_side(*texts), unified(*texts)))
    return {"left": _side(left), "right": _side(right), "compared": compared, "instruction": left.get("instruction")}


def _side(row: Row) -> Side:
    return Side(
        row["response_id"],
        row.get("instruction_id") or "",
        split_ids(explain_fate(row)),
        list(describe_verdict(row)),
    )


def choice_of(run: Path) -> str:
    """Return how the run's selection chooses among answers to one instruction."""
    stages = open_existing(run).stages()
    return next((str(one.decided_by[key]) for one in stages for key in one.decided_by if key == CHOOSE), "random")


#: The name of that setting in stage.json.
CHOOSE = "selection.choose"


def _lay_out(run: Path, rows: Sequence[Row]) -> list[Any]:
    """Lay out the prompts that rows met, each once."""
    from selfcodealign.recipe import load_recipe
    from selfcodealign.run_folder.folder import RunFolder
    from selfcodealign.stages.context import Context
    from selfcodealign.stages.laid_out import prompts_of

    recipe, folder = load_recipe(run / "recipe.toml"), RunFolder(run)
    context = Context(recipe, _places(recipe, folder.journey()), folder)
    found: dict[Any, None] = {}
    for row in rows:
        found.update(dict.fromkeys(prompts_of(context, row)))
    return list(found)


def _places(recipe: Recipe, names: Sequence[str]) -> dict[str, Place]:
    """The places of a run's stages. One of others is no more than a name: it is a module, and none is imported because
    a run folder names it. Raises `NotFound` where the others alone make no journey."""
    from selfcodealign.pipeline import CATALOGUE, make_journey
    from selfcodealign.stages.context import Place

    others = [name for name in recipe.journey if name not in CATALOGUE]
    left = [name for name in recipe.journey if name in CATALOGUE]
    try:
        known = make_journey(recipe.model_copy(update={"journey": left, "own": {}})).places
    except RecipeError:
        told = ", ".join(others)
        raise NotFound(f"This run begins with rows of a stage of others ({told}): use selfcodealign show.") from None
    return {name: known.get(name, Place(None, None, None)) for name in names}


def _id(text: str) -> str:
    try:
        return check_id(text)
    except RunFolderError as error:
        raise NotFound(f"{error}.") from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""
