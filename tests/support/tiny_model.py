"""A Llama of a few thousand random weights with its own small BPE tokenizer, and rows to train it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfcodealign.settings import TrainSettings

#: Settings for two epochs of such rows in seconds.
FAST = TrainSettings(learning_rate=1e-2, epochs=2, batch=8, precision="float32", device="cpu")

NAMES = ["add", "square", "reverse", "middle", "first_word", "count_even", "flatten", "is_prime"]


def make_rows(count: int) -> list[dict[str, str]]:
    """Make rows of clearly different lengths."""
    return [
        {
            "instruction": f"Write a function {NAMES[i % len(NAMES)]}_{i} of {i % 5 + 1} arguments.",
            "response": f"```python\ndef {NAMES[i % len(NAMES)]}_{i}(a):\n"
            + "    a = a + 1\n" * (i % 7)
            + "    return a\n```",
        }
        for i in range(count)
    ]


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_tokenizer(**special: str):
    """Byte-level BPE trained on the rows; `special` sets eos_token, bos_token, ..."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    texts = [f"### Instruction\n{row['instruction']}\n\n### Response\n{row['response']}" for row in make_rows(30)]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=sorted(special.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    if "bos_token" in special:
        token = special["bos_token"]
        raw.post_processor = processors.TemplateProcessing(
            single=f"{token} $A", special_tokens=[(token, raw.token_to_id(token))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=raw, **special)


def make_model(folder: Path, *, window: int = 512, seed: int = 0) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from selfcodealign.training.trainers import quiet

    tokenizer = make_tokenizer(eos_token="<|end|>")
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        attention_dropout=0.1,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(config)
    # Random weights of the usual size hardly attend; larger ones make a leak between rows visible.
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0)
    with quiet():
        model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def weights(folder: Path) -> dict[str, Any]:
    """Return the tensors of a model folder by name."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")
