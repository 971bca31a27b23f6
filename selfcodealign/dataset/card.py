"""The card of a data set: how its rows came to be, and what they were not compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.dataset.authors import Author, models_of, of_field, tell_pairs
from selfcodealign.dataset.columns import COLUMNS, meaning_of
from selfcodealign.dataset.counts import Examples, Files
from selfcodealign.dataset.licences import licence_section
from selfcodealign.dataset.markup import block, code, front_matter, plain, table
from selfcodealign.dataset.metadata import card_metadata, title_of
from selfcodealign.judging.stored import split_statuses
from selfcodealign.rows import Books
from selfcodealign.run_folder.marks import HONOURED


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


def write_card(
    examples: Examples,
    facts: CardFacts,
    data_files: str,
    files: Files | None = None,
    columns: Sequence[str] = tuple(COLUMNS),
) -> str:
    """The card as Markdown. `data_files` is the pattern of the files that hold the rows; `columns` are theirs."""
    counted = f"{examples.count} instruction–response pairs{tell_pairs(facts.authors, examples.kinds)}."
    lines = [
        *front_matter(card_metadata(examples, facts.authors, facts.license, data_files, files)),
        "",
        f"# {title_of(facts.authors)}",
        "",
        f"{counted} {_claim(examples, facts)}{_tell_marks(facts.run)}",
        "",
        "## How it was made",
        "",
        *table(("", ""), [(plain(key), code(value)) for key, value in _provenance(facts.run)]),
        "",
        *_written(examples, facts),
        *table(
            ("stage", "rows in", "rows kept", "dropped"),
            [(plain(name), books.entered, books.kept, _drops(books)) for name, books in facts.funnel],
            numbers=(1, 2),
        ),
        "",
        *_drawn(examples),
        "## Columns",
        "",
        *table(("column", "meaning"), [(code(name), meaning_of(name)) for name in columns]),
        "",
        *_loading(),
        *licence_section(
            dict(examples.licences.most_common()),
            dict(examples.origins.most_common()),
            bool(examples.seeds),
            facts.authors,
            facts.license,
        ),
        "",
        "## Decontamination",
        "",
        *(_decontamination(facts) if examples.count else ["There are no rows to compare."]),
        "",
        *_use(examples, facts),
        "## Settings",
        "",
        *block(facts.recipe_toml, "toml"),
        "",
    ]
    return "\n".join(lines)


def _drops(books: Books) -> str:
    return ", ".join(f"{plain(reason)} {number}" for reason, number in books.dropped.items())


def _drawn(examples: Examples) -> list[str]:
    """How many answers it took."""
    if not examples.rated:
        return []
    share = examples.pass_rates / examples.rated
    return [f"On average {share:.0%} of the answers drawn for the task of a row passed (`pass_rate`).", ""]


def _loading() -> list[str]:
    example = 'from datasets import load_dataset\n\nrows = load_dataset("OWNER/NAME", split="train")\nprint(rows[0])'
    told = "`croissant.json` describes the same files for readers of Croissant."
    return ["## Load it", "", *block(example, "python"), "", told, ""]


def _use(examples: Examples, facts: CardFacts) -> list[str]:
    """What the rows are for, and what they do not show."""
    if not examples.count:
        return []
    said = ["It is meant for tuning models to answer programming tasks, and for the study of how such data are made."]
    if examples.verified:
        said.append(
            f"The answers were checked by {_tests(facts.authors)}: an answer and its tests may be wrong in the same "
            "way, and tests check few inputs."
        )
    if models_of(facts.authors):
        said.append(
            "Texts that models wrote repeat their habits and errors, and may repeat what they were trained on. Nobody "
            "has read every row."
        )
    said.append("Run its code behind walls: it may do anything.")
    return ["## Use and limits", "", *(f"- {one}" for one in said), ""]


def _written(examples: Examples, facts: CardFacts) -> list[str]:
    """Who wrote which field, by stage."""
    if not facts.authors:
        return []
    rows = [(code(one.field), one.describe(examples.kinds), plain(one.stage)) for one in facts.authors]
    return ["## Who wrote what", "", *table(("field", "written by", "stage"), rows), ""]


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
        policy = f" The recipe asked for such answers ({code(facts.answers)})." if facts.answers else ""
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
    honoured = run.get(HONOURED)
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
    missing = [f"- **not** compared with {plain(name)}: {plain(why)}" for name, why in facts.missing.items()]
    if not facts.benchmarks:
        return [
            "These rows were **not** compared with any benchmark: `decontamination.benchmarks` was empty, or none "
            "could be read. Do not report HumanEval, MBPP or any other benchmark for a model trained on them without "
            "doing so first.",
            *missing,
        ]
    columns = list(facts.benchmarks[0])
    stages = ", ".join(map(plain, facts.compared))
    return [
        f"Rows that hold a task of these benchmarks were removed (by the stages {stages}): its "
        "description or code word for word, most of its n-grams, a function with the same syntax tree under any names, "
        "or a function of the same distinctive name and arguments. The last columns say how many tasks of the "
        "benchmark were found when they were planted: the code alone as it is, laid out otherwise, with other comments "
        "and with other names, and the description alone in a chat. Tasks whose text or syntax tree is too generic to "
        "be evidence are counted apart.",
        "",
        *table(
            [plain(one) for one in columns], [[plain(one.get(key, "")) for key in columns] for one in facts.benchmarks]
        ),
        "",
        "They were **not** compared with any other benchmark, and a description or solution in entirely other words is "
        "not found.",
        *missing,
    ]
