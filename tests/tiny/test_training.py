"""A short training reaches a loss below that of token frequencies, and resumes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.world import windows
from tiny.benchmark import EMBEDDED
from tiny.corpus import WINDOW
from tiny.plan import Plan

torch = pytest.importorskip("torch")


def test_windows_are_whole_and_repeatable() -> None:
    """Windows have the layout's length, hold known tokens, begin with a document, and are the same for a seed."""
    first, tokenizer = windows(20_000)
    again, _ = windows(20_000)
    assert first.shape[1] == WINDOW + 1
    assert (first == again).all()
    assert int(first.max()) < tokenizer.get_vocab_size()
    starts = {tokenizer.decode([int(row[0])]).split()[0] for row in first}
    assert starts <= {"##", "def", "class", "import"}


def test_snippets_weigh_little() -> None:
    """Tokens up to a snippet's end have the small weight, its concepts the large one, everything else 1."""
    from tiny.loss import CONCEPT_WEIGHT, SNIPPET_WEIGHT, weigh_tokens

    batch = torch.tensor([[9, 1, 8, 8, 2, 7, 7, 3, 9, 9]])
    expected = [1, *[SNIPPET_WEIGHT] * 3, *[CONCEPT_WEIGHT] * 3, 1, 1]
    assert weigh_tokens(batch, (1, 2, 3)).tolist() == [pytest.approx(expected)]


def test_muon_makes_orthogonal_updates() -> None:
    """All singular values of the update are near 1, for tall and for wide matrices."""
    from tiny.muon import orthogonalize

    torch.manual_seed(0)
    for shape in ((2, 24, 64), (2, 64, 24)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)).float())
        assert values.min() > 0.5
        assert values.max() < 1.35


def test_a_short_run_learns_and_resumes(tmp_path: Path) -> None:
    """Twelve steps of the warm-up bring the loss from 7.4 below 7.0; what is saved is what is loaded."""
    from tiny.loss import loss_of, read_tags, weigh_tokens
    from tiny.train import Trainer

    data, tokenizer = windows(40_000)
    tags = read_tags(tokenizer)
    trainer = Trainer(tmp_path, Plan(60), device="cpu")
    losses = []
    for step in range(12):
        batch = torch.from_numpy(data[step * 4 : step * 4 + 4].astype("int64"))
        losses.append(trainer.update(loss_of, batch, weigh_tokens(batch, tags)))
    assert losses[0] > 7.2
    assert sum(losses[-4:]) / 4 < 7.0
    trainer.save()
    loaded = Trainer(tmp_path, Plan(60), device="cpu")
    assert (loaded.step, loaded.tokens) == (12, 12 * 4 * WINDOW)
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, loaded.model.state_dict()[name])
    assert all(torch.equal(one, other) for one, other in zip(trainer.muon.buffers, loaded.muon.buffers, strict=True))


@pytest.mark.slow
def test_a_minute_of_training(tmp_path: Path) -> None:
    """The real training for one minute of steps on two cores: the loss falls below 6.5, and an export loads."""
    from transformers import AutoModelForCausalLM

    from tiny.export import export
    from tiny.train import train

    shutil.copy(EMBEDDED / "tokenizer.json", tmp_path)
    losses = train(tmp_path, Plan(1.0), batch_size=4, compiled=False, part_tokens=60_000)
    assert sum(losses[-5:]) / 5 < 6.5
    facts = export(tmp_path, tmp_path / "model")
    assert facts["steps"] == len(losses)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").dtype == torch.bfloat16
