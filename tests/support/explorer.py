"""The real explorer of a run, addressed over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from selfcodealign.explorer.server import listen, make_app
from selfcodealign.pipeline import run_recipe
from selfcodealign.rows import Dropped, Response
from selfcodealign.run_folder.folder import Description, RunFolder
from selfcodealign.run_folder.shards import Shards
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources

TOKEN = "a-token-of-the-tests"


def make_run(folder: Path) -> Path:
    """Make a small run of a whole journey, without data set and training; the sandbox is replaced."""
    sources = write_sources(folder / "sources", 12)
    recipe = small_recipe(sources, without=["dataset"])
    with pytest.MonkeyPatch.context() as patch:
        judge_by_text(patch)
        asyncio.run(run_recipe(recipe, folder / "run", model=scripted_model()))
    return folder / "run"


def write_stage(
    run: Path, name: str, kept: list[Response], dropped: list[Dropped], columns: tuple[str, ...] = ()
) -> None:
    """Write a run with one stage of responses, which is under way."""
    folder = RunFolder(run)
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps({"form": 3, "journey": [*folder.journey(), name]}))
    about = Description("Response", "response_id", "instruction_id", None, Response.field_names(), columns)
    folder.stage(name, about, Response).begin({})
    Shards(run / name, Response, "instruction_id").write(kept, dropped)


@asynccontextmanager
async def explorer_of(run: Path, token: str | None = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a run; the client has the cookie, unless `token` is None."""
    runner = web.AppRunner(make_app(run.resolve(), TOKEN), access_log=None, handler_cancellation=True)
    await runner.setup()
    with listen(0) as listening:
        await web.SockSite(runner, listening).start()
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=base, timeout=60) as client:
                if token is not None:
                    answer = await client.get("/", params={"token": token})
                    assert answer.status_code == 303
                yield client
        finally:
            await runner.cleanup()


async def ask_sql(client: httpx.AsyncClient, query: str) -> httpx.Response:
    """Send a query as the page's form does."""
    origin = str(client.base_url).rstrip("/")
    return await client.post("/sql", data={"query": query}, headers={"Origin": origin})


async def get_as_written(client: httpx.AsyncClient, path: str) -> bytes:
    """Ask for a path exactly as it is written, which httpx would tidy; return the answer's beginning."""
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    try:
        writer.write(request.encode())
        return await reader.read(65536)
    finally:
        writer.close()


async def get_json(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()
