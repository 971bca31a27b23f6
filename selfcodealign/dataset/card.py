"""The card of a data set: how its rows came to be, and what they were not compared with."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.dataset.authors import Author, models_of, of_field, tell_pairs
from selfcodealign.judging.stored import split_statuses
from selfcodealign.rows import Books, Example
from selfcodealign.sandbox import Status

#: Permissive licences that the Hugging Face hub knows by name.
_KNOWN = """
    afl-3.0 apache-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc-by-4.0 cc-by-sa-4.0 cc0-1.0 isc mit ncsa
    postgresql unlicense wtfpl zlib
"""
HUB_LICENCES = _KNOWN.split()
#: What stands for a licence that nobody states.
_NOT_STATED = ("", "unknown")


@dataclass(frozen=True)
class CardFacts:
    """What the card says besides the rows themselves."""

    recipe_toml: str
    run: Mapping[str, Any]
    funnel: Sequence[tuple[str, Books]]
    benchmarks: Sequence[Mapping[str, Any]]
    license: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    compared: Sequence[str] = ()
    authors: Sequence[Author] = ()
    #: Which answers the recipe asked for, where it did not ask for those that passed.
    answers: str = ""


@dataclass
class Examples:
    """What the rows themselves say: how many there are, per status, apart from their tests too, with a mutation score,
    compared with siblings, with the code of a seed, reasoning about calls; per kind, licence and origin."""

    count: int = 0
    seeds: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    split: int = 0
    scored: int = 0
    crossed: int = 0
    reasoned: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)

    def add(self, row: Example) -> None:
        """Count one more."""
        self.count += 1
        self.seeds += bool(row.seed)
        self.statuses[row.status] += 1
        self.kinds[row.kind] += 1
        self.split += row.proof == "split"
        self.crossed += bool(row.siblings)
        self.reasoned += bool(getattr(row, "direction", ""))
        self.scored += not math.isnan(row.mutation_score)
        self.licences[row.licence] += 1
        self.origins[row.origin] += 1

    @property
    def verified(self) -> int:
        """Rows whose response passed its tests."""
        return self.statuses[Status.PASSED]


def write_card(examples: Examples, facts: CardFacts, data_files: str) -> str:
    """The card as Markdown; `data_files` is the pattern of the files that hold the rows."""
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        f"    path: {data_files}",
        *_license(examples, facts.license),
        "task_categories:",
        "- text-generation",
        "tags:",
        "- code",
        "- synthetic",
        "- selfcodealign",
        "---",
        "",
        f"# {_title(facts.authors)}",
        "",
        f"{examples.count} instruction–response pairs{tell_pairs(facts.authors, examples.kinds)}. "
        f"{_claim(examples, facts)}{_tell_marks(facts.run)}",
        "",
        "## How it was made",
        "",
        *_table(("", ""), [(key, f"`{value}`") for key, value in _provenance(facts.run)]),
        "",
        *_written(examples, facts),
        "| stage | rows in | rows kept | dropped |",
        "| --- | ---: | ---: | --- |",
        *(
            f"| {name} | {books.entered} | {books.kept} | "
            f"{', '.join(f'{reason} {number}' for reason, number in books.dropped.items())} |"
            for name, books in facts.funnel
        ),
        "",
        *_licences(examples, facts),
        "",
        "## Decontamination",
        "",
        *(_decontamination(facts) if examples.count else ["There are no rows to compare."]),
        "",
        "## Settings",
        "",
        "```toml",
        facts.recipe_toml.strip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def _license(examples: Examples, stated: str) -> list[str]:
    """The licence in the card's metadata: an identifier of the hub, or `other` with a name."""
    name = stated or (next(iter(examples.licences)) if len(examples.licences) == 1 else "several")
    name = name or "unknown"
    if name.lower() in HUB_LICENCES:
        return [f"license: {name.lower()}"]
    return ["license: other", f"license_name: {re.sub(r'[^a-z0-9.-]+', '-', name.lower())}"]


def _title(authors: Sequence[Author]) -> str:
    """One model that has written all texts has aligned itself."""
    asked, answered = (models_of(of_field(authors, field)) for field in ("instruction", "response"))
    return "Self-aligned code instructions" if asked == answered and len(asked) == 1 else "Code instructions"


def _written(examples: Examples, facts: CardFacts) -> list[str]:
    """Who wrote which field, by stage."""
    if not facts.authors:
        return []
    rows = [(f"`{one.field}`", one.describe(examples.kinds), one.stage) for one in facts.authors]
    return ["## Who wrote what", "", *_table(("field", "written by", "stage"), rows), ""]


def _licences(examples: Examples, facts: CardFacts) -> list[str]:
    """The licences of what the rows grew from, and of those who wrote them."""
    stated = {name: n for name, n in examples.licences.most_common() if examples.seeds or name not in _NOT_STATED}
    lines = ["## Licences", ""]
    if stated:
        lines += [*_table(("licence of the seed" if examples.seeds else "licence", "examples"), stated.items()), ""]
    lines += [_inherited(examples, facts, bool(stated))]
    if any(examples.origins):
        lines += ["", *_table(("origin", "examples"), examples.origins.most_common(20))]
        lines += [f"\n… and {len(examples.origins) - 20} more origins."] if len(examples.origins) > 20 else []
    return lines


