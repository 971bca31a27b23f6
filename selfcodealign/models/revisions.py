"""Identify the weights behind a model's name: a digest of a folder's files, or the hub's commit. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from selfcodealign.errors import ModelError, did_you_mean, is_unreachable, kinds_of

#: Name of the checkpoint in the package.
EMBEDDED = "embedded"

#: Files up to this size are hashed whole; of larger files only both ends, so that 100 GB take no longer.
_HASHED_WHOLE = 256 * 2**20
_HASHED_END = 2**20

#: How long the hub may take to answer.
HUB_SECONDS = 20.0

_NAMED = ("config", "generation_config", "tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "adapter")


@dataclass(frozen=True)
class Source:
    """Where a model is: `location` is a folder or a hub name, for transformers.

    `gguf` is the file's name if the weights are a GGUF file in that folder, `adapter` the folder of an adapter that
    belongs on top of the weights.
    """

    location: str
    folder: Path | None = None
    gguf: str | None = None
    adapter: Path | None = None

    @property
    def file(self) -> Path | None:
        """The GGUF file; None for weights in a folder or on the hub."""
        return self.folder / self.gguf if self.folder is not None and self.gguf else None

    @property
    def untunable(self) -> str:
        """What these weights are, if no training can change them; "" for a checkpoint."""
        return "a GGUF file" if self.gguf else "an adapter" if self.adapter else ""

    @property
    def arguments(self) -> dict[str, str]:
        """Further arguments of `from_pretrained`."""
        return {"gguf_file": self.gguf} if self.gguf else {}

    def digest(self) -> str:
        """Digest the files that decide a local model's output; "" for a hub name."""
        parts = [] if self.folder is None else [digest_folder(self.file or self.folder)]
        if self.adapter is not None:
            parts.append(digest_folder(self.adapter))
        return "+".join(parts)


def locate_folder(name: str) -> Path | None:
    """Return the folder that `name` names ("embedded": the folder in the package); None if there is none."""
    folder = Path(str(resources.files("selfcodealign") / "embedded")) if name == EMBEDDED else Path(name).expanduser()
    return folder if folder.exists() else None


def digest_folder(folder: Path) -> str:
    """Digest the files that decide a checkpoint's output (weights, configuration, tokenizer), or a single file."""
    total = hashlib.sha256()
    for path in sorted(_deciding_files(folder)) if folder.is_dir() else [folder]:
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
    """Return the hub commit of `name` in the local cache; None if there is none."""
    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:  # not a valid hub name
        return None
    return Path(found).parent.name if isinstance(found, str) else None


def is_elsewhere(source: Source, revision: str | None) -> bool:
    """Return whether a model is neither here nor in the hub's cache, so that the hub has to be asked for it."""
    return (
        source.folder is None
        and find_commit(source.location, revision) is None
        and find_spec("huggingface_hub") is not None
    )


def ask_hub(name: str, revision: str | None) -> None:
    """Ask the hub once whether it has the model. Raises `ModelError`, with the fix.

    The downloads of transformers try again for half a minute and print a line each time; a hub that cannot be reached
    is known after one request.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    log = logging.getLogger("huggingface_hub.utils._http")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        get_hf_file_metadata(hf_hub_url(name, "config.json", revision=revision), timeout=HUB_SECONDS)
    except Exception as error:  # each library raises its own error classes
        raise ModelError(explain_loading(name, error)) from error
    finally:
        log.setLevel(before)


def _deciding_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file() and (path.name.startswith(_NAMED) or path.suffix in (".safetensors", ".bin", ".model")):
            yield path


def find_source(name: str, revision: str | None) -> Source:
    """Return where a model is: a checkpoint's folder, a GGUF file, a folder with an adapter, or a hub name.

    Raises `ModelError` if it cannot be a model.
    """
    if not name:
        raise ModelError('no model named: set model.name to "embedded", a folder or a hub name')
    folder = locate_folder(name)
    if folder is None:
        if name == EMBEDDED:
            raise ModelError("this installation lacks the embedded model; install the package again")
        if _looks_like_path(name):
            raise ModelError(f"there is no folder {name}{_suggest_folder(Path(name).expanduser())}")
        return Source(name)
    if revision is not None:
        raise ModelError(f"model.revision = {revision!r} is for hub names; {name} is a path: leave the revision out")
    if folder.suffix == ".gguf" and folder.is_file():
        return Source(str(folder.parent), folder.parent, gguf=folder.name)
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        return _find_adapted(name, folder)
    if not (folder / "config.json").is_file():
        what = "no folder" if not folder.is_dir() else "no checkpoint: it has no config.json"
        fix = f"give the folder that save_pretrained wrote, or a .gguf file{_suggest_inside(folder)}"
        raise ModelError(f"{name} is {what}; {fix}")
    return Source(str(folder), folder)


def _find_adapted(name: str, folder: Path) -> Source:
    """Return the weights that an adapter belongs to, with the adapter."""
    try:
        base = json.loads((folder / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError) as error:
        raise ModelError(f"{name} holds an adapter whose adapter_config.json is damaged: {error}") from None
    if not base:
        raise ModelError(f'{name} holds an adapter for no model: name it as "base_model_name_or_path" in its config')
    if (beside := folder / base).is_dir() and not Path(base).is_absolute():
        base = str(beside)
    try:
        found = find_source(base, None)
    except ModelError as error:
        raise ModelError(f"{name} holds an adapter for {base}: {error}") from None
    return Source(found.location, found.folder, found.gguf, adapter=folder)


def _looks_like_path(name: str) -> bool:
    return name.startswith(("/", "./", "../", "~")) or name.count("/") > 1 or name.endswith("/")


def _suggest_folder(folder: Path) -> str:
    parent = folder.parent
    while not parent.is_dir():
        parent = parent.parent
    missing = folder.relative_to(parent).parts[0]
    return did_you_mean(missing, [path.name for path in parent.iterdir() if path.is_dir()])


def _suggest_inside(folder: Path) -> str:
    inside = sorted(path.parent.name for path in folder.glob("*/config.json")) if folder.is_dir() else []
    return f"; did you mean {folder / inside[-1]}?" if inside else ""


def explain_loading(name: str, error: BaseException) -> str:
    """Say in one line what is wrong with the checkpoint and what to do."""
    kinds = kinds_of(error)
    if "GatedRepoError" in kinds:
        return f'the hub guards "{name}": accept its terms on its page and set HF_TOKEN'
    if "RevisionNotFoundError" in kinds:
        return f'"{name}" has no such revision on the hub; correct model.revision'
    if "RepositoryNotFoundError" in kinds:
        known = [EMBEDDED, *(path.parent.name for path in Path().glob("*/config.json"))]
        return f'there is no model "{name}": no such folder, nor on the hub{did_you_mean(name, known)}'
    if is_unreachable(error):
        return f'"{name}" is no folder here and the hub cannot be reached; give a folder, or connect'
    if "OutOfMemoryError" in kinds or "out of memory" in str(error):
        return f'"{name}" does not fit into memory; use a smaller model, another device or dtype, or a server'
    return f'cannot load "{name}": {" ".join(str(error).split())[:240]}'
