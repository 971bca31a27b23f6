"""The embedded model's world in tests: a small corpus as windows, and its programs run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tiny.benchmark import EMBEDDED
from tiny.corpus import make_windows
from tiny.snippets import read_text
from tiny.tasks import run_code

FUNCTIONS = read_text(Path(shutil.__file__).read_text("utf-8"))


def windows(tokens: int, seed: int = 1):
    """At least so many tokens of the corpus, and the tokenizer."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(EMBEDDED / "tokenizer.json"))
    return make_windows(seed, tokens, tokenizer, FUNCTIONS), tokenizer


def run_assert(code: str, text: str) -> bool:
    """Whether the code passes one assert."""
    try:
        exec(text, run_code(code))
    except Exception:  # a mistake may raise anything
        return False
    return True
