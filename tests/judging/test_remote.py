"""`RemoteSandbox`: the real service, and a server that is none."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from selfcodealign import Limits, Program, RemoteSandbox, Sandbox, Status, UserError, Verdict
from selfcodealign.errors import SandboxError
from selfcodealign.judging.wire import ANSWER_FIELDS
from tests.support.documentation import blocks
from tests.support.places import ROOT
from tests.support.service import TOKEN, Service, wait_until

HEALTH = {"status": "ok", "version": "9.9", "api": 1, "mode": "namespaces", "workers": 2, "queue": 10}
PASSED = {name: getattr(Verdict(Status.PASSED), name) for name in ANSWER_FIELDS}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service("--workers", "2", "--queue", "3", "--timeout", "60") as found:
        yield found


def number_program(number: int) -> Program:
    text = f"def f():\n    return {number}\n\nprint('program {number}')\n"
    return Program(text, f"assert f() == {number}", mutation_testing=False, split=False)


async def test_many_programs_get_their_own_verdicts_through_a_small_queue(service: Service) -> None:
    """More at once than the service takes, from two clients: each waits, and none gets another's verdict."""
    async with RemoteSandbox(service.base, TOKEN) as one, RemoteSandbox(f"{service.base}/?token={TOKEN}") as other:
        jobs = [(one, other)[n % 2].run(number_program(n)) for n in range(30)]
        verdicts = await asyncio.gather(*jobs)
    assert [verdict.output for verdict in verdicts] == [f"program {n}\n" for n in range(30)]
    assert {verdict.status for verdict in verdicts} == {Status.PASSED}


async def test_a_verdict_is_the_one_of_a_sandbox_here(service: Service) -> None:
    """All fields but the measured ones are equal, of every kind of program."""
    programs = [
        Program("def f(x):\n    return x + 1\n", "assert f(1) == 2\nassert f(5) == 6"),
        Program("def f(x):\n    return x\n", "assert f(1) == 2"),
        Program("def f(x):\n    return x\n", "__record__([1, None])\nassert f(1) == 1", kind="check"),
        Program("import sys\nprint(input(), file=sys.stderr)", kind="script", stdin="hi", as_command=True),
        Program("open('b', 'wb').write(open('a', 'rb').read())", kind="script", files={"a": b"\0"}, fetch=("b",)),
        Program("while True: pass", kind="script", limits=Limits(seconds=0.2)),
        Program("no code here, just words", "assert f(1) == 2"),
    ]
    async with RemoteSandbox(service.base, TOKEN) as there, Sandbox(1, warm=()) as here:
        for program in programs:
            one, other = await there.run(program), await here.run(program)
            for name in Verdict.__slots__:
                if name not in ("seconds", "peak_memory_mib"):
                    assert getattr(one, name) == getattr(other, name), (program, name)


async def test_the_documented_reward_asks_the_service(service: Service) -> None:
    """The function of docs/export.md, with this service's address: 1 for a right answer, 0 for a wrong one."""
    _, block = blocks(ROOT / "docs" / "export.md", "python")
    for shown, real in (("http://gpu1.cluster:8090", service.base), ("…", TOKEN)):
        assert shown in block
        block = block.replace(shown, real)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/export.md", "exec"), names)
    answers = ["def f(x):\n    return x + 1", "def f(x):\n    return x"]
    completions = [[{"role": "assistant", "content": answer}] for answer in answers]
    assert await names["reward_tests"](completions, ["assert f(1) == 2\nassert f(2) == 3"] * 2, id=[1, 2]) == [1.0, 0.0]


async def test_cancelling_kills_the_program(service: Service) -> None:
    """Nobody waits for it any more: the service's worker is free again."""
    endless = Program("import time\nwhile True:\n    time.sleep(1)\n", kind="script")
    async with RemoteSandbox(service.base, TOKEN) as sandbox:
        task = asyncio.create_task(sandbox.run(endless))
        await asyncio.to_thread(wait_until, lambda: service.metric("running_programs") == 1, "it did not begin")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: service.metric("running_programs") == 0, "it still runs")


