"""The shipped model matches its card and loads silently without a network; its benchmark is sound."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.generation.prompts import lay_out
from selfcodealign.models.chat import write_prompt
from tiny.benchmark import EMBEDDED, passes_check
from tiny.corpus import END, WINDOW
from tiny.evaluate import read_tasks
from tiny.tasks import is_development, is_held_out
from tiny.tokens import FENCE, TAGS

LOAD = """
import sys, warnings
warnings.simplefilter("error")
import socket
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging
logging.disable_progress_bar()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(model.dtype, sum(parameter.numel() for parameter in model.parameters()), len(tokenizer))
"""


def test_weights_are_those_of_the_card() -> None:
    """Size and hash of the weights are what training.json says, and they are small enough for a package."""
    facts = json.loads((EMBEDDED / "training.json").read_text("utf-8"))
    weights = (EMBEDDED / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == facts["sha256"]
    assert len(weights) == facts["bytes"] <= 25_000_000
    assert f"{facts['parameters']:,} parameters" in (EMBEDDED / "README.md").read_text("utf-8")


def test_it_loads_with_no_network_and_no_warning() -> None:
    """transformers loads model and tokenizer in bf16, says nothing, and connects to nothing."""
    pytest.importorskip("transformers")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(EMBEDDED)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    facts = json.loads((EMBEDDED / "training.json").read_text("utf-8"))
    assert done.stdout.split() == ["torch.bfloat16", str(facts["parameters"]), "1536"]


def test_prompts_break_where_the_corpus_broke() -> None:
    """A prompt's tokens are the first tokens of the finished document: no token reaches over the prompt's end."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(EMBEDDED / "tokenizer.json"))
    example = load_few_shot("tiny").examples[0].sections()
    for shown, wanted in (("snippet", "concepts"), ("properties", "instruction"), ("instruction", "response")):
        prompt = lay_out("", [example], {shown: example[shown]}, [wanted])
        whole = f"{prompt}{example[wanted]}\n</{wanted}>"
        begun = tokenizer.encode(prompt).ids
        assert tokenizer.encode(whole).ids[: len(begun)] == begun
        assert tokenizer.decode(tokenizer.encode(whole).ids) == whole
    chat = write_prompt(example["instruction"])
    begun = tokenizer.encode(chat).ids
    assert tokenizer.encode(chat + example["response"]).ids[: len(begun)] == begun
    assert [tokenizer.encode(tag).tokens for tag in (*TAGS, FENCE)] == [[tag] for tag in (*TAGS, FENCE)]
    assert tokenizer.token_to_id(END) == 0


def test_worked_examples_fit_the_window() -> None:
    """Two of the longest worked examples leave room for a response in every stage, and their tests pass."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(EMBEDDED / "tokenizer.json"))
    for example in load_few_shot("tiny").examples:
        parts = example.sections()
        code, tests = (parts[tag].replace("```python\n", "").replace("```", "") for tag in ("response", "tests"))
        exec(f"{code}\n{tests}", {})
        for tags in (("snippet", "concepts"), ("properties", "instruction"), ("instruction", "response", "tests")):
            assert len(tokenizer.encode("\n".join(parts[tag] for tag in tags)).ids) < WINDOW / 2 - 20


@pytest.mark.parametrize(("split", "least"), [("eval", 500), ("dev", 200)])
def test_benchmark_is_held_out_and_sound(split: str, least: int) -> None:
    """Every task has a held-out composition of its split and a unique instruction; its canonical solution passes."""
    rows = read_tasks(split)
    assert len(rows) >= least
    assert len({row["task_id"] for row in rows}) == len({row["instruction"] for row in rows}) == len(rows)
    for row in rows:
        key = row["key"].split("|")
        assert is_held_out(key)
        assert is_development(key) == (split == "dev")
        assert passes_check(row["prompt"] + row["canonical_solution"], row["entry_point"], row["test"])
        assert not passes_check(row["prompt"] + "    return None\n", row["entry_point"], row["test"])
