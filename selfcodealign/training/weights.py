"""The base model: loaded for training, and saved again as a folder that anything can load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from selfcodealign.errors import ModelError, TrainingError
from selfcodealign.installation import install_packages
from selfcodealign.settings import DpoSettings, GrpoSettings, TrainSettings
from selfcodealign.training.attention import attend_rows_apart

Settings = TrainSettings | DpoSettings | GrpoSettings


def load_tokenizer(location: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(location)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load the tokenizer of {location}: {_first_line(error)}") from None


def load_model(
    location: str, settings: Settings, device: str, *, packing: bool
) -> tuple[Any, torch.dtype, dict[str, float]]:
    """Load weights in the training precision, without dropout; also return the precision they are stored in, and the
    dropouts that their configuration asks for."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config: Any = AutoConfig.from_pretrained(location)
        dropouts = _switch_dropout_off(config)
        kept = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
        kwargs: dict[str, Any] = {"dtype": torch.bfloat16 if settings.precision == "bfloat16" else torch.float32}
        if settings.attention:
            kwargs["attn_implementation"] = settings.attention
        if settings.weights == "qlora":
            kwargs |= {"dtype": torch.bfloat16, "quantization_config": _four_bit(settings.section)}
        model: Any = AutoModelForCausalLM.from_pretrained(location, config=config, **kwargs)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"cannot load {location}: {_first_line(error)}") from None
    if device == "cpu" and packing and not settings.attention:
        attend_rows_apart(model)
    return model, kept, dropouts


def _switch_dropout_off(config: Any) -> dict[str, float]:
    """Set every dropout of a configuration, and of those inside it, to 0; return what they were, by name."""
    found: dict[str, float] = {}
    for name, value in list(vars(config).items()):
        if hasattr(value, "to_diff_dict"):
            found |= {f"{name}.{inner}": was for inner, was in _switch_dropout_off(value).items()}
        elif "dropout" in name or name.endswith("pdrop"):
            found[name] = float(value or 0.0)
            setattr(config, name, 0.0)
    return found


def choose_adapters(settings: Settings) -> Any:
    """Return the peft configuration of LoRA and QLoRA (all linear layers, no dropout); None for a full fine-tune."""
    if settings.weights == "full":
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _four_bit(section: str) -> Any:
    try:
        import bitsandbytes  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        needs = f"{section}.weights = qlora needs bitsandbytes"
        raise TrainingError(f"{needs}: {install_packages('bitsandbytes')}") from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def save_model(trainer: Any, chat: Any, location: str, out: Path, dtype: torch.dtype) -> None:
    """Write the tuned model to `out`: weights as `dtype`, tokenizer with its chat template.

    Adapters are kept in `out/adapter` and merged into newly loaded base weights, so that the rounding of a base that
    was quantized for training is not saved. Every process must call this function: sharded weights are gathered.
    """
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.accelerator.is_main_process:
        return
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    partial = out / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    if hasattr(model, "peft_config"):
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        model.save_pretrained(partial / "adapter", state_dict=state)
        plain = AutoModelForCausalLM.from_pretrained(location, dtype=torch.float32)
        model = PeftModel.from_pretrained(plain, str(partial / "adapter")).merge_and_unload()
        state = model.state_dict()
    _end_generation(model, chat)
    model.save_pretrained(partial, state_dict=_cast(state, dtype))
    chat.tokenizer.save_pretrained(partial)
    config = json.loads((partial / "config.json").read_text("utf-8"))
    config["dtype"] = str(dtype).removeprefix("torch.")
    (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    for file in sorted(partial.iterdir()):
        if (out / file.name).is_dir():
            shutil.rmtree(out / file.name)
        file.replace(out / file.name)
    partial.rmdir()


def _end_generation(model: Any, chat: Any) -> None:
    """Set the tokens that end a response in training as the tokens that end generation."""
    known = model.generation_config.eos_token_id
    before = known if isinstance(known, list) else [] if known is None else [known]
    ends = [chat.tokenizer.eos_token_id, *sorted(chat.end_ids | set(before))]
    ends = list(dict.fromkeys(ends))
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.generation_config.pad_token_id = chat.tokenizer.pad_token_id
    model.config.eos_token_id = model.generation_config.eos_token_id
    model.config.pad_token_id = chat.tokenizer.pad_token_id


def _cast(state: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Cast floating tensors to `dtype`; tensors that share memory (tied embeddings) still share it."""
    made: dict[int, torch.Tensor] = {}
    for tensor in state.values():
        if tensor.data_ptr() not in made:
            made[tensor.data_ptr()] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return {name: made[tensor.data_ptr()] for name, tensor in state.items()}


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