async def test_a_wrong_token_is_told_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any program is sent."""
    monkeypatch.delenv("SELFCODEALIGN_SANDBOX_TOKEN", raising=False)
    for token in ("wrong", None):
        with pytest.raises(UserError, match="the token is missing or wrong"):
            async with RemoteSandbox(service.base, token):
                pass


@contextmanager
def scripted(*answers: tuple[int, object]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers, one for each request, the last for ever; status 0 breaks the connection."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            if not status:
                self.connection.close()
                return
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if status == 503:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


async def test_a_busy_service_and_a_broken_connection_are_asked_again() -> None:
    """503, a connection that breaks, a proxy's 502: the program gets its verdict all the same."""
    answers = [(200, HEALTH), (503, {"error": "full"}), (200, {"verdicts": []})]
    answers += [(0, ""), (503, {"error": "full"}), (502, "bad gateway"), (200, {"verdicts": [PASSED]})]
    with scripted(*answers) as (url, asked):
        async with RemoteSandbox(url, "x") as sandbox:
            assert (await sandbox.run(Program("x = 1", "assert x"))).passed
    assert len(asked) == 7


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([(200, HEALTH | {"api": 2})], "install the same version on both"),
        ([(404, "not found")], "no selfcodealign serve-sandbox"),
        ([(200, "<html>")], "no selfcodealign serve-sandbox"),
        ([(200, {"hello": 1})], "no selfcodealign serve-sandbox"),
        ([(403, {"error": "not known under that Host"})], "not known under that Host"),
        ([(0, "")], "no answer for 0 s"),
        ([(200, "[" * 200_000)], "no selfcodealign serve-sandbox"),
        ([(200, HEALTH | {"workers": 0, "queue": 0})], "no selfcodealign serve-sandbox"),
        ([(200, HEALTH | {"workers": "2"})], "no selfcodealign serve-sandbox"),
        ([(200, HEALTH), (413, {"error": "too large"})], "no selfcodealign serve-sandbox"),
    ],
)
async def test_a_wrong_address_is_told(answers: list[tuple[int, object]], said: str) -> None:
    """As a user's error that names the fix."""
    with scripted(*answers) as (url, _), pytest.raises(UserError, match=said):
        async with RemoteSandbox(url, "x", patience=0):
            pass


async def test_answers_that_do_not_fit_are_no_verdicts() -> None:
    """Fewer verdicts than programs, or none, raise instead of going to the wrong program."""
    for wrong in ({"verdicts": []}, {"verdicts": [{"status": "passed"}]}, {}):
        with scripted((200, HEALTH), (200, {"verdicts": []}), (200, wrong)) as (url, _):
            async with RemoteSandbox(url, "x") as sandbox:
                with pytest.raises(UserError, match="no selfcodealign serve-sandbox"):
                    await sandbox.run(Program("x = 1", "assert x"))


async def test_a_batch_that_is_too_large_is_divided() -> None:
    """413 halves a request, down to one program."""
    answers = [(200, HEALTH), (200, {"verdicts": []}), (413, {"error": "too large"})]
    answers += [(200, {"verdicts": [PASSED]}), (200, {"verdicts": [PASSED | {"message": "second"}]})]
    with scripted(*answers) as (url, _):
        async with RemoteSandbox(url, "x") as sandbox:
            verdicts = await asyncio.gather(*(sandbox.run(Program("x = 1", "assert x")) for _ in range(2)))
    assert [verdict.message for verdict in verdicts] == ["", "second"]


async def test_a_program_that_is_too_large_costs_no_other_its_verdict() -> None:
    """Of a request that is refused as a whole, only the program that fits in none raises."""
    answers = [(200, HEALTH), (200, {"verdicts": []}), (413, {"error": "too large"})]
    answers += [(413, {"error": "too large"}), (200, {"verdicts": [PASSED]})]
    with scripted(*answers) as (url, _):
        async with RemoteSandbox(url, "x") as sandbox:
            jobs = [sandbox.run(Program("x = 1", "assert x")) for _ in range(2)]
            large, small = await asyncio.gather(*jobs, return_exceptions=True)
    assert isinstance(large, SandboxError)
    assert isinstance(small, Verdict)
    assert small.passed


async def test_what_json_lacks_reaches_the_service(service: Service) -> None:
    """Half a surrogate pair and an infinite limit are programs as others, and harm none of the same request."""
    odd = replace(number_program(1), response="# \ud800\ndef f():\n    return 1\n")
    endless = replace(number_program(2), limits=Limits(seconds=math.inf))
    async with RemoteSandbox(service.base, TOKEN) as sandbox:
        verdicts = await asyncio.gather(*map(sandbox.run, (number_program(0), odd, endless)))
    async with Sandbox(1, warm=()) as here:
        assert verdicts[1].status is (await here.run(odd)).status
    assert [verdicts[0].status, verdicts[2].status] == [Status.PASSED, Status.PASSED]
