"""The paper's ablation in miniature: tune on responses that pass their tests, on random and on failing ones.

    python -m tiny.science                     # about 10 minutes on two idle cores; runs/science/table.md

The embedded model writes instructions from functions of the standard library and samples several responses to each; the
sandbox runs them against the model's own tests. For every instruction with a passing and a failing response, one
passing, one failing and one random response become three data sets of equal size with the same instructions. Models
are tuned on each with several seeds (the seed draws the responses and orders the training) and asked tiny-eval greedily
in chat; the base model is asked in chat and with one worked example. Pipeline, training and evaluation are the
package's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfcodealign.evaluation import Candidate, Evaluation, evaluate
from selfcodealign.pipeline import run_recipe
from selfcodealign.recipe import load_recipe
from selfcodealign.settings import EvaluateSettings, ExecutionSettings, ModelSettings, TrainSettings
from tiny.evaluate import read_tasks

SUBSETS = ("passing", "random", "failing")
# Reasons of drops that count as failing; unparsed responses are in no subset.
JUDGED = ("failed", "error", "timeout", "memory", "crashed", "blocked", "weak_tests", "tampering")
CALLED = re.compile(r"`(\w+)\(")
Pairs = dict[str, dict[str, list[str]]]


def write_answers(folder: Path, model: str, seeds: int, samples: int) -> None:
    """Run the pipeline up to the responses, all samples of every instruction; a stopped run is resumed."""
    recipe = load_recipe(
        "quickstart",
        [
            f"model.name={json.dumps(model)}",
            f"seeds.limit={seeds}",
            f"responses.samples={samples}",
            "responses.stop_after_passes=0",
        ],
    )
    asyncio.run(run_recipe(recipe, folder, until="responses"))


def read_pairs(folder: Path) -> tuple[Pairs, dict[str, float]]:
    """Read instruction → passing and failing responses, for instructions that have both, and the run's counts."""
    import duckdb

    def read(kind: str, columns: str) -> list[tuple[Any, ...]]:
        shards = f"{folder}/responses/{kind}-*.parquet"
        return duckdb.execute(f"select {columns} from read_parquet(?)", [shards]).fetchall()

    answers: Pairs = defaultdict(lambda: {"passing": [], "failing": []})
    kept = read("kept", "instruction, response")
    for instruction, response in kept:
        answers[instruction]["passing"].append(response)
    dropped = read("dropped", "instruction, response, reason")
    for instruction, response, reason in dropped:
        if reason in JUDGED:
            answers[instruction]["failing"].append(response)
    facts = {
        "instructions": len(answers),
        "samples": len(kept) + len(dropped),
        "passed": len(kept) / max(len(kept) + len(dropped), 1),
        "with_a_passing_answer": sum(bool(found["passing"]) for found in answers.values()),
    }
    both = {text: found for text, found in sorted(answers.items()) if found["passing"] and found["failing"]}
    # The model may write a task of a tiny-eval composition by itself; such tasks are excluded.
    asked = {name_shape(row["entry_point"]) for row in read_tasks("eval")}
    pairs = {text: found for text, found in both.items() if not asked & set(map(name_shape, CALLED.findall(text)))}
    return pairs, {**facts, "with_both": len(both), "with_both_and_not_in_tiny_eval": len(pairs)}


def name_shape(name: str) -> str:
    """Return a function's name without its constants, which all tasks of one composition share."""
    return re.sub(
        r"\d+|(?<=starting_)[a-z]\b|(?<=starting_)[a-z](?=_)|(?<=without_)[a-z]|(?<=count_)[a-z]\b", "#", name
    )


def write_subsets(pairs: Pairs, folder: Path, seed: int, limit: int) -> dict[str, Path]:
    """Write three data sets with the same instructions in the same order; the seed draws instructions and responses."""
    rng = random.Random(seed)
    chosen = rng.sample(sorted(pairs), min(limit, len(pairs)))
    rows: dict[str, list[dict[str, str]]] = {subset: [] for subset in SUBSETS}
    for instruction in chosen:
        found = pairs[instruction]
        drawn = {
            "passing": rng.choice(found["passing"]),
            "random": rng.choice(found["passing"] + found["failing"]),
            "failing": rng.choice(found["failing"]),
        }
        for subset in SUBSETS:
            rows[subset].append({"instruction": instruction, "response": drawn[subset]})
    paths = {}
    for subset in SUBSETS:
        paths[subset] = folder / f"{subset}-{seed}.jsonl"
        paths[subset].write_text("".join(json.dumps(row) + "\n" for row in rows[subset]), "utf-8")
    return paths


