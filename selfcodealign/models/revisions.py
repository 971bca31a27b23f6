"""Which weights a name stands for: a digest of a folder's files, or the hub's commit. Light: reads files, no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

#: The checkpoint that ships in the package.
EMBEDDED = "embedded"

#: Weights up to this size are hashed whole; of larger files both ends are, which takes no longer for 100 GB.
_HASHED_WHOLE = 256 * 2**20
_HASHED_END = 2**20

_NAMED = ("config", "generation_config", "tokenizer", "vocab", "merges", "special_tokens", "added_tokens")


def locate_folder(name: str) -> Path | None:
    """The folder that `name` means, "embedded" being the package's own; None when there is none."""
    folder = Path(str(resources.files("selfcodealign") / "embedded")) if name == EMBEDDED else Path(name).expanduser()
    return folder if folder.exists() else None


def digest_folder(folder: Path) -> str:
    """A digest of the files that decide what a checkpoint writes (weights, configuration, tokenizer)."""
    total = hashlib.sha256()
    for path in sorted(_deciding_files(folder)):
        size = path.stat().st_size
        total.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            if size <= _HASHED_WHOLE:
                total.update(hashlib.file_digest(file, "sha256").digest())
            else:
                total.update(file.read(_HASHED_END))
                file.seek(-_HASHED_END, 2)
                total.update(file.read())
    return f"sha256:{total.hexdigest()[:16]}"


def find_commit(name: str, revision: str | None) -> str | None:
    """The hub commit of `name` that lies in the local cache, None when there is none."""
    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:  # a name no hub model can have
        return None
    return Path(found).parent.name if isinstance(found, str) else None


def _deciding_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file() and (path.name.startswith(_NAMED) or path.suffix in (".safetensors", ".bin", ".model")):
            yield path
