"""The folder of rounds: what is in it, and what an earlier call has left.

    FOLDER/
      rounds.json           the definition, and the monitors, scores and reasons of each round
      round-1/run/          the run that made the data of round 1
      round-1/tuned-0/      the model tuned on them with the first training seed
      rounds.md, index.html the rounds side by side (see `round_report`)
      scores/               a folder of answers for each model, scores.md, and round-K.json (round 0: the base model)

`rounds.json` has a round once its scores are there: a call finds its place by that, and run, training and evaluation
of the round under way find their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from selfcodealign import files
from selfcodealign.errors import RunFolderError
from selfcodealign.evaluation import Evaluation
from selfcodealign.evaluation.pass_at_k import Interval
from selfcodealign.evaluation.scoring import Score, compare_all
from selfcodealign.experiments.rounds.collapse import Outcome
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.sections import Section
from selfcodealign.settings import Recipe

NAME = "rounds.json"
#: What a folder holds before its definition is written.
_BEFORE = {".lock"}


@dataclass(frozen=True)
class Design:
    """Who writes the data of a round, what is tuned on which data, and with how many training seeds.

    `writer`: the model of the round before, or always the base model. `tune`: the base model each time, or the model of
    the round before with the same seed. `data`: of the round, or of all rounds so far.
    """

    writer: Literal["previous", "base"] = "previous"
    tune: Literal["base", "previous"] = "base"
    data: Literal["round", "all"] = "round"
    seeds: int = 1


@dataclass(frozen=True)
class Round:
    """A finished round: `writer` is the model that wrote its data, `seconds` what it took in the calls that made it.

    `scores` are those of the models that it tuned, by seed; `reasons` are those to stop after it.
    """

    number: int
    writer: str
    rows: int
    seconds: float
    scores: Sequence[Score] = ()
    figures: Mapping[str, float | None] | None = None
    reasons: Sequence[str] = ()

    def outcome(self, figures: Mapping[str, float | None]) -> Outcome:
        """What the stopping rule looks at: the first benchmark's score, as it is first in the table."""
        if not self.scores:
            return Outcome(figures)
        first = self.scores[0]
        same = [one.values for one in self.scores if (one.benchmark, one.k) == (first.benchmark, first.k)]
        return Outcome(figures, first.benchmark, same)


class RoundsFolder:
    """The folder at `path`, with the design and the settings that decide what is in it."""

    def __init__(self, path: Path, recipe: Recipe, design: Design) -> None:
        self.path, self.design = path, design
        self.definition = {**_deciding(recipe), **asdict(design)}

    def run(self, number: int) -> Path:
        return self.path / f"round-{number}" / "run"

    def tuned(self, number: int, seed: int = 0) -> Path:
        return self.path / f"round-{number}" / f"tuned-{seed}"

    @property
    def scores(self) -> Path:
        return self.path / "scores"

    def open(self) -> list[Round]:
        """The finished rounds. Raises `RunFolderError` where the folder cannot be used or holds other rounds."""
        if not (self.path / NAME).exists():
            if problems := _problems(self.path):
                raise RunFolderError(problems)
            return []
        told = files.read_json(self.path / NAME, error=RunFolderError, fix="remove it and the folder's rounds")
        before = told["definition"]
        changed = [
            f"{name} was {before.get(name)!r} and is {self.definition.get(name)!r}"
            for name in {**before, **self.definition}
            if before.get(name) != self.definition.get(name)
        ]
        if changed:
            more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise RunFolderError(
                f"{self.path} holds rounds of another definition: {'; '.join(changed[:3])}{more}: give that one again, "
                "or another --out"
            )
        return [self._read(one) for one in told["rounds"]]

    def begin(self) -> None:
        """Write the definition, before any work."""
        if not (self.path / NAME).exists():
            self.write([], ())

    def write(self, rounds: Sequence[Round], stopped: Sequence[str]) -> None:
        """Write rounds.json; `stopped` are the reasons why no further round follows."""
        told = [{name: value for name, value in asdict(one).items() if name != "scores"} for one in rounds]
        for one, scored in zip(told, rounds, strict=True):
            one["scores"] = [
                {"label": score.label, "benchmark": score.benchmark, "k": score.k, **asdict(score.interval)}
                for score in scored.scores
            ]
        files.write_json(
            self.path / NAME,
            {"definition": self.definition, "rounds": told, "stopped": list(stopped)},
            error=RunFolderError,
        )

    def _read(self, told: dict[str, Any]) -> Round:
        values = dict(told)
        values["scores"], _ = self.read_scores(told["number"])
        return Round(**values)

    def read_scores(self, number: int) -> tuple[list[Score], list[str]]:
        """The scores of the models that a round tuned (0: of the base model), with notes; none before they exist."""
        path = self.scores / f"round-{number}.json"
        if not path.exists():
            return [], []
        told = files.read_json(path, error=RunFolderError, fix="remove it to score these models again")
        return [_read_score(one) for one in told["scores"]], told["notes"]

    def write_scores(self, number: int, found: Evaluation) -> None:
        told = {"scores": [asdict(one) for one in found.scores], "notes": found.notes}
        files.write_json(self.scores / f"round-{number}.json", told, error=RunFolderError)

    def all_scores(self, rounds: int) -> Evaluation:
        """The scores of the base model and of all models up to a round, compared with each other."""
        found = [self.read_scores(number) for number in range(rounds + 1)]
        scores = [score for some, _ in found for score in some]
        notes = dict.fromkeys(note for _, some in found for note in some)
        return Evaluation(scores=scores, comparisons=compare_all(scores), notes=list(notes))


@dataclass(frozen=True)
class Rounds:
    """All finished rounds of a folder, and why no further one follows."""

    rounds: Sequence[Round]
    stopped: Sequence[str]
    folder: RoundsFolder


def _read_score(told: Mapping[str, Any]) -> Score:
    values: dict[str, Any] = dict(told)
    values["interval"] = Interval(**values["interval"])
    return Score(**values)


def _problems(path: Path) -> str:
    """Why a folder cannot hold new rounds; "" if it can."""
    if path.is_dir() and (others := {one.name for one in path.iterdir()} - _BEFORE):
        return f"{path} holds {sorted(others)[0]}, and no rounds: choose an empty or new folder for --out"
    # The folder of the first run has the same owner and disk.
    return next(iter(RunFolder(path / "round-1" / "run").problems()), "")


def _deciding(recipe: Recipe) -> dict[str, Any]:
    """The settings of a recipe that decide rows, tuned models and scores, by name."""
    found: dict[str, Any] = {}
    for name, value in recipe:
        if isinstance(value, Section):
            found |= {f"{name}.{key}": one for key, one in value.deciding().items()}
    found |= {
        f"models.{name}.{key}": one for name, model in recipe.models.items() for key, one in model.deciding().items()
    }
    return {**found, "journey": recipe.journey, "own": recipe.own, "random_seed": recipe.random_seed}
