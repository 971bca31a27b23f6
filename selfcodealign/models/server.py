"""OpenAI-compatible `/v1/completions` servers as a model; several servers share the load.

A request goes to the server with the fewest requests in flight. Transient faults (429, 5xx, timeouts, dropped
connections) are retried for at most `retry_seconds`, on another server at once if there is one; `Retry-After` is
respected. Any other fault ends the run with one line. The key comes from the environment and is written nowhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from selfcodealign.errors import ModelError, did_you_mean
from selfcodealign.models import Completion, PromptTooLong, Sampling
from selfcodealign.models.completions_api import (
    ContextExceeded,
    PassingFault,
    Refused,
    is_passing,
    read_completion,
    read_json,
    read_message,
)
from selfcodealign.models.endpoints import Endpoint, choose_endpoint, normalize_url

if TYPE_CHECKING:
    import httpx

    from selfcodealign.settings import ModelSettings

_log = logging.getLogger(__name__)

#: Fields beyond OpenAI's that turn off the samplers which engines enable by default (vLLM reads top_k and penalties
#: from the model's generation_config.json; llama.cpp defaults to top_k 40, min_p 0.05).
_EXTRA_FIELDS: dict[str, dict[str, float]] = {
    "vllm": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    "llamacpp": {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0},
}
_CONNECT_SECONDS = 10.0


class ServerModel:
    """A model behind one or several servers.

    `settings.urls` name the servers, `settings.name` the model ("" means the only model they hold). Entering asks every
    server for its models; an unreachable server is tolerated if another one answers. `check` is called at every fault
    and may raise an error that makes waiting pointless.
    """

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
        self._settings = settings
        self._endpoints = [Endpoint(url) for url in dict.fromkeys(map(normalize_url, settings.urls))]
        self._key = os.environ.get(settings.api_key_env, "").strip()
        self._extra_identity = extra_identity or {}
        self._check = check or (lambda: None)
        self._client: httpx.AsyncClient | None = None
        self._identity: dict[str, str] = {}
        self._fields: dict[str, Any] = {}
        self._answered_at = 0.0
        self._most_tokens = sys.maxsize

    async def __aenter__(self) -> Self:
        import httpx

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=self.concurrency)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = httpx.Timeout(self._settings.request_seconds, connect=_CONNECT_SECONDS, pool=None)
        self._client = httpx.AsyncClient(limits=limits, headers=headers, timeout=timeout)
        try:
            await self._meet_servers()
        except BaseException:
            await self._client.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._client is not None:
            await self._client.aclose()

    def identity(self) -> dict[str, str]:
        """Return name, revision (from the settings, else "unknown"), engine, its version and sampler."""
        return dict(self._identity)

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Continue `prompt` on the least busy server. Raises `ModelError` and `PromptTooLong`."""
        max_tokens = min(sampling.max_tokens, self._most_tokens)
        while True:
            try:
                return await self._ask(
                    self._fields | _request_fields(prompt, sampling, max_tokens, seed), sampling.stop
                )
            except ContextExceeded as error:
                # Engines refuse instead of cutting; a smaller max_tokens gives a completion that ends with "length".
                if error.room >= max_tokens:
                    raise PromptTooLong(str(error)) from None
                max_tokens = error.room

    async def _ask(self, body: dict[str, Any], stop: tuple[str, ...]) -> Completion:
        """Retry until a server answers, for at most `retry_seconds` after the first fault."""
        import httpx

        assert self._client is not None, "enter the model with `async with` first"
        first_fault: float | None = None
        while True:
            endpoint = choose_endpoint(self._endpoints)
            if endpoint is None:
                await self._wait_for_server(first_fault)
                continue
            try:
                with endpoint.busy():
                    answer = await self._client.post(f"{endpoint.url}/completions", json=body)
                completion = read_completion(answer, stop)
            except (PassingFault, httpx.TransportError) as error:
                self._note_fault(endpoint, error)
                # A rate limit that lets other requests through is no reason to give up, however long this one waits.
                first_fault = first_fault or time.monotonic()
                if isinstance(error, PassingFault) and error.limited:
                    first_fault = max(first_fault, self._answered_at)
                if time.monotonic() >= first_fault + self._settings.retry_seconds:
                    raise self._give_up() from None
            except ModelError as error:
                raise await self._explain(endpoint, error) from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ModelError(f"{endpoint.shown}: {_describe(error)}") from None
            else:
                self._answered_at = time.monotonic()
                endpoint.note_answer()
                return completion

    async def _wait_for_server(self, first_fault: float | None) -> None:
        """Sleep until a server's back-off ends; `ModelError` if that is after `retry_seconds`."""
        now = time.monotonic()
        ready_at = min(endpoint.ready_at for endpoint in self._endpoints)
        if ready_at > (first_fault or now) + self._settings.retry_seconds:
            raise self._give_up()
        # Jitter: hundreds of waiting requests must not hit a recovering server at one instant.
        pause = max(0.0, ready_at - now)
        await asyncio.sleep(pause + random.uniform(0.0, 0.25 * pause))
        self._check()

    def _note_fault(self, endpoint: Endpoint, error: Exception) -> None:
        self._check()
        passing = error if isinstance(error, PassingFault) else None
        endpoint.note_fault(self._hide_key(_describe(error)), passing.pause if passing else None)
        if not (passing and passing.limited) and endpoint.worth_saying():
            others = "using the other servers" if len(self._endpoints) > 1 else "trying again"
            _log.warning("%s fails (%s); %s", endpoint.shown, endpoint.fault, others)

    def _give_up(self) -> ModelError:
        faults = "; ".join(f"{endpoint.shown}: {endpoint.fault or 'no answer'}" for endpoint in self._endpoints)
        return ModelError(
            f"no answer for {self._settings.retry_seconds:g} s ({faults}); finished rows are kept: start the server "
            "again and repeat the command"
        )

    async def _explain(self, endpoint: Endpoint, error: ModelError) -> ModelError:
        """Name the server in an error, and the fix if the refusal is about the key or the model."""
        message = self._hide_key(str(error))
        status = error.status if isinstance(error, Refused) else 0
        if status in (401, 403):
            return ModelError(f"{endpoint.shown}: {message}; {self._key_advice()}")
        if status == 404:
            held = await self._list_models(endpoint)
            name = self._identity.get("name", "")
            if held and name not in held:
                return ModelError(f"{endpoint.shown} {_name_models(name, list(held))}")
            return ModelError(f"{endpoint.shown}: {message}; it may be a chat-only server, without /v1/completions")
        return ModelError(f"{endpoint.shown}: {message}")

    def _key_advice(self) -> str:
        state = "the key in it is refused" if self._key else "it is not set"
        return f"the key is read from the environment variable {self._settings.api_key_env}, and {state}"

    def _hide_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

    async def _meet_servers(self) -> None:
        """Ask all servers for their models; set name, engine and request fields."""
        import httpx

        met: list[tuple[Endpoint, dict[str, dict[str, Any]]]] = []
        for endpoint in self._endpoints:
            try:
                met.append((endpoint, await self._list_models(endpoint, strict=True)))
            except (PassingFault, httpx.TransportError) as error:
                self._note_fault(endpoint, error)
        if not met:
            faults = "; ".join(f"{endpoint.shown}: {endpoint.fault}" for endpoint in self._endpoints)
            raise ModelError(f"no server can be reached ({faults}); start it, or correct model.urls")
        name = self._settings.name
        for endpoint, held in met:
            if not name and len(held) == 1:
                name = next(iter(held))
            if not name or (held and name not in held):
                raise ModelError(f"{endpoint.shown} {_name_models(name, list(held))}")
        lengths = [held[name]["max_model_len"] for _, held in met if held.get(name, {}).get("max_model_len")]
        self._most_tokens = max(1, min(lengths, default=sys.maxsize) - 1)
        await self._settle(name, met[0][0], met[0][1].get(name, {}))

    async def _settle(self, name: str, endpoint: Endpoint, card: dict[str, Any]) -> None:
        engine = str(card.get("owned_by") or "unknown")
        extra = _EXTRA_FIELDS.get(engine)
        self._fields = {"model": name, **(extra or {})}
        self._identity = {
            "name": name,
            "revision": self._settings.revision or "unknown",
            "engine": engine,
            "engine_version": await self._ask_version(endpoint),
            "sampler": "temperature and top_p alone" if extra else "temperature and top_p, else the server's defaults",
            **({"root": str(card["root"])} if card.get("root") not in (None, name) else {}),
            **({"context": str(card["max_model_len"])} if card.get("max_model_len") else {}),
            **self._extra_identity,
        }

    async def _list_models(self, endpoint: Endpoint, *, strict: bool = False) -> dict[str, dict[str, Any]]:
        """List a server's models by name; {} if it has no list. With `strict`, faults are raised."""
        import httpx

        assert self._client is not None
        try:
            answer = await self._client.get(f"{endpoint.url}/models")
            if is_passing(answer.status_code):
                raise PassingFault(f"{answer.status_code}: {read_message(answer)}")
            if answer.status_code in (401, 403):
                raise ModelError(f"it refuses to list its models ({answer.status_code}); {self._key_advice()}")
            if answer.status_code == 404 and "text/html" not in answer.headers.get("content-type", ""):
                return {}  # not every server has a list
            body = read_json(answer)
            return {str(card["id"]): card for card in body["data"]}
        except (KeyError, TypeError):
            problem = ModelError(f"{endpoint.shown}: what it lists at /models is no OpenAI model list")
        except ModelError as error:
            problem = ModelError(f"{endpoint.shown}: {self._hide_key(str(error))}")
        except (PassingFault, httpx.HTTPError):
            if strict:
                raise
            return {}
        if strict:
            raise problem from None
        return {}

    async def _ask_version(self, endpoint: Endpoint) -> str:
        """Read `/version` (vLLM, SGLang); "unknown" elsewhere. No behaviour depends on the version."""
        import httpx

        assert self._client is not None
        try:
            answer = await self._client.get(f"{endpoint.url.rpartition('/')[0]}/version", timeout=_CONNECT_SECONDS)
            return str(answer.json()["version"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return "unknown"


def _request_fields(prompt: str, sampling: Sampling, max_tokens: int, seed: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": seed,
    }
    return fields | ({"stop": list(sampling.stop)} if sampling.stop else {})


def _name_models(name: str, held: list[str]) -> str:
    """Say why `name` is not among a server's models, and what to write instead."""
    shown = ", ".join(held[:8]) + (" ..." if len(held) > 8 else "")
    if not held:
        return "does not tell which models it holds; set model.name"
    if not name:
        return f"holds {len(held)} models; set model.name to one of {shown}"
    return f'holds no model "{name}"; it holds {shown}{did_you_mean(name, held)}'


def _describe(error: Exception) -> str:
    """Describe a fault in a few words; httpx leaves the message of timeouts empty."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return "no answer in time" if not isinstance(error, httpx.ConnectTimeout) else "no connection in time"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({str(error) or 'refused'})"
    return " ".join(str(error).split()) or type(error).__name__
