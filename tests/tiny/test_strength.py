"""Generators of other strength: a corpus with other shares of mistakes, and training from given weights."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from selfcodealign.errors import UserError
from tests.support.world import FUNCTIONS, run_assert, windows
from tiny.benchmark import EMBEDDED
from tiny.corpus import Corpus
from tiny.plan import Plan, prepare
from tiny.tasks import Mistakes

torch = pytest.importorskip("torch")

FEWER = Mistakes(0.3, 0.05)


def share_failing(mistakes: Mistakes) -> float:
    """The share of 200 examples whose code fails one of the tests below it."""
    corpus, failing = Corpus(6, FUNCTIONS, pool=150, mistakes=mistakes), 0
    for _ in range(200):
        code, tests = re.findall(r"```python\n(.*?)\n```", corpus.draw_responses(), re.S)
        failing += not all(run_assert(code, line) for line in tests.split("\n"))
    return failing / 200


def test_shares_of_mistakes_decide_what_fails() -> None:
    """No mistakes: everything passes. Wrong tests only: they fail right code. More wrong solutions: more fail."""
    assert share_failing(Mistakes(0, 0)) == 0
    assert share_failing(Mistakes(0, 0, tests=1)) == 1
    assert 0.15 < share_failing(Mistakes(0, 0, tests=0.3)) < 0.45
    assert share_failing(FEWER) < share_failing(Mistakes()) < share_failing(Mistakes(0.95, 0.6))


def test_training_begins_with_the_given_weights(tmp_path: Path) -> None:
    """The embedded model's loss is far below that of new weights; a checkpoint has its facts, and an export keeps the
    tokenizer."""
    from tiny.export import export
    from tiny.loss import loss_of, read_tags, weigh_tokens
    from tiny.train import Trainer

    plan = Plan(steps=4, start=EMBEDDED, mistakes=FEWER, rate=0.3)
    prepare(tmp_path, EMBEDDED)
    data, tokenizer = windows(4_000)
    trainer = Trainer(tmp_path, plan, "cpu")
    assert torch.equal(trainer.model.lm_head.weight, trainer.model.model.embed_tokens.weight)
    for step in range(4):
        batch = torch.from_numpy(data[step * 2 : step * 2 + 2].astype("int64"))
        assert trainer.update(loss_of, batch, weigh_tokens(batch, read_tags(tokenizer))) < 1.5
    assert plan.share_done(trainer.step, trainer.elapsed) == 1
    assert trainer.scale() == 0
    trainer.save()
    assert Trainer(tmp_path, plan, "cpu").step == 4
    export(tmp_path, tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "training.json").read_text())
    base = json.loads((EMBEDDED / "training.json").read_text())
    assert (facts["start"], facts["rate"]) == (base["sha256"], 0.3)
    assert facts["mistakes"] == {"traps": 0.3, "plain": 0.05, "tests": 0.0}
    told = [json.loads((folder / "tokenizer.json").read_text()) for folder in (EMBEDDED, tmp_path / "model")]
    assert told[0] == told[1]


def test_a_checkpoint_keeps_its_corpus_and_its_start(tmp_path: Path) -> None:
    """Another share of mistakes, or other first weights, in the folder of a training is refused in one line."""
    from tiny.train import Trainer

    Trainer(tmp_path, Plan(start=EMBEDDED, mistakes=FEWER), "cpu").save()
    for plan in (Plan(start=EMBEDDED), Plan(mistakes=FEWER), Plan(start=EMBEDDED, mistakes=FEWER, rate=0.5)):
        with pytest.raises(UserError, match="name another --folder") as caught:
            Trainer(tmp_path, plan, "cpu")
        assert "\n" not in str(caught.value)


def test_what_is_no_model_to_start_from_is_refused(tmp_path: Path) -> None:
    """A folder without weights, weights of another shape, and a folder that has another tokenizer."""
    from safetensors.torch import save_file

    from tiny.plan import load_start
    from tiny.train import Trainer

    with pytest.raises(UserError, match=r"has no model\.safetensors; name a folder"):
        prepare(tmp_path / "new", tmp_path)
    assert not (tmp_path / "new").exists()
    model = Trainer(tmp_path / "none", Plan(), "cpu").model
    save_file({"model.embed_tokens.weight": torch.zeros(3, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="have another shape"):
        load_start(model, tmp_path)
    shutil.copy(EMBEDDED / "config.json", tmp_path / "tokenizer.json")
    with pytest.raises(UserError, match="is another tokenizer"):
        prepare(tmp_path, EMBEDDED)
