"""The monitors of rounds side by side: what is measured of the texts of each, and how tables call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan

from selfcodealign.experiments.rounds.monitors import copied_share, distinct_share, entropy, first_ngrams
from selfcodealign.experiments.rounds.texts import Written

#: The n-grams whose entropy and distinct share are monitored.
NGRAMS = (1, 4)


def measure(rounds: Sequence[Written], known: frozenset[str]) -> list[dict[str, float | None]]:
    """The monitors of each round by name (`MONITORS`), None where a journey has nothing to measure.

    Shares of distinct items and entropies are of the same number of items in all rounds: the fewest that any round
    has. A round without an item of a kind is left out of that, and has None. `known`: the windows of the few-shot
    file's texts.
    """
    grams = {
        (kind, n): _cut([first_ngrams(getattr(one, kind).sample, n) for one in rounds])
        for kind in ("instructions", "responses")
        for n in NGRAMS
    }
    names = _cut([one.names for one in rounds])
    texts = _cut([[text.strip() for text in one.instructions.sample] for one in rounds])
    found = []
    for place, one in enumerate(rounds):
        figures = {
            "rows": one.rows,
            "concepts": len(set(one.names)) if one.names else nan,
            "distinct_concepts": distinct_share(names[place]),
            "instructions": one.instructions.distinct,
            "distinct_instructions": distinct_share(texts[place]),
        }
        for (kind, n), cut in grams.items():
            figures[f"entropy_{kind}_{n}"] = entropy(cut[place])
            figures[f"distinct_{kind}_{n}"] = distinct_share(cut[place])
        figures |= {
            "copies": one.copies / one.compared if one.compared else nan,
            "pass_rate": one.passed / one.drawn if one.drawn else nan,
            "solved": one.solved / one.asked if one.asked else nan,
            "mutation_score": one.mutation_score,
            "words_instructions": one.instructions.words,
            "words_responses": one.responses.words,
            "copied_instructions": copied_share(one.instructions.sample, known),
            "copied_responses": copied_share(one.responses.sample, known),
        }
        found.append({name: None if isnan(value) else value for name, value in figures.items()})
    return found


def _cut(rounds: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The same number of items of each round that has any.

    >>> _cut([["a", "b"], [], ["c"]])
    [['a'], [], ['c']]
    """
    size = min((len(one) for one in rounds if one), default=0)
    return [one[:size] for one in rounds]


@dataclass(frozen=True)
class Monitor:
    """How a monitor is called in tables, whether it is a share, and what it says."""

    title: str
    share: bool
    meaning: str


def _of_ngrams() -> dict[str, Monitor]:
    found = {}
    for kind in ("instructions", "responses"):
        for n in NGRAMS:
            words = "words" if n == 1 else f"{n}-grams"
            found[f"entropy_{kind}_{n}"] = Monitor(
                f"entropy, {words} of {kind}", True, "1: all differ; of the same number in all rounds"
            )
            found[f"distinct_{kind}_{n}"] = Monitor(
                f"distinct {words} of {kind}", True, "as a share; of the same number in all rounds"
            )
    return found


#: By name, in the order of tables.
MONITORS: dict[str, Monitor] = {
    "rows": Monitor("rows", False, "of the data set"),
    "concepts": Monitor("distinct concepts", False, "among all that were named"),
    "distinct_concepts": Monitor("distinct share of concepts", True, "of the same number in all rounds"),
    "instructions": Monitor("distinct instructions", False, "among all that were written"),
    "distinct_instructions": Monitor("distinct share of instructions", True, "of the same number in all rounds"),
    **_of_ngrams(),
    "copies": Monitor("near-copies", True, "of the answers that selection compared"),
    "pass_rate": Monitor("answers that passed", True, "of those drawn"),
    "solved": Monitor("instructions with a passing answer", True, "of those answered"),
    "mutation_score": Monitor("mutants killed", True, "mean over passed answers"),
    "words_instructions": Monitor("words of an instruction", False, "mean"),
    "words_responses": Monitor("words of a response", False, "mean"),
    "copied_instructions": Monitor("copied, instructions", True, "windows of 8 words that the few-shot file has"),
    "copied_responses": Monitor("copied, responses", True, "windows of 8 words that the few-shot file has"),
}
