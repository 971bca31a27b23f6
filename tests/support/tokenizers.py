"""Byte-level BPE tokenizers trained on code of this package, which cut texts as those of well-known models do."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.support.places import ROOT

_GPT4 = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
#: gpt-2 (StarCoder, SmolLM): a newline and the indentation after it are one token. gpt-4 (Llama 3, Qwen, Mistral Nemo):
#: punctuation and the newline behind it are one token. lines (Llama 2, DeepSeek-Coder): a newline is a token.
CUTS: dict[str, Any] = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "gpt-4": [
        pre_tokenizers.Split(Regex(_GPT4), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
    "lines": [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)],
}


@lru_cache
def train_tokenizer(kind: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(CUTS[kind])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    files = [*sorted((ROOT / "selfcodealign").glob("*.py")), ROOT / "selfcodealign/few_shot/python.md"]
    tokenizer.train_from_iterator([path.read_text("utf-8") for path in files], trainer)
    return tokenizer
