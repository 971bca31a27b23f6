"""Checkpoints of random weights, small enough to be made in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

#: Bytes are the first 256 tokens, the last is the end of text.
EOS = 260


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level: every byte a token, four merges, and an end of text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merged = ["ab", "</", "a>", "Ġd"]
    vocabulary = {piece: number for number, piece in enumerate([*alphabet, *merged])}
    merges = [(pair[0], pair[1]) for pair in merged]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    assert fast.eos_token_id == EOS
    return fast


def make_checkpoint(folder: Path, *, architecture: Any = LlamaForCausalLM, **values: Any) -> Path:
    """A model of 2 layers with weights large enough for peaked, varied distributions; 96 tokens of context."""
    config_class: Any = architecture.config_class
    config = config_class(
        **{
            "vocab_size": EOS + 1,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 96,
            "initializer_range": 0.35,
            "eos_token_id": EOS,
            "bos_token_id": None,
            "pad_token_id": None,
        }
        | values
    )
    torch.manual_seed(7)
    architecture(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
