"""The recipe ds2: noise found without true labels, a budget that is met exactly, and the shipped file runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from selfcodealign import run_recipe
from selfcodealign.baseline_settings import ScoreCurationSettings
from selfcodealign.curation.embeddings import embed, nearest
from selfcodealign.curation.score_noise import curate, estimate_noise
from selfcodealign.recipe import load_recipe
from selfcodealign.stages.baselines.score_curation import choose, judge_rows
from tests.support.command_line import call
from tests.support.journey import judge_by_text, scripted_model, write_sources
from tests.support.runs import books, rows_of
from tests.support.told import Told

TRUE = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.05, 0.1, 0.85]])
PRIOR = np.array([0.2, 0.3, 0.5])


def noisy_clusters(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in clusters of one true label each, their true labels, and labels seen through `TRUE`."""
    random = np.random.default_rng(1)
    clusters = count // 40
    of_cluster = random.choice(3, clusters, p=PRIOR)
    belongs = np.arange(count) % clusters
    points = random.standard_normal((clusters, 24))[belongs] + 0.05 * random.standard_normal((count, 24))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    true = of_cluster[belongs]
    seen = np.array([random.choice(3, p=TRUE[label]) for label in true])
    return points.astype(np.float32), true, seen


def test_the_transition_matrix_is_recovered_without_true_labels() -> None:
    """From labels seen through a known matrix, the matrix and the prior come back; curation mends most labels."""
    points, true, seen = noisy_clusters(4000)
    neighbours, distances = nearest(points, 20)
    noise = estimate_noise(seen, neighbours, 3)
    assert np.abs(noise.matrix - TRUE).max() < 0.06
    assert np.abs(noise.prior - np.bincount(true) / len(true)).max() < 0.05
    curated = curate(seen, neighbours, distances, noise, seed=0)
    assert np.mean(curated != true) < 0.35 * np.mean(seen != true)


def test_neighbours_are_exact_and_texts_of_one_subject_are_near() -> None:
    """The nearest of each vector, by comparison with all; texts that share words are nearer than others."""
    points = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    numbers, distances = nearest(points, 5)
    away = 1 - points @ points.T
    np.fill_diagonal(away, np.inf)
    assert np.allclose(np.sort(away, axis=1)[:, :5], distances, atol=1e-4)
    assert all(row not in found for row, found in enumerate(numbers))
    subjects = ["sort a list of numbers by size", "open a file and read its lines"]
    texts = [f"{subjects[number % 2]} variant {number // 2}" for number in range(20)]
    found, _ = nearest(embed(texts, 8, seed=0), 3)
    assert all((found[row] % 2 == row % 2).all() for row in range(20))


def small_rows(count: int) -> tuple[list[str], list[tuple[str, float]]]:
    random = np.random.default_rng(3)
    words = [f"word{number}" for number in range(40)]
    rows = [(str(" ".join(random.choice(words, 12))), float(random.integers(0, 7)) / 6) for _ in range(count)]
    return [f"{number:016x}" for number in range(count)], rows


def test_the_budget_is_exact_and_labels_come_first() -> None:
    """So many rows stay; none of a lower label while one of a higher is left out; within a label, the more diverse."""
    ids, rows = small_rows(200)
    standing = judge_rows(rows, ScoreCurationSettings(dimensions=16), seed=5)
    kept = choose(ids, standing, 60)
    assert len(kept) == 60
    gone = set(range(200)) - kept
    lowest = min(standing.curated[one] for one in kept)
    assert all(standing.curated[one] <= lowest for one in gone)
    last = [one for one in range(200) if standing.curated[one] == lowest]
    worst = min(standing.diversity[one] for one in last if one in kept)
    assert all(standing.diversity[one] <= worst for one in last if one in gone)
    again = judge_rows(rows, ScoreCurationSettings(dimensions=16), seed=5)
    assert (again.curated == standing.curated).all()
    assert (again.diversity == standing.diversity).all()


JOURNEY = '["seeds", "near_dedup", "concepts", "instructions", "responses", "selection", "score_curation", "dataset"]'


def shipped(tmp_path: Path, *settings: str) -> list[str]:
    sources = write_sources(tmp_path / "source", 30)
    return [
        f'seeds.sources=["{sources}"]',
        'seeds.licences=["any"]',
        'model.name="embedded"',
        'decontamination.benchmarks=["tiny-eval"]',
        'types.checker="none"',
        "near_dedup.jaccard=0.95",
        "selection.near_dedup=[]",
        "execution.workers=2",
        "execution.warm=[]",
        f"journey={JOURNEY}",
        *settings,
    ]


def test_the_shipped_recipe_keeps_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven of the rows stay; the others are named drops with label and diversity; a second run gives the same."""
    judge_by_text(monkeypatch)
    found = []
    for name in ("one", "two"):
        recipe = load_recipe("ds2", shipped(tmp_path, "score_curation.rows=7"))
        asyncio.run(run_recipe(recipe, tmp_path / name, model=scripted_model()))
        entered, kept, dropped = books(tmp_path / name)["score_curation"]
        assert (kept, dropped) == (7, {"over_budget": entered - 7})
        assert entered > 7
        found.append([row["response_id"] for row in rows_of(tmp_path / name, "score_curation")])
    assert found[0] == found[1]
    some = rows_of(tmp_path / "one", "score_curation", "dropped")[0]
    assert some["detail"].startswith("mutation_score label 5, diversity 0.")


def test_a_budget_above_the_rows_keeps_all_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compared and nothing dropped; the line names the setting."""
    judge_by_text(monkeypatch)
    told = Told()
    recipe = load_recipe("ds2", shipped(tmp_path))
    asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model(), progress=told))
    entered, kept, dropped = books(tmp_path / "run")["score_curation"]
    assert (entered, dropped) == (kept, {})
    assert any("rows stay, score_curation.rows is 10,000" in line for line in told.lines)


def test_the_agreement_score_is_refused_where_none_is_measured(tmp_path: Path) -> None:
    """Before any work, in one line that names the setting to change."""
    settings = shipped(tmp_path, "score_curation.score=agreement")
    # The command line refuses settings of stages that the journey does not have.
    words = [word for one in settings if not one.startswith("types.") for word in ("--set", one)]
    done = call("run", "ds2", "--out", str(tmp_path / "run"), "--dry-run", *words)
    assert done.returncode == 2
    assert "execution.cross = true" in done.stderr
