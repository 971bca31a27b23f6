"""The files of a checkpoint's weights, looked for without loading them. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from selfcodealign.errors import ModelError
from selfcodealign.models.revisions import Source


def check_weights(source: Source) -> None:
    """Check that a model's folders hold weights, and all shards that an index lists.

    Raises `ModelError`; a hub name and a GGUF file pass.
    """
    if source.folder is not None and source.gguf is None:
        _check_folder(source.folder, ("*.safetensors", "pytorch_model*.bin"))
    if source.adapter is not None:
        _check_folder(source.adapter, ("adapter_model*.safetensors", "adapter_model*.bin"))


def _check_folder(folder: Path, patterns: Sequence[str]) -> None:
    shards = set().union(*(_list_shards(index) for index in folder.glob("*.index.json")))
    missing = sorted(name for name in shards if not (folder / name).exists())
    if missing:
        lacks = f"{len(missing)} of the {len(shards)} files of its weights, such as {missing[0]}"
    elif not any(path for pattern in patterns for path in folder.glob(pattern)):
        lacks = f"weights ({' or '.join(patterns)})"
    else:
        return
    raise ModelError(f"{folder} lacks {lacks}: copy them there, or name the folder that save_pretrained wrote")


def _list_shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{index} is no index of weight files: copy it from the model again") from None
