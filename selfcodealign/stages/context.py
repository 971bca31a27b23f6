"""What the stages of one run share: the recipe, the models, the sandbox, the worked examples, the run folder."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from selfcodealign.benchmarks.published import KnownTexts, load_known_texts
from selfcodealign.curation.contamination import Decontaminator
from selfcodealign.errors import FewShotError
from selfcodealign.generation.draws import DECIDING_SEEDS, NOT_COUNTED, Growth
from selfcodealign.generation.few_shot_file import FewShotFile, load_few_shot, split_tags
from selfcodealign.generation.prompts import lay_out
from selfcodealign.generation.question import Question
from selfcodealign.models import Model, Sampling
from selfcodealign.models.kept_answers import restore
from selfcodealign.models.named import BASE, Models, section_of, settings_of
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.models.room import Room, find_room
from selfcodealign.models.usage import Usage
from selfcodealign.progress import Progress
from selfcodealign.recipe import read_section
from selfcodealign.rows import Row, Seed
from selfcodealign.run_folder.folder import (
    ASKED,
    ASKING_SECONDS,
    BENCHMARK_VERSIONS,
    COUNTED,
    COUNTED_ANSWERS,
    RunFolder,
)
from selfcodealign.run_folder.journal import Journal
from selfcodealign.run_folder.marks import Mark, read_marks
from selfcodealign.sandbox import Limits, Sandbox
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from selfcodealign.sections import AskingSection
from selfcodealign.settings import ModelSettings, Recipe, Section

#: The number of draws that grows with the seeds, in words.
GROWING = "growing with the seeds"


def smaller_prompts(recipe: Recipe) -> str:
    """What a person can do about prompts that exceed the context of the model."""
    smaller = 'few_shot.file = "tiny", ' if recipe.few_shot.file != "tiny" else ""
    return f'{smaller}fewer worked examples (the stage\'s setting "examples") or another model'


class Stopped(Exception):
    """The run is to stop; raised where work goes on in a thread."""


@dataclass(frozen=True)
class Place:
    """A stage's place in a journey: whose rows it is given (None: it begins the journey) and of which type they are,
    the type of the rows it gives (None: a last stage), and the type of its section (None: it has none). `compares` and
    `asks`: whether it looks at all rows together, and whether it asks the model."""

    after: str | None
    given: type[Row] | None
    gives: type[Row] | None
    settings: type[Section] | None = None
    compares: bool = False
    asks: bool = False


@dataclass
class Context:
    """One run, as its stages see it.

    `places` has every stage of the journey by name, in order; `given_model` replaces the model that the recipe names,
    `given_models` those of its [models.NAME]; `counted` is what stages have counted and not yet recorded; `waves`
    has the answers drawn and verified in each wave of samples (1: the first), by this run; `stopping` is set when
    work in threads is to end.
    """

    recipe: Recipe
    places: Mapping[str, Place]
    folder: RunFolder
    progress: Progress = field(default_factory=Progress)
    given_model: Model | None = None
    given_models: Mapping[str, Model] = field(default_factory=dict)
    counted: dict[str, Counter[str]] = field(default_factory=dict)
    waves: dict[int, tuple[int, int]] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    #: Tokens of prompts and completions that other processes of this run have had.
    tokens_elsewhere: tuple[int, int] = (0, 0)
    _asking: tuple[str, float] | None = None

    def go_on(self) -> None:
        """Work in a thread calls this often, so that Ctrl-C ends it: raises `Stopped` once the run is to stop."""
        if self.stopping.is_set():
            raise Stopped

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the models and the sandbox, if they were opened."""
        await self.close_models()
        if "sandbox" in self.__dict__:
            await self.sandbox.__aexit__(*exc_info)

    # ------------------------------------------------------------------------------------------ what is opened

    @cached_property
    def models(self) -> Models:
        """All models of this run, each opened by its first request."""
        given = {**self.given_models, **({BASE: self.given_model} if self.given_model is not None else {})}
        return Models(self.recipe, given, self.folder.facts(), self.journal)

    @property
    def model(self) -> OnDemandModel:
        """The base model."""
        return self.models[BASE]

    def model_of(self, stage: str) -> OnDemandModel:
        """The model that a stage asks."""
        return self.models[self.model_name(stage)]

    def model_name(self, stage: str) -> str:
        """The name of the model that a stage asks: NAME of [models.NAME], "" for [model]."""
        has_section = stage in type(self.recipe).model_fields or (stage in self.places and self.places[stage].settings)
        section = self.section(stage) if has_section else None
        return section.model if isinstance(section, AskingSection) else BASE

    def model_settings(self, stage: str) -> ModelSettings:
        """The section of the model that a stage asks."""
        return settings_of(self.recipe, self.model_name(stage))

    def models_of(self, stages: Iterable[str]) -> list[str]:
        """The names of the models that these stages ask, each once."""
        return list(dict.fromkeys(self.model_name(stage) for stage in stages))

    @cached_property
    def journal(self) -> Journal:
        """Keeps the models' answers until the outcomes of their rows are on disk; opened under the folder's lock."""
        return Journal(self.folder.journal_folder, self.folder.other_journals)

    @cached_property
    def sandbox(self) -> OnDemandSandbox:
        """The sandbox, started by its first program."""
        settings = self.recipe.execution
        sandbox = Sandbox(
            workers=settings.workers,
            limits=Limits(seconds=settings.seconds, memory_mib=settings.memory_mib),
            mode=settings.sandbox,
            # A library that is not installed cannot be loaded beforehand; programs that import it fail by themselves.
            warm=tuple(name for name in settings.warm if find_spec(name)),
            mutation_testing=settings.mutation_testing,
            flake_reruns=settings.flake_reruns,
            split=settings.split,
        )
        return OnDemandSandbox(sandbox)

    @cached_property
    def few_shot(self) -> FewShotFile:
        """The worked examples. Raises `FewShotError`."""
        return load_few_shot(self.recipe.few_shot.file)

    @cached_property
    def benchmark_texts(self) -> KnownTexts:
        """The texts of the benchmarks that rows are compared with. Raises a `UserError`.

        A run keeps what it began with in its folder: published sets are not looked for again.
        """
        kept = KnownTexts.read(self.benchmark_file) if self.benchmark_file.exists() else None
        evaluated = self.recipe.evaluate.benchmarks if "evaluate" in self.places else ()
        wanted, problems = self.recipe.decontamination.benchmarks, self.recipe.evaluate.problems
        with self.progress.waiting("reading the benchmarks that rows are compared with"):
            return load_known_texts(wanted, evaluated, problems, kept)

    @property
    def benchmark_file(self) -> Path:
        """Where a run keeps the texts of the benchmarks."""
        return self.folder.path / "benchmarks.json.gz"

    @cached_property
    def kept_benchmarks(self) -> Path:
        """The file with the benchmarks' texts, written once; their versions are recorded, and missing ones told."""
        known = self.benchmark_texts
        known.write(self.benchmark_file)
        versions = [{"name": one.name, "version": one.version, "tasks": len(one.tasks)} for one in known.loaded]
        self.folder.record({"benchmarks": versions, "missing_benchmarks": dict(known.missing)})
        if known.missing:
            self.progress.say(
                f"NOT compared with {', '.join(known.missing)}: {'; '.join(sorted(set(known.missing.values())))}. Name "
                f'their files (decontamination.benchmarks=["available", "FILE"]), or delete {self.benchmark_file} to '
                "look for them again"
            )
        return self.benchmark_file

    @cached_property
    def decontaminator(self) -> Decontaminator | None:
        """Knows the benchmarks' texts; None where there are none. Raises a `UserError`."""
        return Decontaminator(self.benchmark_texts.loaded) if self.benchmark_texts.loaded else None

    @cached_property
    def marks(self) -> Mapping[str, Mark]:
        """What people have said of rows, as it was when the run began. Raises `RunFolderError`."""
        return read_marks(self.folder.path)

    @property
    def cores(self) -> int:
        """Programs worth running at once."""
        return self.recipe.execution.workers or os.cpu_count() or 1

    async def open_models(self, stages: Iterable[str]) -> None:
        """Open the models that these stages ask now, and record which ones they are. Raises `ModelError`."""
        names = self.models_of(stages)
        for name in names:
            what = "asking the servers for" if self.models.is_served(name) else "loading"
            with self.progress.waiting(f"{what} {self.models.called(name)}"):
                await self.models[name].open()
        self.folder.record(self.models.facts(names))

    def record_models(self, stages: Iterable[str]) -> None:
        """Record the models that these stages ask, with what their servers have taught since they were opened."""
        self.folder.record(self.models.facts(self.models_of(stages)))

    async def close_models(self) -> None:
        """Close the models, if they were made; a later request opens its model again."""
        if "models" in self.__dict__:
            await self.models.close()

    def count_tokens(self) -> tuple[int, int]:
        """Tokens of prompts and completions so far, of all models."""
        prompts, answers = self.models.count_tokens() if "models" in self.__dict__ else (0, 0)
        return prompts + self.tokens_elsewhere[0], answers + self.tokens_elsewhere[1]

    def describe_activity(self) -> str:
        """What the models do before they write; "" if they have nothing to do."""
        now = self.models.under_way() if "models" in self.__dict__ else {}
        waiting = sum(one.requests for name, one in now.items() if self.models.is_served(name))
        reading = [one for name, one in now.items() if one.requests and not self.models.is_served(name)]
        told = [f"waiting for the server: {waiting:,} request{'s' * (waiting != 1)} under way"] if waiting else []
        if reading:
            prompts, read = sum(one.requests for one in reading), sum(one.prompt_tokens_read for one in reading)
            of = f"{read:,} of " if read else ""
            tokens = sum(one.prompt_tokens for one in reading)
            told.append(f"reading {prompts:,} prompt{'s' * (prompts != 1)}, {of}{tokens:,} tokens")
        return "; ".join(told)

    # --------------------------------------------------------------------------------- what stages are built from

    def section(self, name: str) -> Any:
        """A section of the recipe: a stage's, or one that several stages share. Raises `RecipeError`."""
        if name in type(self.recipe).model_fields:
            return getattr(self.recipe, name)
        settings = self.places[name].settings
        assert settings is not None, f"the stage {name} has no settings"
        return read_section(settings, f"own.{name}", self.recipe.own.get(name, {}))

    def question(
        self,
        kind: str,
        wanted: tuple[str, ...],
        examples: int,
        sampling: Sampling,
        ends: tuple[str, ...] = (),
        *,
        estimated: bool = False,
        stage: str = "",
    ) -> Question:
        """A few-shot question to a stage's model, drawn and seeded as the recipe says; the model must be open or known.

        `kind` is a kind of prompt (`PROMPT_TAGS`), `stage` the stage that asks if its name is another one.
        """
        draws, seed = self.recipe.few_shot.draws, self.recipe.random_seed
        stage = stage or self._stage_of(kind)
        return Question(
            self.model_of(stage),
            self.few_shot,
            kind,
            wanted,
            examples,
            draws,
            sampling,
            seed,
            ends=ends,
            estimated=estimated,
            growth=self.growth if draws is None else NOT_COUNTED,
            usage=self.asked.setdefault(stage, Usage()),
        )

    @property
    def counting(self) -> str | None:
        """The stage whose seeds are counted for the number of draws: the last that compares seeds before any stage asks
        the model, so that its rows are complete by then. None where there is no such stage."""
        found = None
        for name, place in self.places.items():
            if place.asks:
                break
            if place.compares and place.gives is not None and place.gives.id_field == Seed.id_field:
                found = name
        return found

    @cached_property
    def growth(self) -> Growth:
        """Which seed has which draw; the stage `counting` must be finished."""
        if self.counting is None:
            return NOT_COUNTED
        kind = self.places[self.counting].gives
        assert kind is not None
        return Growth.over(self.folder.open(self.counting, kind).shards.first_ids(DECIDING_SEEDS))

    @cached_property
    def asked(self) -> dict[str, Usage]:
        """What the model was asked for each stage, in all runs of this folder."""
        return {stage: Usage.read(stored) for stage, stored in self.folder.facts().get(ASKED, {}).items()}

    def read_asked_again(self) -> None:
        """What the model was asked is read from run.json at its next use: other processes have added to it."""
        self.__dict__.pop("asked", None)
        self.__dict__.pop("_asking_seconds", None)

    def open_journal(self) -> None:
        """Take over the answers that an earlier run got and had no time to use. Raises `RunFolderError`."""
        for one in self.journal.open(self.folder.facts().get(COUNTED_ANSWERS, (0, 0))):
            self.asked.setdefault(one.stage, Usage()).add(restore(one.answer))
        if found := len(self.journal):
            self.progress.say(f"{found:,} answers that an earlier run got are in journal/, and not asked for again")
        if damaged := self.journal.damaged:
            self.progress.say(f"{damaged:,} damaged lines in journal/ are skipped, their answers asked for again")

    @cached_property
    def _asking_seconds(self) -> dict[str, float]:
        return dict(self.folder.facts().get(ASKING_SECONDS, {}))

    def asking_seconds(self) -> dict[str, float]:
        """Seconds in which stages asked the model, in all runs of this folder, by the first stage of each flow."""
        found, now = dict(self._asking_seconds), self._asking
        if now is not None:
            stage, since = now
            found[stage] = found.get(stage, 0.0) + time.monotonic() - since
        return found

    @contextmanager
    def clock_asking(self, stage: str) -> Iterator[None]:
        """Within this context, stages ask the model; `stage` is the first of them."""
        self._asking = stage, time.monotonic()
        try:
            yield
        finally:
            found, self._asking = self.asking_seconds(), None
            self._asking_seconds.update(found)

    def record_asked(self) -> None:
        """Put what the model was asked, and for how long, in run.json, with how far the journal is: what follows there
        is not counted."""
        asked = {stage: usage.fields() for stage, usage in self.asked.items()}
        facts = {ASKED: asked, ASKING_SECONDS: self.asking_seconds(), COUNTED_ANSWERS: self.journal.position}
        self.folder.record(facts)

    @staticmethod
    def _stage_of(prompt: str) -> str:
        """The stage that asks with this kind of prompt."""
        return "instructions" if prompt == "instructions-from-seed" else prompt

    def count(self, stage: str, what: str, number: int = 1) -> None:
        """Count something about a stage's answers that drops no row; `record_counts` puts it in run.json."""
        self.counted.setdefault(stage, Counter())[what] += number

    def record_counts(self, stages: Mapping[str, bool]) -> None:
        """Add what was counted to run.json; a stage that is True has started again, so its earlier counts go."""
        known = self.folder.facts().get(COUNTED, {})
        for stage, again in stages.items():
            total = Counter({} if again else known.get(stage, {})) + self.counted.pop(stage, Counter())
            known = {name: counts for name, counts in known.items() if name != stage} | (
                {stage: total} if total else {}
            )
        self.folder.record({COUNTED: known})

    # ------------------------------------------------------------------------------- what decides a stage's rows

    def deciding(self, *sections: str) -> dict[str, Any]:
        """All settings of these sections that decide rows, as a recipe writes them: `section.setting`."""
        found: dict[str, Any] = {}
        for name in sections:
            settings: Section = self.section(name)
            where = name if name in type(self.recipe).model_fields else f"own.{name}"
            found |= {f"{where}.{setting}": value for setting, value in settings.deciding().items()}
        return found

    def model_section(self, stage: str) -> str:
        """The section of the model that a stage asks, as messages name it."""
        return section_of(self.model_name(stage))

    def asking_model(self, stage: str) -> dict[str, Any]:
        """What decides the answers of a stage's model besides what it is asked."""
        section, settings = self.model_section(stage), self.model_settings(stage)
        model = {f"{section}.{key}": value for key, value in settings.deciding().items()}
        return {**model, "random_seed": self.recipe.random_seed}

    def asking(self, kind: str, stage: str = "") -> Mapping[str, Any]:
        """What decides a model's answers besides the stage's own settings; `kind` and `stage` as in `question`. The
        weights themselves are watched by `OnDemandModel`: another model under the same name is refused."""
        recipe = self.recipe
        return {
            **self.asking_model(stage or self._stage_of(kind)),
            "few_shot.draws": GROWING if recipe.few_shot.draws is None else recipe.few_shot.draws,
            f"few-shot texts of {kind}": self.few_shot.prompt_digest(kind),
        }

    def benchmarks(self) -> Mapping[str, Any]:
        """Which benchmarks rows are compared with, by version."""
        return {
            "decontamination.benchmarks": self.recipe.decontamination.benchmarks,
            BENCHMARK_VERSIONS: [f"{one.name} {one.version}" for one in self.benchmark_texts.loaded],
        }

    def check_examples(self, kind: str, count: int, stage: str = "") -> Sequence[str]:
        """What is wrong when a stage wants more worked examples than the few-shot file has, or its model can read;
        `kind` and `stage` as in `question`."""
        try:
            pool = self.few_shot.pool(kind, count)
        except FewShotError as error:
            return [str(error)]
        name = self.model_name(stage or self._stage_of(kind))
        room = self._find_room(name)
        if room is None:
            return []
        # The shortest draw, before an open example without text: no prompt has fewer tokens.
        shortest = sorted(pool, key=lambda one: room.measure("\n".join(one.values())))[:count]
        shown, wanted = split_tags(kind)
        tokens = room.measure(lay_out(self.few_shot.introductions[kind], shortest, dict.fromkeys(shown, ""), wanted))
        if room.holds(tokens):
            return []
        # The same words for every stage: one thing to fix is told once.
        called, file = self.models.called(name), self.recipe.few_shot.file
        return [
            f"prompts with the worked examples of {file} are longer than the context of {called} ({room.context:,} "
            f"tokens): use {smaller_prompts(self.recipe)}"
        ]

    def _find_room(self, name: str) -> Room | None:
        """How many tokens a model takes, if that is known: from a checkpoint's folder, or from servers once asked."""
        if name in self.models.given:
            return None
        settings = settings_of(self.recipe, name)
        if settings.api == "chat" and not settings.urls and settings.serve is None:
            return None  # refused, and no name of a checkpoint that could be looked for
        if not settings.urls:
            return find_room(settings)
        context = self.models[name].known("context")
        return Room(int(context)) if context else None
