"""Send a request to a server and read what comes, as a stream where the server streams.

A stream tells that the server works, how much is written, and whether a text repeats itself, in which case the
connection is closed and the server stops writing. Each chunk costs the client time, so that a fast server would have to
wait for the client: above `MOST_CHUNKS` a second, further answers are asked for as a whole.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from selfcodealign.models.chunks import Chunks, Text
from selfcodealign.models.completions_api import Written, is_stream, read_answer, read_body
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.faults import ConnectionFault, PassingFault
from selfcodealign.models.forms import COMPLETIONS, Form
from selfcodealign.models.http_client import HttpClient
from selfcodealign.models.loops import repeats
from selfcodealign.models.request import Request
from selfcodealign.models.room import count_roughly
from selfcodealign.models.shared_answer import SharedAnswer
from selfcodealign.models.silence import Watched

#: Chunks a second, of all servers, above which answers are asked for as a whole.
MOST_CHUNKS = 3000.0
#: Seconds over which chunks are counted.
_SECONDS = 2.0
_STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class Receiver:
    """Reads the answers of all servers of a model.

    `seconds` is the longest silence of a server; `note_room` is called when a server may get more requests; `form` is
    that of requests and answers.
    """

    def __init__(
        self, client: HttpClient, seconds: float, note_room: Callable[[], None], form: Form = COMPLETIONS
    ) -> None:
        self._client = client
        self._seconds = seconds
        self._note_room = note_room
        self._form = form
        self._counted = 0.0
        self._counted_at = time.monotonic()

    def fields(self) -> dict[str, Any]:
        """The fields that ask for a stream; none while as many chunks come as the client can read."""
        self._count(0)
        return _STREAM if self._counted < MOST_CHUNKS * _SECONDS else {}

    async def ask(self, request: Request, endpoint: Endpoint, body: dict[str, Any]) -> Written:
        """Send `body`; return what the server wrote. A text that was ended because it repeats itself has the
        finish_reason "loop", and token counts that are estimated where the chunks did not tell.

        Raises what `read_answer` raises, and `PassingFault` after too long a silence or a broken connection.
        """
        request.chunks = None
        with endpoint.silence.watch(self._seconds) as watched:
            try:
                async with watched.ended:
                    return await self._read(request, endpoint, body, watched)
            except TimeoutError:
                endpoint.begin_again()
                raise PassingFault("no answer in time") from None

    async def _read(self, request: Request, endpoint: Endpoint, body: dict[str, Any], watched: Watched) -> Written:
        try:
            return await self._read_body(request, endpoint, body, watched)
        except ConnectionFault:
            if not isinstance(request.chunks, Chunks) or not request.chunks.ended:
                raise
            # Some servers close the connection after their last event, without the end of the body.
            return read_body(request.chunks.whole(), self._form, streamed=True)

    async def _read_body(self, request: Request, endpoint: Endpoint, body: dict[str, Any], watched: Watched) -> Written:
        stop_loops = request.sampling.stop_loops
        async with self._client.post(f"{endpoint.url}/{self._form.path}", body) as reply:
            if not is_stream(reply.head):
                answer = await reply.whole()
                endpoint.silence.hear(watched)
                written = read_answer(answer, self._form)
                looped = stop_loops and written.finish_reason == "length" and repeats(written.text)
                return replace(written, finish_reason="loop") if looped else written
            request.chunks = chunks = Chunks(self._form, stop_loops=stop_loops)
            async for part in reply.parts():
                count = chunks.feed(part)
                if endpoint.silence.hear(watched, answering=count > 0):
                    endpoint.note_begun()
                    self._note_room()
                self._count(count)
                if chunks.looped:  # leaving closes the connection, and the server stops
                    break
        written = read_body(chunks.whole(), self._form, streamed=True)
        if chunks.looped and not written.prompt_tokens:  # the stream has ended before the server told
            written = replace(written, prompt_tokens=count_roughly(request.prompt))
        return written

    async def ask_together(
        self, shared: SharedAnswer, endpoint: Endpoint, body: dict[str, Any], note_end: Callable[[Text], None]
    ) -> None:
        """Send `body` for several calls and give them what comes; `note_end` is called when the server has ended one.

        Leaves when no call needs more. Raises what `ask` raises.
        """
        with ExitStack() as watching:
            # Each text counts as a request that the server works on; one time-out ends them all.
            watches = {text: ExitStack() for text in shared.texts}
            watched = {
                text: watching.enter_context(watch).enter_context(endpoint.silence.watch(self._seconds))
                for text, watch in watches.items()
            }
            first = next(iter(watched.values()))
            for other in watched.values():
                other.ended = first.ended

            def hear(text: Text) -> None:
                if text not in watched:
                    return
                if endpoint.silence.hear(watched[text], answering=text.tokens > 0 or text.over):
                    endpoint.note_begun()
                    self._note_room()
                if text.reason is not None:
                    del watched[text]
                    watches[text].close()
                    note_end(text)

            try:
                async with first.ended:
                    await self._read_together(shared, endpoint, body, hear)
            except TimeoutError:
                endpoint.begin_again()
                raise PassingFault("no answer in time") from None

    async def _read_together(
        self, shared: SharedAnswer, endpoint: Endpoint, body: dict[str, Any], hear: Callable[[Text], None]
    ) -> None:
        chunks = shared.chunks
        try:
            async with self._client.post(f"{endpoint.url}/completions", body) as reply:
                if not is_stream(reply.head):
                    shared.take_whole(await reply.whole())
                    return
                async for part in reply.parts():
                    self._count(chunks.feed(part))
                    for text in chunks.touched:
                        hear(text)
                        if text.over:
                            shared.take(text)
                    if not shared.needed:
                        return
        except ConnectionFault:
            if not chunks.ended:
                raise
        shared.take_end()

    def _count(self, chunks: int) -> None:
        """Count chunks, those of the last seconds more than earlier ones."""
        now = time.monotonic()
        self._counted = self._counted * math.exp((self._counted_at - now) / _SECONDS) + chunks
        self._counted_at = now
