"""Packed rows do not attend to each other, and the check detects if they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from selfcodealign.errors import TrainingError
from selfcodealign.training.attention import ROW_BY_ROW, attend_rows_apart
from selfcodealign.training.isolation import check_isolation

ROWS = [[20, 31, 7, 55, 90, 12, 13], [40, 41, 60, 8, 9], [77, 20, 20, 33]]


@pytest.fixture(scope="module", params=["sdpa", "eager", ROW_BY_ROW])
def model(request: pytest.FixtureRequest, tiny_base: Path):
    chosen = "sdpa" if request.param == ROW_BY_ROW else request.param
    network: Any = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32, attn_implementation=chosen)
    if request.param == ROW_BY_ROW:
        attend_rows_apart(network)
    return network.eval()


def pack(rows: list[list[int]]) -> dict:
    """A batch as training makes it."""
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    return collate([{"input_ids": row, "labels": row} for row in rows])


def test_logits_of_packed_rows_are_those_of_the_rows_alone(model):
    """Three packed rows: the logits of each equal those of the row alone."""
    with torch.no_grad():
        batch = pack(ROWS)
        batch.pop("labels")
        packed = model(**batch, use_cache=False).logits[0].split([len(row) for row in ROWS])
        for row, logits in zip(ROWS, packed, strict=True):
            alone = model(input_ids=torch.tensor([row])).logits[0]
            torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


def test_without_boundaries_the_logits_would_differ(model):
    """The comparison above is not a tautology: one long row of the same tokens gives other logits."""
    with torch.no_grad():
        joined = (
            model(input_ids=torch.tensor([[token for row in ROWS for token in row]]))
            .logits[0]
            .split([len(row) for row in ROWS])
        )
        alone = model(input_ids=torch.tensor([ROWS[1]])).logits[0]
        assert (joined[1] - alone).abs().max() > 0.05 * alone.std()


def test_training_takes_a_model_that_keeps_the_boundaries(model):
    """The check before the first step passes."""
    with torch.no_grad():
        check_isolation(model, DataCollatorForLanguageModeling(0, padding_free=True), ROWS, 100, "cpu")


def test_training_refuses_a_model_that_sees_over_the_boundary(model):
    """Missing boundaries are detected before the first step."""

    def collate(examples: list[dict]) -> dict:
        batch = pack([example["input_ids"] for example in examples])
        return {"input_ids": batch["input_ids"], "labels": batch["labels"]}

    with torch.no_grad(), pytest.raises(TrainingError, match="packed rows see each other"):
        check_isolation(model, collate, ROWS, 100, "cpu")


def test_training_refuses_positions_that_go_on_counting():
    """GPT-2 has absolute positions: a packed row must restart at 0."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_positions=128, n_embd=32, n_layer=2, n_head=2)).eval()

    def shift(examples: list[dict]) -> dict:
        batch = pack([example["input_ids"] for example in examples])
        if len(examples) > 1:
            batch["position_ids"][:, len(examples[0]["input_ids"]) :] += 37
        return batch

    with torch.no_grad():
        check_isolation(model, DataCollatorForLanguageModeling(0, padding_free=True), ROWS, 100, "cpu")
        with pytest.raises(TrainingError, match="gets other positions"):
            check_isolation(model, shift, ROWS, 100, "cpu")
