"""Load a local checkpoint: the embedded model, a folder, or a name on the Hugging Face hub.

This module imports torch and transformers; import it on demand.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from selfcodealign.errors import ModelError
from selfcodealign.models.gguf_header import check_gguf
from selfcodealign.models.hardware import choose_precision
from selfcodealign.models.revisions import Source, explain_loading, find_source
from selfcodealign.models.room import CONTEXT_FIELDS
from selfcodealign.models.slot_attention import ATTENTION

_ADVICE = 'serve the model with vLLM instead (model.serve = "vllm")'


@dataclass(frozen=True)
class Checkpoint:
    """A model loaded for `decoding.Decoder`, and the facts that a run records about it. `context` is in tokens."""

    model: Any
    tokenizer: Any
    eos_ids: frozenset[int]
    context: int
    name: str
    revision: str
    device: str
    dtype: str


def load_checkpoint(name: str, revision: str | None, device: str, dtype: str) -> Checkpoint:
    """Load a causal language model and its tokenizer.

    `device` is "auto", "cpu", "cuda" or "cuda:N"; `dtype` "auto" means the checkpoint's own on a GPU, on a CPU float32
    (a row then hardly depends on the other rows of the batch) or what `hardware` measures to be faster. The revision is
    the hub's commit, or a digest of a folder's files. Raises `ModelError` that names the fix.
    """
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    source = find_source(name, revision)
    if source.file is not None:
        check_gguf(source.file)
    where = _choose_device(device)
    with _Loading(name):
        # An adapter's base is the newest of its name: the revision is the adapter's.
        config = AutoConfig.from_pretrained(source.location, revision=revision, **source.arguments)
        _check_architecture(name, config)
        kind = _choose_dtype(dtype, where, config.get_text_config().hidden_size)
        model = AutoModelForCausalLM.from_pretrained(
            source.location,
            revision=revision,
            config=config,
            dtype=kind,
            attn_implementation=ATTENTION,
            **source.arguments,
        )
        if source.adapter is not None:
            model = _adapt(model, source.adapter)
        tokenizer = load_tokenizer(source, revision)
        model = model.to(where).eval()
    _check_model(name, model)
    return Checkpoint(
        model=model,
        tokenizer=tokenizer,
        eos_ids=_find_eos(source, revision, config, tokenizer),
        context=_find_context(config),
        name=name,
        revision=source.digest() or getattr(config, "_commit_hash", None) or revision or "unknown",
        device=str(where),
        dtype=str(model.dtype).removeprefix("torch."),
    )


def load_tokenizer(source: Source, revision: str | None) -> Any:
    """Load a model's tokenizer: the adapter's where it has one."""
    if source.adapter is not None and (source.adapter / "tokenizer_config.json").is_file():
        return AutoTokenizer.from_pretrained(str(source.adapter))
    return AutoTokenizer.from_pretrained(source.location, revision=revision, **source.arguments)


def _adapt(model: Any, adapter: Path) -> Any:
    """Merge an adapter into the weights, which then need no peft to run."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()


class _Loading:
    """Turns errors of transformers and the hub into a `ModelError` of one line that names the fix."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Each library raises its own error classes; the original error stays attached as the cause.
        if isinstance(error, Exception) and not isinstance(error, ModelError):
            raise ModelError(explain_loading(self._name, error)) from error


def _choose_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ModelError(f'there is no device "{device}"; model.device is auto, cpu, cuda or cuda:N') from None
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"model.device = {device}: torch sees {torch.cuda.device_count()} GPUs here; use auto or cpu")
    return where


def _choose_dtype(dtype: str, device: torch.device, hidden_size: int) -> Any:
    if dtype == "auto":
        return choose_precision(hidden_size) if device.type == "cpu" else "auto"
    return getattr(torch, dtype)


def _check_architecture(name: str, config: Any) -> None:
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if kinds:
        raise ModelError(
            f'"{name}" has layers of type {", ".join(sorted(kinds))}, which needs another engine; {_ADVICE}'
        )
    if getattr(text, "attn_logit_softcapping", None):
        raise ModelError(f'"{name}" caps its attention scores, which needs another engine; {_ADVICE}')


def _check_model(name: str, model: Any) -> None:
    """Refuse models without explicit positions or transformers' attention interface, and models with other state."""
    takes_positions = "position_ids" in inspect.signature(model.forward).parameters
    if not takes_positions or model._is_stateful or not model._supports_attention_backend:
        raise ModelError(
            f'"{name}" ({type(model).__name__}) keeps state besides keys and values: it needs another engine; {_ADVICE}'
        )


def _find_eos(source: Source, revision: str | None, config: Any, tokenizer: Any) -> frozenset[int]:
    """Collect the end-of-text tokens of tokenizer, configuration and generation settings."""
    try:
        where = source.location
        generation: Any = GenerationConfig.from_pretrained(where, revision=revision or "main").eos_token_id
    except OSError:  # not every checkpoint has generation settings
        generation = None
    found: set[int] = set()
    for ids in (tokenizer.eos_token_id, config.get_text_config().eos_token_id, generation):
        found.update([ids] if isinstance(ids, int) else ids or [])
    return frozenset(found)


def _find_context(config: Any) -> int:
    """Return the most tokens of prompt and completion together; without a stated limit, memory is the limit."""
    text = config.get_text_config()
    for field in CONTEXT_FIELDS:
        if isinstance(getattr(text, field, None), int):
            return getattr(text, field)
    return 2**31
