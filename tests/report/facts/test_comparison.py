"""Runs side by side, and facts as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

from selfcodealign.report.facts import compare_facts, read_facts
from selfcodealign.report.facts.values import facts_values


def test_settings_that_differ_are_listed(made: Path, run: Path) -> None:
    """By section and key with the value of each run, and no others; a run without the setting has a dash."""
    recipe = run / "recipe.toml"
    text = recipe.read_text().replace("samples = 4", "samples = 9", 1).replace("random_seed = 0\n", "", 1)
    recipe.write_text(text)
    found = compare_facts([read_facts(made), read_facts(run)])
    settings = dict(found.settings)
    assert settings.pop("random_seed") == ["0", "–"]
    ((name, values),) = settings.items()
    assert (name.endswith(".samples"), values) == (True, ["4", "9"])
    assert list(found.names) == [str(made), str(run)]


def test_figures_are_those_of_each_run(made: Path) -> None:
    """Numbers with their words; a figure that a run lacks is None, one that all lack is left out."""
    facts = read_facts(made)
    bare = replace(facts, name="bare", rates=[], scores=None, evaluation=None, split_proofs=None)
    found = compare_facts([facts, bare])
    figures = {one.name: one for one in found.figures}
    stage = facts.rates[0].rates[-1]
    assert list(figures["pass rate"].values) == [stage.share, None]
    assert figures["pass rate"].told[0].startswith(f"{100 * stage.share:.1f} % [")
    assert list(figures["examples"].values) == [facts.asked.examples] * 2
    assert list(figures["mean mutation score"].told) == ["1.000", "–"]
    assert "cost" not in figures
    assert dict(found.scores) == {
        "tiny: base": ["20.0 [10.0–30.0]", "–"],
        "tiny: tuned": ["70.0 [60.0–80.0]", "–"],
    }


def test_a_run_is_compared_with_one_of_nothing(made: Path, tmp_path: Path) -> None:
    """A run that has not begun, and one whose recipe is damaged."""
    (tmp_path / "run.json").write_text('{"form": 3, "journey": []}')
    (tmp_path / "recipe.toml").write_text("][")
    found = compare_facts([read_facts(tmp_path), read_facts(made)])
    assert {one.told[0] for one in found.figures} == {"–"}
    assert all(values[0] == "–" for _, values in found.settings)
    assert compare_facts([]).figures == []


def test_facts_are_json(made: Path) -> None:
    """Strict JSON with every field; what was not measured is null, and nothing is hidden in a text of Python's."""
    facts = read_facts(made)
    values = json.loads(json.dumps(facts_values(facts), allow_nan=False))
    assert set(values) == set(facts.__dataclass_fields__)
    assert values["training"][0]["steps"][0]["grad_norm"] is None
    assert math.isnan(facts.training[0].steps[0]["grad_norm"])
    assert values["rates"][0]["rates"][0]["share"] == facts.rates[0].rates[0].share
    assert values["asked"]["examples"] == facts.asked.examples
    assert values["shown"][0]["row"]["response_id"] == facts.shown[0].row["response_id"]


def test_trainings_are_told_with_figures_steps_and_proof(made: Path) -> None:
    """As the training's own page has them."""
    (found,) = read_facts(made).training
    assert (found.stage, found.last_step, [step["loss"] for step in found.steps]) == ("train", 3, [1.0, 0.5, 1 / 3])
    assert found.figures["Base model"] == "base"
    assert list(found.proof) == [("row 7", [("asked", False), ("answered", True)])]


def test_scores_are_told_as_their_table(made: Path) -> None:
    """Heads, cells with intervals, and the notes below."""
    found = read_facts(made).evaluation
    assert found is not None
    assert list(found.heads) == ["model", "asked by", "tiny", "no code"]
    assert found.rows[1] == ["tuned", "chat", "70.0 [60.0–80.0]", "25.0 %"]
    assert "a note" in found.notes
