"""Send a request to a server and read what comes, as a stream where the server streams.

A stream tells that the server works, how much is written, and whether a text repeats itself, in which case the
connection is closed and the server stops writing. Each chunk costs the client time, so that a fast server would have to
wait for the client: above `MOST_CHUNKS` a second, further answers are asked for as a whole.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfcodealign.models.chunks import Chunks
from selfcodealign.models.completions_api import Written, is_stream, read_answer, read_body
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.faults import PassingFault, RequestFault
from selfcodealign.models.forms import COMPLETIONS, Form
from selfcodealign.models.loops import repeats
from selfcodealign.models.request import Request
from selfcodealign.models.room import count_roughly
from selfcodealign.models.silence import Watched

if TYPE_CHECKING:
    import httpx

#: Chunks a second, of all servers, above which answers are asked for as a whole.
MOST_CHUNKS = 3000.0
#: Seconds over which chunks are counted, and the longest time until a connection.
_SECONDS = 2.0
CONNECT_SECONDS = 10.0
_STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class Receiver:
    """Reads the answers of all servers of a model.

    `seconds` is the longest silence of a server; `note_room` is called when a server may get more requests; `form` is
    that of requests and answers.
    """

    def __init__(
        self, client: httpx.AsyncClient, seconds: float, note_room: Callable[[], None], form: Form = COMPLETIONS
    ) -> None:
        import httpx

        self._client = client
        self._seconds = seconds
        self._note_room = note_room
        self._form = form
        self._timeout = httpx.Timeout(None, connect=CONNECT_SECONDS, write=seconds)
        self._counted = 0.0
        self._counted_at = time.monotonic()

    def fields(self) -> dict[str, Any]:
        """The fields that ask for a stream; none while as many chunks come as the client can read."""
        self._count(0)
        return _STREAM if self._counted < MOST_CHUNKS * _SECONDS else {}

    async def ask(self, request: Request, endpoint: Endpoint, body: dict[str, Any]) -> Written:
        """Send `body`; return what the server wrote. A text that was ended because it repeats itself has the
        finish_reason "loop", and token counts that are estimated where the chunks did not tell.

        Raises what `read_answer` raises, `PassingFault` after too long a silence, and `httpx.HTTPError`.
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
        import httpx

        try:
            return await self._read_body(request, endpoint, body, watched)
        except httpx.DecodingError as error:
            raise RequestFault(f"its body cannot be decoded ({error})") from None
        except httpx.TransportError:
            if request.chunks is None or not request.chunks.ended:
                raise
            # Some servers close the connection after their last event, without the end of the body.
            return read_body(request.chunks.whole(), self._form, streamed=True)

    async def _read_body(self, request: Request, endpoint: Endpoint, body: dict[str, Any], watched: Watched) -> Written:
        stop_loops = request.sampling.stop_loops
        address = f"{endpoint.url}/{self._form.path}"
        async with self._client.stream("POST", address, json=body, timeout=self._timeout) as answer:
            if not is_stream(answer):
                await answer.aread()
                endpoint.silence.hear(watched)
                written = read_answer(answer, self._form)
                looped = stop_loops and written.finish_reason == "length" and repeats(written.text)
                return replace(written, finish_reason="loop") if looped else written
            request.chunks = chunks = Chunks(self._form, stop_loops=stop_loops)
            async for part in answer.aiter_bytes():
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

    def _count(self, chunks: int) -> None:
        """Count chunks, those of the last seconds more than earlier ones."""
        now = time.monotonic()
        self._counted = self._counted * math.exp((self._counted_at - now) / _SECONDS) + chunks
        self._counted_at = now
