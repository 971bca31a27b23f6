"""What repeats a run: digests that name its rows and files, and what was spent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.report.facts import read_facts


def _rewrite(run: Path, stage: str, kind: str, change: object = None) -> None:
    """Write the rows of a stage's files in the opposite order, two files for each, after `change`."""
    for path in sorted((run / stage).glob(f"{kind}-main-*.parquet")):
        table = pq.read_table(path)
        rows = table.to_pylist()[::-1]
        for row in rows[:1] if change else ():
            row.update(change)  # type: ignore[call-overload]
        middle = len(rows) // 2
        for name, part in ((path.name, rows[:middle]), (path.name.replace("-main-", "-other-"), rows[middle:])):
            pq.write_table(pa.Table.from_pylist(part, table.schema), path.with_name(name))


def test_digests_name_rows_and_not_their_order(run: Path) -> None:
    """The same rows in other files and another order have the same digest."""
    before = read_facts(run).repeat.rows
    _rewrite(run, "responses", "kept")
    _rewrite(run, "responses", "dropped")
    assert read_facts(run).repeat.rows == before


def test_another_reason_gives_another_digest(run: Path) -> None:
    """A row that was dropped for something else: the digest of its stage differs, and no other."""
    before = read_facts(run).repeat.rows
    _rewrite(run, "responses", "kept")
    _rewrite(run, "responses", "dropped", {"reason": "changed"})
    after = read_facts(run).repeat.rows
    assert {name for name in before if before[name] != after[name]} == {"responses"}


def test_files_of_the_data_set_have_their_checksums(made: Path) -> None:
    """As sha256sum gives them, card included."""
    found = read_facts(made).repeat
    assert "README.md" in found.files
    for name, digest in found.files.items():
        assert hashlib.sha256((made / "dataset" / name).read_bytes()).hexdigest() == digest


def test_recipe_versions_and_models_are_those_of_the_run(made: Path) -> None:
    """The recipe as it lies in the folder, the model that was asked, and what decided each stage."""
    found = read_facts(made).repeat
    assert found.recipe == (made / "recipe.toml").read_text()
    assert found.models["model"]["name"] == "base"
    assert {"selfcodealign", "python", "platform", "benchmark tiny-eval"} <= set(found.versions)
    assert found.decided_by["responses"]["responses.samples"] == 4
    assert found.journey[0] == "seeds"


def _charge(run: Path, prices: str, **facts: object) -> None:
    recipe = run / "recipe.toml"
    text = recipe.read_text()
    recipe.write_text(text[: text.index("[prices]")] + f"[prices]\n{prices}\n")
    told: Mapping[str, object] = json.loads((run / "run.json").read_text())
    asked = {"responses": {"requests": 1, "prompt_tokens": 2_000_000, "completion_tokens": 1_000_000}}
    (run / "run.json").write_text(
        json.dumps({**told, "asked": asked, "asking_seconds": {"responses": 7200.0}, **facts})
    )


def test_the_price_of_a_run_is_that_of_its_budget(run: Path) -> None:
    """Tokens and hours by the recipe's prices, for all and for each verified example."""
    _charge(run, 'prompt_tokens = 1.0\nanswer_tokens = 3.0\nserver_hour = 0.5\ncurrency = "EUR"')
    facts = read_facts(run)
    examples = facts.asked.verified
    assert examples
    spent = facts.spending
    assert (spent.cost, spent.currency, spent.asking_seconds) == (pytest.approx(2 + 3 + 1), "EUR", 7200.0)
    assert spent.cost_per_example == pytest.approx(6 / examples)
    assert spent.seconds_per_example == pytest.approx(7200 / examples)


def test_without_prices_there_is_no_cost(made: Path) -> None:
    """A recipe as it is shipped."""
    facts = read_facts(made)
    assert (facts.spending.cost, facts.spending.cost_per_example, facts.warnings) == (None, None, [])


def test_models_without_a_price_are_named(run: Path) -> None:
    """A stage asked another model, and the prices are those of [model] alone: no cost is better than a wrong one."""
    _charge(run, "prompt_tokens = 1.0", models={"teacher": {"identity": {"name": "t"}}})
    path = run / "responses" / "stage.json"
    told = json.loads(path.read_text())
    told["decided_by"]["models.teacher.name"] = "t"
    path.write_text(json.dumps(told))
    facts = read_facts(run)
    assert facts.spending.cost is None
    assert "models.teacher" in facts.warnings[0]


def test_prices_that_cannot_be_read_are_told(run: Path) -> None:
    """A recipe that somebody has edited."""
    _charge(run, 'prompt_tokens = "many"')
    facts = read_facts(run)
    assert facts.spending.cost is None
    assert "recipe.toml" in facts.warnings[0]
