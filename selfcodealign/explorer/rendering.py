"""The explorer's pages as HTML: one frame for those that are served and for those of a static bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from selfcodealign.pages.template import environment


@dataclass(frozen=True)
class Frame:
    """What the frame of every page of a run shows: the run's name and its stages with rows, in order."""

    run_name: str
    stages: Callable[[], Sequence[str]]


#: Where the server's application keeps its frame.
FRAME = web.AppKey("frame", Frame)


def render(request: web.Request | None, template: str, **values: Any) -> str:
    """Fill a template of the explorer.

    With a request, the frame's values come from its application. Without one (the static bundle) the page has no script
    and no link to SQL, and the caller gives `run_name` and `stages`, and where its links begin: `root`, a relative
    prefix such as "../", or a function `url` of a path such as "/stage/seeds".
    """
    defaults: dict[str, Any] = {"served": request is not None, "root": "", "here": "", "stages": (), "run_name": ""}
    if request is not None:
        frame = request.app[FRAME]
        defaults |= {"here": request.rel_url.raw_path, "run_name": frame.run_name}
        if "stages" not in values:
            defaults["stages"] = frame.stages()
    filled = defaults | values
    filled.setdefault("url", lambda path: url_from(filled["root"], path))
    return environment("selfcodealign.explorer").get_template(template).render(filled)


def respond(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Answer with a page."""
    return web.Response(text=render(request, template, **values), content_type="text/html", status=status)


def url_from(root: str, path: str) -> str:
    """Return a link to a path of the explorer from a page whose way to the top is `root` ("": a served page).

    >>> url_from("", "/stage/seeds"), url_from("../", "/stage/seeds")
    ('/stage/seeds', '../stage/seeds')
    """
    return root + path.lstrip("/") if root else path
