"""OpenAI-compatible servers as a model, asked for completions or in chat; several servers share the load.

A request goes to the server that has read the beginning of its prompt while loads are balanced, else to the one with
the fewest requests in flight. What becomes of a response that is no completion:

    transient (5xx, timeouts, dropped connections)   retried for `retry_seconds`, on another server at once; then the
                                                     row is dropped if others were answered, else the run ends
    429                                              the client slows down, the request waits for its Retry-After
    anything else, before any server has answered    the run ends with one line: it is the wrong server
    anything else, later                             a few tries, more while other requests fail, too (see `moods`);
                                                     then the row is dropped; the run ends when many are

The key comes from the environment and is written nowhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from selfcodealign.addresses import mask, secrets_of
from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, PromptTooLong, RequestFailed, Sampling, UnderWay, endpoints
from selfcodealign.models.addressing import normalize_url
from selfcodealign.models.balancing import Endpoints
from selfcodealign.models.completions_api import Written, to_completion
from selfcodealign.models.dialect import ADDED
from selfcodealign.models.endpoints import Endpoint, ServerState, grow_pause
from selfcodealign.models.failures import Failures
from selfcodealign.models.faults import ConnectionFault, ContextExceeded, PassingFault, Refused, RequestFault
from selfcodealign.models.form_choice import choose_form, other_api
from selfcodealign.models.forms import COMPLETIONS, CONTINUE
from selfcodealign.models.health import Health
from selfcodealign.models.http_client import HttpClient
from selfcodealign.models.listing import (
    EXTRA_FIELDS,
    NO_LIST,
    answers_at,
    ask_version,
    context_of,
    holds_model,
    list_models,
    name_models,
)
from selfcodealign.models.moods import TRIES, Moods
from selfcodealign.models.pacing import Pacer
from selfcodealign.models.receiving import Receiver
from selfcodealign.models.request import Beginning, Request, sum_up
from selfcodealign.models.shared_answer import SharedAnswer
from selfcodealign.models.together import Turn, Turns, fields_of, settle

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings

_log = logging.getLogger(__name__)

#: Different requests, none answered in between, after whose refusal a key is revoked or a model gone.
_LOCKED_OUT = 3
#: A server that has answered may limit the rate for this long without answering anything, if `retry_seconds` is less.
_LIMITED_SECONDS = 60.0


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
        self._secrets = {self._key}.union(*map(secrets_of, settings.urls)) - {""}
        self._extra_identity = extra_identity or {}
        self._check = check or (lambda: None)
        self._client: HttpClient | None = None
        self._receiver: Receiver | None = None
        self._sent: dict[Request, None] = {}
        self._turns = Turns(settings.group)
        self._reading: set[asyncio.Task[None]] = set()
        self._identity: dict[str, str] = {}
        self._fields: dict[str, Any] = {}
        self._answered_at = 0.0
        self._most_tokens = sys.maxsize
        self._beginning = Beginning()
        self._locked_out: set[Request] = set()
        self._failures = Failures(settings.failed_share)
        self._health = Health(self._list_now, self._get, self._endpoints.wake)
        self._moods = Moods(settings.concurrency)
        self._pacer = Pacer(settings.requests_per_minute, settings.tokens_per_minute)

    async def __aenter__(self) -> Self:
        self._client = HttpClient(self._key)
        self._receiver = Receiver(self._client, self._settings.request_seconds, self._endpoints.wake, self._form)
        try:
            await self._meet_servers()
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
        return self._identity | seeds | ({"asked": ", ".join(adapted)} if adapted else {})

    def under_way(self) -> UnderWay:
        return sum_up(self._sent)

    def state(self) -> list[ServerState]:
        """What is known of each server now; cheap."""
        return [endpoint.describe() for endpoint in self._endpoints]

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Continue `prompt` on one of the servers. Raises `ModelError`, `PromptTooLong`, `RequestFailed`."""
        seeded = self._settings.seeds
        request = Request(prompt, sampling, seed, min(sampling.max_tokens, self._most_tokens), seeded=seeded)
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
                await self._pass_over(request, turn.server, error, turn.sent_at, lost=lost)
            except RequestFault as error:
                await self._try_again(request, turn.server, error)
            except ModelError as error:
                raise ModelError(f"{turn.server.shown}: {self._hide_secrets(str(error))}") from None
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
                    request.prompt, request.avoid, lambda until: self._bear(request, until)
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
        if request.seeded and (self._identity.get("engine") != "vllm" or request.sampling.temperature == 0):
            return False
        return not all(endpoint.dialect.one_by_one for endpoint in self._endpoints)

    async def _send(self, request: Request, turn: Turn) -> Completion:
        """Send a request to the endpoint whose turn it has taken, and read the response."""
        assert self._receiver is not None, "enter the model with `async with` first"
        endpoint = turn.server
        fields = self._fields | request.fields() | self._receiver.fields()
        dialect = endpoint.dialect
        body = request.body = dialect.adapt(self._form.write(fields, dialect.omitted))
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
        fields = self._fields | fields_of(calls) | self._receiver.fields()
        if self._identity.get("engine") == "vllm" and "stream_options" in fields:
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
                self._say_once(endpoint, endpoint.dialect.learn_together(False, sure=shared.given > 0))
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
            self._beginning.note_rest()

    def _finish(self, request: Request, written: Written, endpoint: Endpoint) -> Completion:
        written = endpoint.dialect.complete_counts(written)
        text, said = endpoint.dialect.cut_echo(written.text, request.prompt)
        self._say_once(endpoint, said)
        # Of an echo, the first token is the prompt's.
        likely = written.first_token if text == written.text else {}
        written = replace(written, text=text, first_token=likely)
        return to_completion(written, self._form.stops(request.sampling.stop), request.max_tokens)

    def _note_answer(self, turn: Turn, request: Request, completion: Completion) -> None:
        """A server has answered a request."""
        self._answered_at = time.monotonic()
        if not request.tries:
            self._moods.note(bad=False)
        self._beginning.note_answer()
        self._locked_out.clear()
        turn.server.note_answer(streamed=request.streamed)
        self._endpoints.wake()
        first = request is turn.calls[0]
        estimate, prompt = (turn.estimate, request.prompt) if first else (0.0, "")
        self._pacer.correct(estimate, prompt, completion.text, completion.prompt_tokens, completion.completion_tokens)

    def _say_once(self, endpoint: Endpoint, said: str) -> None:
        if said:
            _log.warning("%s: %s", endpoint.shown, said)

    # ----------------------------------------------------------------------------------------- transient faults

    async def _pass_over(
        self, request: Request, endpoint: Endpoint, fault: PassingFault, sent_at: float, *, lost: bool = False
    ) -> None:
        """After a transient fault: wait as long as it takes before asking again, or give up. `lost` tells that the
        connection broke."""
        self._check()
        # llama-cpp-python fails with 500 where its model was loaded without them.
        if ADDED in request.body and self._learn(endpoint, str(fault), {ADDED: request.body[ADDED]}):
            return
        now = time.monotonic()
        request.avoid = endpoint
        text, pause = self._hide_secrets(str(fault)), fault.pause
        if not fault.limited:
            request.first_fault = request.first_fault or now
            endpoint.note_fault(text, pause, lost=lost)
            self._health.probe(endpoint)
            others = any(not (one.faults or one.away or one.refused) for one in self._endpoints if one is not endpoint)
            self._say(endpoint, "using the other servers" if others else "trying again")
            if now >= request.first_fault + self._settings.retry_seconds:
                if self._answered_at > request.first_fault:  # the server lives: this request is what it cannot do
                    raise RequestFailed(text, "no_answer")
                raise self._give_up(self._settings.retry_seconds)
            return
        # A server that limits the rate is alive: its faults before that are over.
        request.first_fault, request.first_limit = None, request.first_limit or now
        request.limits += 1
        waited_for = self._beginning.answered or self._endpoints.outstanding > 0
        if pause is not None and waited_for:
            pause = min(pause, endpoints.LONGEST_RETRY_AFTER)
        endpoint.note_limit(text, pause, sent_at)
        self._say(endpoint, f"at most {int(endpoint.limit)} requests at once for now")
        pause = grow_pause(request.limits) if pause is None else pause
        self._bear(request, now if waited_for else now + pause, limited=True)
        if self._endpoints.choose(endpoint) in (None, endpoint):
            await asyncio.sleep(pause * random.uniform(1.0, 1.25))

    def _bear(self, request: Request, until: float, *, limited: bool = False) -> None:
        """Raise `ModelError` if a request that has to wait `until` then has waited too long.

        A server that limits the rate is waited for as long as it answers other requests, however long this one waits.
        """
        self._check()
        begun, patience = request.first_fault, self._settings.retry_seconds
        if all(endpoint.refused for endpoint in self._endpoints):
            raise ModelError(self._name_refused())
        gone = self._endpoints.gone_since
        if gone is not None and until >= gone + patience:
            raise self._give_up(patience)
        if begun is not None and self._answered_at > begun:
            return  # the server lives: its next answer to this request decides
        if limited or any(endpoint.limits for endpoint in self._endpoints):
            if self._endpoints.outstanding:
                return
            begun = request.first_limit or time.monotonic()
            if self._beginning.answered:
                begun = max(begun, self._answered_at)
                patience = max(patience, _LIMITED_SECONDS, 3 * max(endpoint.pause for endpoint in self._endpoints))
        if begun is not None and until >= begun + patience:  # faults of other requests are not this one's
            raise self._give_up(patience)

    def _name_refused(self) -> str:
        found = "; ".join(f"{endpoint.shown} {endpoint.refused}" for endpoint in self._endpoints)
        return f"no server holds the model any more ({found}); finished rows are kept: start it again with that model"

    def _say(self, endpoint: Endpoint, consequence: str) -> None:
        if endpoint.worth_saying():
            _log.warning("%s fails (%s); %s", endpoint.shown, endpoint.fault, consequence)

    def _give_up(self, patience: float) -> ModelError:
        faults = "; ".join(f"{endpoint.shown}: {endpoint.fault or 'no answer'}" for endpoint in self._endpoints)
        fix = "start the server again and repeat the command"
        if any(endpoint.limits for endpoint in self._endpoints):
            fix = "the server limits the rate; lower model.concurrency or set model.requests_per_minute, and repeat"
        return ModelError(f"no answer for {patience:g} s ({faults}); finished rows are kept: {fix}")

    # --------------------------------------------------------------------------- responses that are no completions

    async def _try_again(self, request: Request, endpoint: Endpoint, fault: RequestFault) -> None:
        """After a response that is no completion: prepare another try, or raise what comes of it."""
        status = fault.status if isinstance(fault, Refused) else 0
        refused = isinstance(fault, Refused) and status in (400, 422, 501)
        if refused and self._learn(endpoint, fault.told, request.body):
            return
        message = self._hide_secrets(str(fault))
        endpoint.note_bad(message)
        request.tries, request.avoid = request.tries + 1, endpoint
        now = time.monotonic()
        request.first_bad = request.first_bad or now
        lasting = status in (401, 403, 404)
        if lasting:
            self._locked_out.add(request)
        elif request.tries == 1:
            self._moods.note(bad=True)
        if not self._beginning.answered and not fault.broken_off and self._endpoints.outstanding:
            await self._beginning.wait()
        # What says no is believed at once; half an answer or a proxy's page may be an accident.
        if not self._beginning.answered and (isinstance(fault, Refused) or request.tries >= TRIES):
            raise await self._explain(endpoint, fault)
        if request.tries >= TRIES:
            if lasting and len(self._locked_out) >= _LOCKED_OUT:
                raise await self._explain(endpoint, fault)
            too_late = now >= request.first_bad + self._settings.retry_seconds
            if too_late and self._answered_at < request.first_bad and self._moods.share >= 0.5:
                raise self._give_up(self._settings.retry_seconds)  # nobody is answered, and most have failed
            if lasting or too_late or request.tries >= self._moods.tries(refused=isinstance(fault, Refused)):
                raise RequestFailed(message, fault.reason)
        if len(self._endpoints) == 1 or request.tries > 1:
            await asyncio.sleep(grow_pause(request.tries) * random.uniform(0.25, 0.75))

    def _learn(self, endpoint: Endpoint, told: str, sent: dict[str, Any]) -> bool:
        """Whether a refusal tells what to leave out of the request `sent`; said the first time."""
        learnt, said = endpoint.dialect.learn(told, sent)
        self._say_once(endpoint, said)
        return learnt

    async def _explain(self, endpoint: Endpoint, error: ModelError) -> ModelError:
        """Name the server in an error, and the fix if the refusal is about the key or the model."""
        message = self._hide_secrets(str(error))
        status = error.status if isinstance(error, Refused) else 0
        if status in (401, 403):
            return ModelError(f"{endpoint.shown}: {message}; {self._key_advice(endpoint)}")
        if status in NO_LIST:
            held = await self._list_again(endpoint)
            name = self._identity.get("name", "")
            if held and not holds_model(held, name):
                return ModelError(f"{endpoint.shown} {name_models(name, list(held))}")
            return ModelError(f"{endpoint.shown}: {message}; {await self._form_advice(endpoint)}")
        advice = '; completions need none: set model.api = "completions"' * self._form.lacks_template(message)
        return ModelError(f"{endpoint.shown}: {message}{advice}")

    async def _form_advice(self, endpoint: Endpoint) -> str:
        """What to set where the server does not have what `model.api` asks for."""
        assert self._client is not None
        other = other_api(self._settings.api)
        path = choose_form(other).path
        if await answers_at(self._client, endpoint.url, path):
            return f'it has no /v1/{self._form.path}, but /v1/{path}: set model.api = "{other}"'
        return f"it may have neither /v1/{self._form.path} nor /v1/{path}; check its address"

    def _key_advice(self, endpoint: Endpoint) -> str:
        if "@" in endpoint.url:  # sent instead of the key
            return (
                f"the user and password in its address are refused; without them, {self._settings.api_key_env} is sent"
            )
        state = "the key in it is refused" if self._key else "it is not set"
        return f"the key is read from the environment variable {self._settings.api_key_env}, and {state}"

    def _hide_secrets(self, text: str) -> str:
        return mask(text, self._secrets)

    # ----------------------------------------------------------------------------------------------- the beginning

    async def _meet_servers(self) -> None:
        """Ask all servers for their models; set name, engine and request fields."""
        met: list[tuple[Endpoint, dict[str, dict[str, Any]]]] = []
        for endpoint in self._endpoints:
            try:
                met.append((endpoint, await self._list_now(endpoint)))
            except PassingFault as error:
                endpoint.note_absence(str(error))
                self._check()
            except ModelError as error:
                raise ModelError(f"{endpoint.shown}: {error}") from None
        if not met:
            faults = "; ".join(f"{endpoint.shown}: {endpoint.fault}" for endpoint in self._endpoints)
            raise ModelError(f"no server can be reached ({faults}); start it, or correct model.urls")
        for endpoint in self._endpoints:
            if endpoint.fault:
                self._say(endpoint, "using the other servers")
        name = self._settings.name
        for endpoint, held in met:
            if not name and len(held) == 1:
                name = next(iter(held))
            if not name or (held and not holds_model(held, name)):
                raise ModelError(f"{endpoint.shown} {name_models(name, list(held))}")
        lengths = [length for _, held in met if (length := context_of(held.get(name, {})))]
        self._most_tokens = max(1, min(lengths, default=sys.maxsize) - 1)
        await self._settle(name, met[0][0], met[0][1].get(name, {}))
        self._health.know(name, met)
        for endpoint in self._endpoints:
            self._health.probe(endpoint)

    async def _settle(self, name: str, endpoint: Endpoint, card: dict[str, Any]) -> None:
        assert self._client is not None
        engine = str(card.get("owned_by") or "unknown")
        extra = EXTRA_FIELDS.get(engine)
        context = context_of(card)
        self._fields = {"model": name, **(extra or {}), **self._form.fields(engine)}
        self._identity = {
            "name": name,
            "revision": self._settings.revision or "unknown",
            "engine": engine,
            "engine_version": await ask_version(self._client, endpoint.url),
            "sampler": "temperature and top_p alone" if extra else "temperature and top_p, else the server's defaults",
            **({"root": str(card["root"])} if card.get("root") not in (None, name) else {}),
            **({"context": str(context)} if context else {}),
            **self._extra_identity,
        }

    async def _list_again(self, endpoint: Endpoint) -> dict[str, dict[str, Any]]:
        """The models that a server lists now; {} where it does not tell."""
        try:
            return await self._list_now(endpoint)
        except (PassingFault, ModelError):
            return {}

    async def _list_now(self, endpoint: Endpoint) -> dict[str, dict[str, Any]]:
        """The models that a server lists now. Raises `PassingFault` and `ModelError`, without secrets."""
        assert self._client is not None
        seconds = self._settings.request_seconds
        try:
            return await list_models(self._client, endpoint.url, seconds, self._key_advice(endpoint))
        except PassingFault as error:
            raise PassingFault(self._hide_secrets(str(error))) from None
        except ModelError as error:
            raise ModelError(self._hide_secrets(str(error))) from None

    async def _get(self, address: str, seconds: float) -> tuple[int, str]:
        """Status and text at an address. Raises `PassingFault`."""
        assert self._client is not None
        answer = await self._client.get(address, seconds)
        return answer.status, answer.text
