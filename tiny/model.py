"""The embedded model's shape: a Llama decoder small enough for two CPU cores."""

from __future__ import annotations

from typing import Any

from tiny.corpus import WINDOW
from tiny.tokens import VOCABULARY


def new_model(width: int = 192, layers: int = 6, heads: int = 6, inner: int = 512, seed: int = 0) -> Any:
    """Make a new `LlamaForCausalLM` (float32, tied embeddings) of about 2.95 million parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=2 * WINDOW,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)
