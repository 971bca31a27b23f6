"""Choose the model implementation from the settings, and check its requirements."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from selfcodealign.errors import MissingExtra, ModelError
from selfcodealign.models import Model
from selfcodealign.progress import Progress

if TYPE_CHECKING:
    from selfcodealign.models.revisions import Source
    from selfcodealign.settings import ModelSettings


def open_model(settings: ModelSettings, section: str = "model") -> Model:
    """Return the model, not yet entered: servers at `urls`, a server that `serve` starts, or a local checkpoint.

    >>> from selfcodealign.settings import ModelSettings
    >>> type(open_model(ModelSettings(name="", urls=["localhost:8000"]))).__name__
    'ServerModel'

    `section` is what a recipe calls the settings. Raises `ModelError` for settings that name no usable model, and
    `MissingExtra` if a local model needs transformers and transformers is not installed. Entering the model loads the
    weights or asks the servers.
    """
    if settings.urls:
        from selfcodealign.models.server import ServerModel

        return ServerModel(settings)
    if settings.serve == "vllm":
        from selfcodealign.models.vllm import ServedModel

        return ServedModel(settings)
    if settings.api == "chat":
        raise ModelError(
            f'{section}.api = "chat" is for servers: set {section}.urls or {section}.serve, or leave {section}.api out'
        )
    from selfcodealign.models.local import LocalModel

    return LocalModel(settings)


def check_model(settings: ModelSettings, progress: Progress | None = None, section: str = "model") -> None:
    """Check that a model exists without loading it. Raises `ModelError` or `MissingExtra`, with the fix.

    Servers are not asked: entering a `ServerModel` does that. The hub is asked for a name that is no folder, unless the
    model is in the cache.
    """
    open_model(settings, section)
    if settings.urls:
        return
    from selfcodealign.models.revisions import ask_hub, find_source, is_elsewhere
    from selfcodealign.models.weight_files import check_weights

    source = find_source(settings.name, settings.revision)
    if settings.serve is None:
        _check_local(source)
        check_weights(source)
    if is_elsewhere(source, settings.revision):
        with (progress or Progress()).waiting(f"asking the hub for {source.location}"):
            ask_hub(source.location, settings.revision)


def _check_local(source: Source) -> None:
    if source.file is not None:
        from selfcodealign.models.gguf_header import check_gguf

        check_gguf(source.file)
        if find_spec("gguf") is None:
            raise MissingExtra(f"{source.gguf} (package gguf)", "gguf")
    if source.adapter and find_spec("peft") is None:
        raise MissingExtra(f"the adapter in {source.adapter} (package peft)", "train")
