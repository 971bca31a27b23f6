"""What servers say of themselves: the models that they hold, at the start and later, and why they refuse a request."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from selfcodealign.addresses import mask, secrets_of
from selfcodealign.errors import ModelError
from selfcodealign.models.balancing import Endpoints
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.faults import PassingFault, Refused
from selfcodealign.models.form_choice import choose_form, other_api
from selfcodealign.models.forms import Form
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

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings

#: What a server lists: the cards of its models by name.
Held = dict[str, dict[str, Any]]


class Meeting:
    """Asks the servers of a model what they hold. What it raises has neither the key nor a password of an address.

    After `meet`: `fields` go with every request, `identity` is that of the model, and no request may have more than
    `most_tokens`.
    """

    def __init__(self, settings: ModelSettings, form: Form, key: str, extra_identity: dict[str, str]) -> None:
        self._settings = settings
        self._form = form
        self._key = key
        self._secrets = {key}.union(*map(secrets_of, settings.urls)) - {""}
        self._extra_identity = extra_identity
        self._client: HttpClient | None = None
        self.fields: dict[str, Any] = {}
        self.identity: dict[str, str] = {}
        self.most_tokens = sys.maxsize

    async def meet(
        self, client: HttpClient, endpoints: Endpoints, check: Callable[[], None]
    ) -> list[tuple[Endpoint, Held]]:
        """Ask all servers for their models through `client`, and return what those list that answer.

        `check` is called when one does not. Later questions go through `client`, too.
        """
        self._client = client
        met = await self._ask_all(endpoints, check)
        name = self._find_name(met)
        lengths = [length for _, held in met if (length := context_of(held.get(name, {})))]
        self.most_tokens = max(1, min(lengths, default=sys.maxsize) - 1)
        await self._settle(name, met[0][0], met[0][1].get(name, {}))
        return met

    async def _ask_all(self, endpoints: Endpoints, check: Callable[[], None]) -> list[tuple[Endpoint, Held]]:
        met: list[tuple[Endpoint, Held]] = []
        for endpoint in endpoints:
            try:
                met.append((endpoint, await self.list_now(endpoint)))
            except PassingFault as error:
                endpoint.note_absence(str(error))
                check()
            except ModelError as error:
                raise ModelError(f"{endpoint.shown}: {error}") from None
        if not met:
            faults = "; ".join(f"{endpoint.shown}: {endpoint.fault}" for endpoint in endpoints)
            raise ModelError(f"no server can be reached ({faults}); start it, or correct model.urls")
        for endpoint in endpoints:
            if endpoint.fault:
                endpoint.say("using the other servers")
        return met

    def _find_name(self, met: list[tuple[Endpoint, Held]]) -> str:
        """The model's name, which every server has to list that lists any."""
        name = self._settings.name
        for endpoint, held in met:
            if not name and len(held) == 1:
                name = next(iter(held))
            if not name or (held and not holds_model(held, name)):
                raise ModelError(f"{endpoint.shown} {name_models(name, list(held))}")
        return name

    async def _settle(self, name: str, endpoint: Endpoint, card: dict[str, Any]) -> None:
        assert self._client is not None
        engine = str(card.get("owned_by") or "unknown")
        extra = EXTRA_FIELDS.get(engine)
        context = context_of(card)
        self.fields = {"model": name, **(extra or {}), **self._form.fields(engine)}
        self.identity = {
            "name": name,
            "revision": self._settings.revision or "unknown",
            "engine": engine,
            "engine_version": await ask_version(self._client, endpoint.url),
            "sampler": "temperature and top_p alone" if extra else "temperature and top_p, else the server's defaults",
            **({"root": str(card["root"])} if card.get("root") not in (None, name) else {}),
            **({"context": str(context)} if context else {}),
            **self._extra_identity,
        }

    async def list_now(self, endpoint: Endpoint) -> Held:
        """The models that a server lists now. Raises `PassingFault` and `ModelError`."""
        assert self._client is not None
        seconds = self._settings.request_seconds
        try:
            return await list_models(self._client, endpoint.url, seconds, self._key_advice(endpoint))
        except PassingFault as error:
            raise PassingFault(self.hide(str(error))) from None
        except ModelError as error:
            raise ModelError(self.hide(str(error))) from None

    async def get(self, address: str, seconds: float) -> tuple[int, str]:
        """Status and text at an address. Raises `PassingFault`."""
        assert self._client is not None
        answer = await self._client.get(address, seconds)
        return answer.status, answer.text

    def hide(self, text: str) -> str:
        """Leave the key and passwords out of a text."""
        return mask(text, self._secrets)

    # ------------------------------------------------------------------------------------------------- refusals

    async def explain(self, endpoint: Endpoint, error: ModelError) -> ModelError:
        """Name the server in an error, and the fix if the refusal is about the key or the model."""
        message = self.hide(str(error))
        status = error.status if isinstance(error, Refused) else 0
        if status in (401, 403):
            return ModelError(f"{endpoint.shown}: {message}; {self._key_advice(endpoint)}")
        if status in NO_LIST:
            held = await self._list_again(endpoint)
            name = self.identity.get("name", "")
            if held and not holds_model(held, name):
                return ModelError(f"{endpoint.shown} {name_models(name, list(held))}")
            return ModelError(f"{endpoint.shown}: {message}; {await self._form_advice(endpoint)}")
        advice = '; completions need none: set model.api = "completions"' * self._form.lacks_template(message)
        return ModelError(f"{endpoint.shown}: {message}{advice}")

    async def _list_again(self, endpoint: Endpoint) -> Held:
        """The models that a server lists now; {} where it does not tell."""
        try:
            return await self.list_now(endpoint)
        except (PassingFault, ModelError):
            return {}

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
