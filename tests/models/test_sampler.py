"""Tokens are drawn with the probabilities that temperature and top_p leave them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from selfcodealign.models.sampler import draw_uniforms, sample_tokens  # noqa: E402

LOGITS = torch.tensor([2.0, 0.0, 1.0, float("-inf"), 1.0])


def share(temperature: float, top_p: float, draws: int = 20_000) -> list[float]:
    """How often each token is drawn from `LOGITS`."""
    uniforms = draw_uniforms(1, draws)
    logits = LOGITS.expand(draws, -1)
    tokens = sample_tokens(logits, [temperature] * draws, [top_p] * draws, uniforms)
    return [count / draws for count in torch.bincount(torch.tensor(tokens), minlength=5).tolist()]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_shares_follow_the_softmax(temperature: float):
    """Without top_p the shares follow the softmax; a token of probability 0 is never drawn."""
    wanted = torch.softmax(LOGITS / temperature, -1).tolist()
    assert share(temperature, 1.0) == pytest.approx(wanted, abs=0.015)
    assert share(temperature, 1.0)[3] == 0


def test_top_p_keeps_the_likeliest():
    """The token that crosses top_p is the last one kept, the first among equals; ratios are preserved."""
    weights = torch.softmax(LOGITS, -1)
    kept = weights * torch.tensor([1, 0, 1, 0, 0])
    assert share(1.0, float(weights[0] + 0.01)) == pytest.approx((kept / kept.sum()).tolist(), abs=0.015)
    assert share(1.0, 1e-9) == [1, 0, 0, 0, 0]


def test_greedy_takes_the_likeliest():
    """Temperature 0 draws nothing, also beside rows that do, and takes the first of equals."""
    logits = torch.stack([LOGITS, LOGITS.flip(0), torch.zeros(5)])
    assert sample_tokens(logits, [0.0] * 3, [1.0] * 3, [0.9] * 3) == [0, 4, 0]
    assert sample_tokens(logits, [0.0, 0.0, 1.0], [1.0, 0.5, 1.0], [0.9] * 3) == [0, 4, 4]


def test_rows_do_not_see_each_other():
    """A row draws the same token for any settings and logits of other rows."""
    torch.manual_seed(3)
    logits = torch.randn(50, 300)
    heats = [(0.0, 0.5, 1.0)[row % 3] for row in range(50)]
    top_ps = [(1.0, 0.9, 0.3, 1.0)[row % 4] for row in range(50)]
    uniforms = draw_uniforms(9, 50)
    alone = [sample_tokens(logits[i : i + 1], [heats[i]], [top_ps[i]], [uniforms[i]])[0] for i in range(50)]
    assert sample_tokens(logits, heats, top_ps, uniforms) == alone


def test_uniforms_depend_on_the_seed_alone():
    """The first numbers are the same however many are drawn, and other seeds draw others."""
    assert draw_uniforms(5, 10) == draw_uniforms(5, 100)[:10]
    assert draw_uniforms(5, 10) != draw_uniforms(6, 10)
    assert all(0 <= number < 1 for number in draw_uniforms(2**31 - 1, 1000))
