"""OpenAI-compatible servers as a model, asked for completions or in chat; several servers share the load.

A request goes to the server that has read the beginning of its prompt while loads are balanced, else to the one with
the fewest requests in flight. What becomes of a response that is no completion is decided in `patience`.

The key comes from the environment and is written nowhere.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, PromptTooLong, RequestFailed, Sampling, UnderWay
from selfcodealign.models.addressing import normalize_url
from selfcodealign.models.balancing import Endpoints
from selfcodealign.models.completions_api import Written, to_completion
from selfcodealign.models.endpoints import Endpoint, ServerState
from selfcodealign.models.failures import Failures
from selfcodealign.models.faults import ConnectionFault, ContextExceeded, PassingFault, Refused, RequestFault
from selfcodealign.models.form_choice import choose_form
from selfcodealign.models.forms import COMPLETIONS, CONTINUE
from selfcodealign.models.health import Health
from selfcodealign.models.http_client import HttpClient
from selfcodealign.models.meeting import Meeting
from selfcodealign.models.pacing import Pacer
from selfcodealign.models.patience import Patience
from selfcodealign.models.receiving import Receiver
from selfcodealign.models.request import Request, sum_up
from selfcodealign.models.shared_answer import SharedAnswer
from selfcodealign.models.together import Turn, Turns, fields_of, settle

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings


class ServerModel:
    """A model behind one or several servers.

    `settings.urls` name the servers, `settings.name` the model ("" means the only model they hold). Entering asks every
    server for its models; an unreachable server is tolerated if another one answers. `check` is called at every fault
    and may raise an error that makes waiting pointless.
    """

    #: More calls than `concurrency` may wait here: those that wait together can go as one request.
    holds_calls = True

    def __init__(
        self,
        settings: ModelSettings,
        *,
        extra_identity: dict[str, str] | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        if not settings.urls:
            raise ModelError("no server named: set model.urls, for example http://localhost:8000/v1")
        self.concurrency = settings.concurrency
        #: Tokens of texts that nobody waited for to the end: cancelled calls.
        self.abandoned_tokens = 0
        self._settings = settings
        self._form = choose_form(settings.api)
        self._endpoints = Endpoints(list(dict.fromkeys(map(normalize_url, settings.urls))), settings.concurrency)
        self._key = os.environ.get(settings.api_key_env, "").strip()
        self._check = check or (lambda: None)
        self._client: HttpClient | None = None
        self._receiver: Receiver | None = None
        self._sent: dict[Request, None] = {}
        self._turns = Turns(settings.group)
        self._reading: set[asyncio.Task[None]] = set()
        self._failures = Failures(settings.failed_share)
        self._meeting = Meeting(settings, self._form, self._key, extra_identity or {})
        self._health = Health(self._meeting.list_now, self._meeting.get, self._endpoints.wake)
        self._patience = Patience(settings, self._endpoints, self._meeting, self._health, self._check)
        self._pacer = Pacer(settings.requests_per_minute, settings.tokens_per_minute)

    async def __aenter__(self) -> Self:
        self._client = HttpClient(self._key)
        self._receiver = Receiver(self._client, self._settings.request_seconds, self._endpoints.wake, self._form)
        try:
            met = await self._meeting.meet(self._client, self._endpoints, self._check)
            self._health.know(self._meeting.identity["name"], met)
            for endpoint in self._endpoints:
                self._health.probe(endpoint)
        except BaseException:
            await self._health.close()
            await self._client.close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._health.close()
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    def identity(self) -> dict[str, str]:
        """Return name, revision (from the settings, else "unknown"), engine, its version and sampler; and what is done
        differently for servers that have refused something."""
        adapted = dict.fromkeys(text for endpoint in self._endpoints for text in endpoint.dialect.describe())
        seeds = {} if self._settings.seeds else {"seeds": "not sent: the same request gives another text"}
        return self._meeting.identity | seeds | ({"asked": ", ".join(adapted)} if adapted else {})

    def under_way(self) -> UnderWay:
        return sum_up(self._sent)

    def state(self) -> list[ServerState]:
        """What is known of each server now; cheap."""
        return [endpoint.describe() for endpoint in self._endpoints]

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Continue `prompt` on one of the servers. Raises `ModelError`, `PromptTooLong`, `RequestFailed`."""
        seeded = self._settings.seeds
        request = Request(prompt, sampling, seed, min(sampling.max_tokens, self._meeting.most_tokens), seeded=seeded)
        try:
            while True:
                try:
                    completion = await self._ask(request)
                except ContextExceeded as error:
                    # Engines refuse instead of cutting; a smaller max_tokens gives one that ends with "length".
                    if error.room >= request.max_tokens:
                        raise PromptTooLong(str(error)) from None
                    request.max_tokens = error.room
                else:
                    self._failures.note_answer()
                    return completion
        except RequestFailed as error:
            self._failures.note_failure(str(error))
            raise

    async def _ask(self, request: Request) -> Completion:
        """Ask until a server answers or there is no use in asking again."""
        while True:
            turn = await self._take_turn(request)
            try:
                asked = request not in turn.outcomes
                completion = await (self._send(request, turn) if asked else turn.outcomes[request])
                if turn.server.lost and not await self._health.confirm(turn.server):
                    raise PassingFault(f"it {turn.server.refused}")
            except PassingFault as error:
                lost = isinstance(error, ConnectionFault)
                await self._patience.pass_over(request, turn.server, error, turn.sent_at, lost=lost)
            except RequestFault as error:
                await self._patience.try_again(request, turn.server, error)
            except ModelError as error:
                raise ModelError(f"{turn.server.shown}: {self._meeting.hide(str(error))}") from None
            else:
                if completion is not None:
                    return completion

    async def _take_turn(self, request: Request) -> Turn:
        """Wait for a server, or join a call that waits for one and that this one may go with."""
        together = self._may_go_together(request)
        if together and (turn := self._turns.join(request)):
            return turn
        with self._turns.lead(request, open_to_others=together) as turn:
            if together:
                await asyncio.sleep(0)  # the calls of one moment come together
            async with self._pacer.turn(request.prompt, request.max_tokens) as turn.estimate:
                turn.endpoint = await self._endpoints.take(
                    request.prompt, request.avoid, lambda until: self._patience.bear(request, until)
                )
        turn.sent_at = time.monotonic()
        if len(turn.calls) > 1:
            endpoint = turn.endpoint
            most = 1 if endpoint.dialect.one_by_one else 1 + endpoint.room if endpoint.limits else self._turns.most
            if len(settle(turn, most)) > 1:
                task = asyncio.create_task(self._send_together(turn))
                self._reading.add(task)
                task.add_done_callback(self._reading.discard)
        return turn

    def _may_go_together(self, request: Request) -> bool:
        """Whether a call may go with others: only as a stream, in which no text waits for the slowest.

        With seeds, only where text i of a request has the seed of the request plus i, and is not greedy.
        """
        assert self._receiver is not None, "enter the model with `async with` first"
        if request.alone or self._turns.most == 1 or self._form is not COMPLETIONS or not self._receiver.fields():
            return False
        if request.seeded and (self._meeting.identity.get("engine") != "vllm" or request.sampling.temperature == 0):
            return False
        return not all(endpoint.dialect.one_by_one for endpoint in self._endpoints)

    async def _send(self, request: Request, turn: Turn) -> Completion:
        """Send a request to the endpoint whose turn it has taken, and read the response."""
        assert self._receiver is not None, "enter the model with `async with` first"
        endpoint = turn.server
        fields = self._meeting.fields | request.fields() | self._receiver.fields()
        dialect = endpoint.dialect
        body = request.body = dialect.adapt(self._form.write(fields, dialect.omitted, message=request.sampling.message))
        self._sent[request] = None
        self._health.poll(endpoint)
        try:
            written = await self._receiver.ask(request, endpoint, body)
        except asyncio.CancelledError:
            self.abandoned_tokens += request.chunks.tokens if request.chunks is not None else 0
            raise
        finally:
            self._note_end(request, endpoint)
        if CONTINUE in body and written.thoughts and not written.text and written.finish_reason == "stop":
            # Where a text goes on, some parsers of reasoning find no end of it and take all for reasoning.
            raise Refused("its answer is reasoning alone", 400, f"{CONTINUE}: the answer is reasoning alone")
        completion = self._finish(request, written, endpoint)
        self._note_answer(turn, request, completion)
        return completion

    async def _send_together(self, turn: Turn) -> None:
        """Send a request for the calls of a turn; each has its outcome when its text ends."""
        assert self._receiver is not None, "enter the model with `async with` first"
        endpoint, calls = turn.server, turn.calls
        endpoint.outstanding += len(calls) - 1
        shared = SharedAnswer(
            turn,
            lambda call, written: self._finish(call, written, endpoint),
            lambda call, completion: self._note_answer(turn, call, completion),
        )
        task = asyncio.current_task()
        assert task is not None
        for outcome in turn.outcomes.values():
            outcome.add_done_callback(lambda one: task.cancel() if one.cancelled() and not shared.needed else None)
        fields = self._meeting.fields | fields_of(calls) | self._receiver.fields()
        if self._meeting.identity.get("engine") == "vllm" and "stream_options" in fields:
            fields["stream_options"] = fields["stream_options"] | {"continuous_usage_stats": True}
        body = endpoint.dialect.adapt(fields)
        under_way = dict(shared.texts)
        for text, call in under_way.items():
            call.body, call.chunks = body, text
            self._sent[call] = None
        try:
            await self._receiver.ask_together(
                shared, endpoint, body, lambda text: self._note_end(under_way.pop(text), endpoint)
            )
        except PassingFault as fault:
            turn.fail(fault)
        except (RequestFault, PromptTooLong, ContextExceeded) as fault:
            if isinstance(fault, RequestFault) and not fault.broken_off and shared.given < 2:
                endpoint.say_learnt(endpoint.dialect.learn_together(False, sure=shared.given > 0))
            turn.send_away(calls, alone=True)
        except Exception as error:  # the call that waits has to see it
            turn.fail(error)
        finally:
            if shared.given > 1:
                endpoint.dialect.learn_together(True)
            turn.send_away(calls)
            for call in under_way.values():
                self._note_end(call, endpoint)
            self.abandoned_tokens += shared.abandoned

    def _note_end(self, request: Request, endpoint: Endpoint) -> None:
        """A server works on a request no longer."""
        del self._sent[request]
        self._endpoints.release(endpoint)
        if not self._endpoints.outstanding:
            self._patience.note_rest()

    def _finish(self, request: Request, written: Written, endpoint: Endpoint) -> Completion:
        written = endpoint.dialect.complete_counts(written)
        text, said = endpoint.dialect.cut_echo(written.text, request.prompt)
        endpoint.say_learnt(said)
        # Of an echo, the first token is the prompt's.
        likely = written.first_token if text == written.text else {}
        written = replace(written, text=text, first_token=likely)
        return to_completion(written, self._form.stops(request.sampling.stop), request.max_tokens)

    def _note_answer(self, turn: Turn, request: Request, completion: Completion) -> None:
        """A server has answered a request."""
        self._patience.note_answer(request)
        turn.server.note_answer(streamed=request.streamed)
        self._endpoints.wake()
        first = request is turn.calls[0]
        estimate, prompt = (turn.estimate, request.prompt) if first else (0.0, "")
        self._pacer.correct(estimate, prompt, completion.text, completion.prompt_tokens, completion.completion_tokens)