def tune(pairs: Pairs, folder: Path, model: str, seeds: int, limit: int, settings: TrainSettings) -> None:
    """Fine-tune one model per subset and seed into FOLDER/SUBSET-SEED, unless it is finished."""
    from selfcodealign.training import train

    for seed in range(seeds):
        for subset, path in write_subsets(pairs, folder, seed, limit).items():
            start = time.monotonic()
            train(path, model, folder / f"{subset}-{seed}", settings.model_copy(update={"seed": seed}))
            print(f"tuned on {subset}, seed {seed}: {time.monotonic() - start:.0f} s", flush=True)


def ask_models(folder: Path, model: str, seeds: int, limit: int | None) -> Evaluation:
    """Ask tiny-eval greedily: tuned models in chat, the base model in chat and few-shot."""
    base = ModelSettings(name=model, dtype="float32")
    candidates = [
        Candidate(label="base chat", mode="chat", settings=base),
        Candidate(label="base one example", mode="few-shot", settings=base),
    ]
    for subset in SUBSETS:
        for seed in range(seeds):
            settings = ModelSettings(name=str(folder / f"{subset}-{seed}"), dtype="float32")
            candidates.append(Candidate(label=f"{subset} {seed}", mode="chat", settings=settings))
    settings = EvaluateSettings(max_tokens=128, few_shot="tiny", limit=limit)
    return asyncio.run(evaluate(candidates, ["tiny-eval"], folder / "scores", settings, ExecutionSettings(warm=[])))


def tabulate(evaluation: Evaluation, seeds: int) -> dict[str, tuple[float, float, float]]:
    """Tabulate mean and 95 % interval of each kind and of paired differences.

    The bootstrap draws compositions (tasks of one composition are correlated) and fine-tuning seeds.
    """
    import numpy

    keys = {row["task_id"]: row["key"] for row in read_tasks("eval")}
    by_label = {score.label: score.values for score in evaluation.scores}
    tasks = sorted(set.intersection(*(set(values) for values in by_label.values())))
    kinds: dict[str, Any] = {
        name: numpy.array([[by_label[name][task] for task in tasks]]) for name in ("base chat", "base one example")
    }
    for subset in SUBSETS:
        kinds[subset] = numpy.array([[by_label[f"{subset} {seed}"][task] for task in tasks] for seed in range(seeds)])
    clusters = _group([keys[task] for task in tasks])
    rng = numpy.random.default_rng(0)
    draws: dict[str, list[float]] = defaultdict(list)
    for _ in range(4000):
        chosen = numpy.concatenate([clusters[place] for place in rng.integers(len(clusters), size=len(clusters))])
        of_seeds = rng.integers(seeds, size=seeds)
        means = {
            name: float(values[of_seeds if len(values) > 1 else [0]][:, chosen].mean())
            for name, values in kinds.items()
        }
        for name, value in _with_differences(means).items():
            draws[name].append(value)
    means = _with_differences({name: float(values.mean()) for name, values in kinds.items()})
    table = {}
    for name, mean in means.items():
        low, high = numpy.quantile(draws[name], (0.025, 0.975))
        table[name] = (mean, float(low), float(high))
    return table


def _group(keys: list[str]) -> list[Any]:
    import numpy

    places: dict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return [numpy.array(found) for found in places.values()]


def _with_differences(means: Mapping[str, float]) -> dict[str, float]:
    pairs = (("passing", "random"), ("random", "failing"), ("passing", "base one example"), ("passing", "base chat"))
    return {**means, **{f"{one} − {other}": means[one] - means[other] for one, other in pairs}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help='"embedded" or a folder')
    parser.add_argument("--out", type=Path, default=Path("runs/science"))
    parser.add_argument("--functions", type=int, default=250, help="number of seed functions")
    parser.add_argument("--samples", type=int, default=6, help="responses per instruction")
    parser.add_argument("--rows", type=int, default=250, help="most rows in a data set")
    parser.add_argument("--seeds", type=int, default=5, help="fine-tuning runs per subset")
    parser.add_argument(
        "--tasks", type=int, default=520, help="use only the first tasks of tiny-eval, at most this many of 600"
    )
    options = parser.parse_args()
    start = time.monotonic()
    write_answers(options.out / "run", options.model, options.functions, options.samples)
    pairs, facts = read_pairs(options.out / "run")
    print(json.dumps(facts), flush=True)
    settings = load_recipe("quickstart").train
    tune(pairs, options.out, options.model, options.seeds, options.rows, settings)
    table = tabulate(ask_models(options.out, options.model, options.seeds, options.tasks), options.seeds)
    lines = ["| | pass@1 or difference | 95 % interval |", "| --- | --- | --- |"]
    lines += [f"| {name} | {mean:.3f} | {low:.3f} to {high:.3f} |" for name, (mean, low, high) in table.items()]
    lines += ["", json.dumps({**facts, "rows": min(options.rows, len(pairs)), "seconds": time.monotonic() - start})]
    (options.out / "table.md").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
