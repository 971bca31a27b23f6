"""Which model the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfcodealign.models import Model

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings


def open_model(settings: ModelSettings) -> Model:
    """Return the model, not yet entered: servers by `urls`, one that `serve` starts, else a local checkpoint.

    >>> from selfcodealign.settings import ModelSettings
    >>> type(open_model(ModelSettings(name="", urls=["localhost:8000"]))).__name__
    'ServerModel'

    Raises `ModelError` for settings that name no usable model, and `MissingExtra` when a local one needs
    transformers and it is not installed. Weights are loaded, and servers asked, when the model is entered.
    """
    if settings.urls:
        from selfcodealign.models.server import ServerModel

        return ServerModel(settings)
    if settings.serve == "vllm":
        from selfcodealign.models.vllm import ServedModel

        return ServedModel(settings)
    from selfcodealign.models.local import LocalModel

    return LocalModel(settings)