def _inherited(examples: Examples, facts: CardFacts, stated: bool) -> str:
    told = [f"The publisher states the licence {facts.license} for the data set."] if facts.license else []
    what = "code that the examples grew from" if examples.seeds else "data that the examples were read from"
    if stated:
        told.append(f"The table has the licences of the {what}.")
    elif examples.count:
        told.append("The examples grew from no code, and no licence is stated for what they were read from.")
    if models := models_of(facts.authors):
        names = " and ".join(f"`{name}`" for name in models)
        them = "these models" if len(models) > 1 else "that model"
        told.append(
            f"What {names} wrote (above) inherits the licence and the terms of {them}"
            ", and so does a model that is tuned on it, besides the licence of its base."
        )
    return " ".join(told)


def _claim(examples: Examples, facts: CardFacts) -> str:
    """What the verdicts on the rows allow to be said of them."""
    if not examples.count:
        return "The table below says where the rows went."
    statuses = examples.statuses
    tests = _tests(facts.authors)
    if examples.verified < examples.count:
        _, failed, not_run = split_statuses(statuses)
        told = [f"{examples.verified} of the responses passed {tests}, in a sandbox"] if examples.verified else []
        if failed:
            why = ", ".join(f"{name} {number}" for name, number in failed.items())
            told.append(f"{sum(failed.values())} did **not** pass ({why})")
        if not_run:
            told.append(f"{not_run} responses were **not** run: nothing is known of their correctness")
        policy = f" The recipe asked for such answers (`{facts.answers}`)." if facts.answers else ""
        return "; ".join(told) + "." + policy
    score = ", and its tests killed at least one mutant of the response where a mutation score is given"
    return (
        f"Every response passed {tests}, in a sandbox{score if examples.scored else ''}. "
        f"{examples.split} of them also passed in a process apart from their tests (`proof` is `split`), where a "
        f"response cannot reach what judges it. That is evidence of correctness, not proof.{_reasoned(examples)}"
        f"{_siblings(examples)}"
    )


def _tell_marks(run: Mapping[str, Any]) -> str:
    """What people's labels of single rows changed."""
    honoured = run.get("marks_honoured")
    if not honoured:
        return ""
    return f"\n\nPeople have marked single rows: {honoured['dropped']} were taken out, {honoured['kept']} were kept."


def _reasoned(examples: Examples) -> str:
    if not examples.reasoned:
        return ""
    return (
        f" {examples.reasoned} rows are reasoning about a call of a verified response (`direction`): their `messages` "
        "hold other texts than the verified `instruction` and `response`. Their value or call is what a run gave; the "
        "reasoning itself is not verified."
    )


def _tests(authors: Sequence[Author]) -> str:
    """Whose tests they are: those of a response's own author judge it less strictly than others."""
    responses, tests = of_field(authors, "response"), of_field(authors, "tests")
    if {one.stage for one in responses} != {one.stage for one in tests} or not tests:
        return "its tests"
    return "tests written with it" if models_of(tests) else "the tests given with it"


def _siblings(examples: Examples) -> str:
    if not examples.crossed:
        return ""
    return (
        f"\n\n{examples.crossed} responses were also run against the tests of the other answers to their instruction: "
        "`passes_siblings` is the share of those tests that the response passes, `tests_pass` the share of the other "
        "answers that pass the response's tests, `agreement` the number of answers that pass exactly the same tests, "
        "times the number of these tests."
    )


def _provenance(run: Mapping[str, Any]) -> list[tuple[str, Any]]:
    pairs = [(f"model {key}", value) for key, value in run.get("model", {}).items()]
    for name, one in run.get("models", {}).items():
        pairs += [(f"model {name}: {key}", value) for key, value in one["identity"].items()]
    pairs += [(key, run[key]) for key in ("selfcodealign", "python", "sandbox", "started") if key in run]
    return pairs


def _decontamination(facts: CardFacts) -> list[str]:
    """What the rows were compared with, how well that finds planted tasks, and plainly, what they were not."""
    missing = [f"- **not** compared with {name}: {why}" for name, why in facts.missing.items()]
    if not facts.benchmarks:
        return [
            "These rows were **not** compared with any benchmark: `decontamination.benchmarks` was empty, or none "
            "could be read. Do not report HumanEval, MBPP or any other benchmark for a model trained on them without "
            "doing so first.",
            *missing,
        ]
    columns = list(facts.benchmarks[0])
    return [
        f"Rows that hold a task of these benchmarks were removed (by the stages {', '.join(facts.compared)}): its "
        "description or code word for word, most of its n-grams, a function with the same syntax tree under any names, "
        "or a function of the same distinctive name and arguments. The last columns say how many tasks of the "
        "benchmark were found when they were planted: the code alone as it is, laid out otherwise, with other comments "
        "and with other names, and the description alone in a chat. Tasks whose text or syntax tree is too generic to "
        "be evidence are counted apart.",
        "",
        *_table(columns, [[one.get(column, "") for column in columns] for one in facts.benchmarks]),
        "",
        "They were **not** compared with any other benchmark, and a description or solution in entirely other words is "
        "not found.",
        *missing,
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
    ]
