"""Attention row by row equals the attention of each row alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from selfcodealign.settings import TrainSettings
from selfcodealign.training.attention import ROW_BY_ROW, attend_row_by_row, attend_rows_apart
from selfcodealign.training.masking import NO_LOSS
from selfcodealign.training.weights import load_model

COLLATE = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
WINDOW = 6


def make_network(kind: str) -> Any:
    """Make large random weights, so that every attended token moves the logits."""
    torch.manual_seed(0)
    if kind == "window":
        network: Any = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=WINDOW))
    else:
        network = LlamaForCausalLM(LlamaConfig(**SIZES))
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(4.0)
    return network


def make_rows(lengths: list[int]) -> list[dict[str, list[int]]]:
    """Rows whose first third carries no loss."""
    draw = torch.Generator().manual_seed(sum(lengths))
    rows = []
    for length in lengths:
        ids = torch.randint(0, 50, (length,), generator=draw).tolist()
        rows.append({"input_ids": ids, "labels": [NO_LOSS] * (length // 3 + 1) + ids[length // 3 + 1 :]})
    return rows


def learn(network: Any, passes: list[list[dict[str, list[int]]]]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of rows that go through the model in these passes: sums over the tokens with loss."""
    network.zero_grad()
    total = 0.0
    for rows in passes:
        batch = COLLATE([dict(row) for row in rows])
        targets = batch.pop("labels")[0, 1:]
        logits = network(**batch, use_cache=False).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, targets, ignore_index=NO_LOSS, reduction="sum")
        loss.backward()
        total += loss.item()
    return total, {name: weight.grad.clone() for name, weight in network.named_parameters()}


@pytest.mark.parametrize("kind", ["full", "window"])
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(3, 4 * WINDOW), min_size=2, max_size=6))
def test_a_packed_pass_teaches_what_its_rows_teach_alone(kind: str, lengths: list[int]):
    """Loss and every gradient of one packed pass are the sums over its rows, each alone under torch's attention.

    Also where a sliding window is shorter than the rows.
    """
    alone, packed = make_network(kind), make_network(kind)
    attend_rows_apart(packed)
    assert packed.config._attn_implementation == ROW_BY_ROW
    rows = make_rows(lengths)
    wanted, gradients = learn(alone, [[row] for row in rows])
    got, found = learn(packed, [rows])
    assert got == pytest.approx(wanted, rel=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-3 * gradient.abs().max().item())


@pytest.mark.parametrize("kind", ["full", "window"])
def test_it_is_torchs_attention_with_the_mask_done_cheaper(kind: str):
    """The same packed pass gives the same logits with `sdpa`, which masks the other rows."""
    masked, cut = make_network(kind), make_network(kind)
    attend_rows_apart(cut)
    batch = COLLATE(make_rows([9, 20, 4, 13]))
    batch.pop("labels")
    with torch.no_grad():
        wanted, got = (network(**batch, use_cache=False).logits for network in (masked, cut))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-3)


def test_mixed_precision_leaves_attention_in_float32():
    """Under autocast the same queries, keys and values give the same numbers; torch's attention would round them."""
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 4, 30, 8, generator=draw) for _ in range(3))
    module, bounds = torch.nn.Module(), torch.tensor([0, 11, 30], dtype=torch.int32)
    wanted, _ = attend_row_by_row(module, q, k, v, None, bounds)
    with torch.autocast("cpu", torch.bfloat16):
        got, _ = attend_row_by_row(module, q, k, v, None, bounds)
        rounded, _ = sdpa_attention_forward(module, q[:, :, :11], k[:, :, :11], v[:, :, :11], None)
    assert torch.equal(got, wanted)
    assert not torch.equal(rounded.float(), wanted[:, :11])


def test_padded_rows_and_single_rows_go_through_unchanged():
    """Without boundaries the mask counts: a padded batch and a single row equal `sdpa`."""
    plain, ours = make_network("window"), make_network("window")
    attend_rows_apart(ours)
    ids = torch.randint(0, 50, (2, 15), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    for batch in ({"input_ids": ids, "attention_mask": mask}, {"input_ids": ids[:1]}):
        with torch.no_grad():
            wanted, got = (network(**batch, use_cache=False).logits for network in (plain, ours))
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    ("device", "update", "used"),
    [
        ("cpu", {}, ROW_BY_ROW),
        ("cpu", {"packing": False}, "sdpa"),
        ("cpu", {"attention": "eager"}, "eager"),
        ("cpu", {"attention": "sdpa"}, "sdpa"),
        ("cuda", {}, "sdpa"),
    ],
    ids=str,
)
def test_it_is_used_for_packing_unless_another_is_chosen(
    tiny_base: Path, device: str, update: dict[str, Any], used: str
):
    """Packing on a CPU uses it by default; the setting `attention` overrides it."""
    settings = TrainSettings(**update)
    model, *_ = load_model(str(tiny_base), settings, device, packing=settings.packing)
    assert model.config._attn_implementation == used


def test_a_saved_model_knows_nothing_of_it(tiny_base: Path, tmp_path: Path):
    """The saved folder loads with torch's attention, like any model."""
    model, *_ = load_model(str(tiny_base), TrainSettings(), "cpu", packing=True)
    model.save_pretrained(tmp_path)
    assert ROW_BY_ROW not in (tmp_path / "config.json").read_text()
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config._attn_implementation == "sdpa"
