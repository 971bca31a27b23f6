"""A journey: stages in an order in which each is given the rows it takes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from selfcodealign.errors import RecipeError, did_you_mean
from selfcodealign.rows import Row, extended, holds
from selfcodealign.run_folder.shards import schema_of
from selfcodealign.stages import Each, Last, Source, Stage, Whole
from selfcodealign.stages.context import Place


@dataclass(frozen=True)
class Step:
    """One stage at its place in a journey."""

    stage: Stage
    place: Place

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def parent(self) -> str:
        """The field by which this stage's rows name the row they were made from."""
        if isinstance(self.stage, Each) and self.stage.parent:
            return self.stage.parent
        assert self.place.given is not None
        return self.place.given.id_field


class Journey:
    """The steps of a run, in order. Raises `RecipeError` when they do not fit, naming what would."""

    def __init__(self, stages: Sequence[Stage], catalogue: Mapping[str, Stage]) -> None:
        self.steps: tuple[Step, ...] = tuple(_place(stages, catalogue))

    @property
    def names(self) -> list[str]:
        return [step.name for step in self.steps]

    @property
    def places(self) -> dict[str, Place]:
        return {step.name: step.place for step in self.steps}

    def until(self, name: str | None) -> tuple[Step, ...]:
        """The steps up to and with `name`; all of them for None. Raises `RecipeError` when there is no such stage."""
        if name is None:
            return self.steps
        if name not in self.names:
            hint = did_you_mean(name, self.names)
            raise RecipeError(f'no stage "{name}" in this journey; its stages are {", ".join(self.names)}{hint}')
        return self.steps[: self.names.index(name) + 1]


def find_stages(names: Sequence[str], catalogue: Mapping[str, Stage]) -> list[Stage]:
    """The stages that a journey names. Raises `RecipeError` for an unknown name and for one that is there twice."""
    if not names:
        raise RecipeError(
            "journey is empty: name its stages, first of all one that begins it, as in journey = "
            '["seeds", "near_dedup"]'
        )
    found = [_find(name, catalogue) for name in names]
    for number, stage in enumerate(found):
        if any(other.name == stage.name for other in found[:number]):
            raise RecipeError(f'journey names the stage "{stage.name}" twice: remove one of them')
    return found


def _find(name: str, catalogue: Mapping[str, Stage]) -> Stage:
    if name in catalogue:
        return catalogue[name]
    module, colon, value = name.rpartition(":")
    if not colon:
        known = ", ".join(catalogue)
        raise RecipeError(
            f'no stage "{name}"{did_you_mean(name, catalogue)} (known: {known}; one of your own: file.py:NAME)'
        )
    loaded = _load(module, name)
    stage = getattr(loaded, value, None)
    if not isinstance(stage, Stage):
        held = [one for one, what in vars(loaded).items() if isinstance(what, Stage)]
        known = f" (its stages: {', '.join(held)})" if held else ""
        what = f"nothing of that name{known}" if stage is None else f"a {type(stage).__name__}, no stage"
        raise RecipeError(f'journey names "{name}", and {module} holds {what}: name a value of selfcodealign.stages')
    if stage.name in catalogue:
        raise RecipeError(f'{name} is called "{stage.name}", as a stage of this package is: give it another name')
    return stage


def _load(module: str, name: str) -> object:
    """The module of a stage from outside: a dotted name, or the path of a .py file."""
    try:
        if not module.endswith(".py"):
            return import_module(module)
        path = Path(module).expanduser().resolve()
        known = f"selfcodealign_stage_{path.stem}"
        if getattr(sys.modules.get(known), "__file__", None) == str(path):
            return sys.modules[known]
        spec = importlib.util.spec_from_file_location(known, path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[known] = loaded  # dataclasses and pickle look their module up
        spec.loader.exec_module(loaded)
    except FileNotFoundError:
        raise RecipeError(f'journey names "{name}", and there is no file {module}') from None
    except Exception as error:  # whatever a module of the user's does while it is imported
        sys.modules.pop(f"selfcodealign_stage_{Path(module).stem}", None)
        raise RecipeError(
            f'journey names "{name}", and {module} cannot be imported: {type(error).__name__}: {error}'
        ) from error
    return loaded


def edit_journey(
    names: Sequence[str], added: Sequence[str], removed: Sequence[str], catalogue: Mapping[str, Stage]
) -> list[str]:
    """A journey with stages added (`--with`), each at its place, and others removed (`--without`).

    A stage of the catalogue goes where the catalogue has it; one from outside goes as late as its rows still are of
    the very type that it takes. Raises `RecipeError` for a stage that is unknown, there already, or not there.
    """
    journey = list(names)
    called = {stage.name: name for name, stage in zip(names, find_stages(names, catalogue), strict=True)}
    for name in (called.get(one, one) for one in removed):
        if name not in journey:
            hint = did_you_mean(name, journey)
            raise RecipeError(f"--without {name}: this journey has no such stage{hint} (it has {', '.join(journey)})")
        journey.remove(name)
    order = list(catalogue)
    for name in added:
        stage = _find(name, catalogue)
        if name in journey:
            raise RecipeError(f"--with {name}: this journey has that stage already")
        if name in order:
            before = [place for place, other in enumerate(journey) if other in order[: order.index(name)]]
            journey.insert(max(before, default=-1) + 1, name)
        else:
            current: type[Row] | None = None
            place = len(journey)
            for number, other in enumerate(find_stages(journey, catalogue)):
                current = other.gives if other.gives is not other.takes and other.gives is not None else current
                if current is stage.takes:
                    place = number + 1
            journey.insert(place, name)
    return journey


def _place(stages: Sequence[Stage], catalogue: Mapping[str, Stage]) -> Iterator[Step]:
    current: type[Row] | None = None
    before: str | None = None
    names = [stage.name for stage in stages]
    for number, stage in enumerate(stages):
        _check_fit(stage, current, names[:number], names, catalogue)
        if isinstance(stage, Last):
            yield Step(stage, Place(before, current, None, stage.settings, asks="model" in stage.needs))
            continue
        given = current
        if stage.gives is not None and stage.gives is not stage.takes:
            current = extended(stage.gives, given) if given is not None else stage.gives
        if current is not None:
            schema_of(current)  # a field that cannot be stored is found before any work
        compares, asks = isinstance(stage, Whole), "model" in stage.needs
        yield Step(stage, Place(before, given, current, stage.settings, compares, asks))
        before = stage.name


def _check_fit(
    stage: Stage,
    current: type[Row] | None,
    earlier: Sequence[str],
    names: Sequence[str],
    catalogue: Mapping[str, Stage],
) -> None:
    """Raise `RecipeError` unless `stage` can follow on rows of the type `current`."""
    if isinstance(stage, Source):
        if current is not None:
            raise RecipeError(f'stage "{stage.name}" begins a journey and cannot come after "{earlier[-1]}"')
    elif stage.takes is not None and (current is None or not holds(current, stage.takes)):
        missing = _between(current, stage.takes, catalogue)
        belong = "belong" if len(missing) > 1 else "belongs"
        where = f"between them {belong}" if current else f"before it {belong}"
        would = f"would be given {current.__name__}" if current else "nothing comes before it"
        fix = f"; {where} {', '.join(missing)}" if missing else ""
        raise RecipeError(f'stage "{stage.name}" takes {stage.takes.__name__} rows and {would}{fix}')
    elif isinstance(stage, Each | Whole) and stage.gives is not stage.takes:
        assert stage.gives is not None
        if current is not None and holds(current, stage.gives):
            raise RecipeError(
                f'stage "{stage.name}" makes {stage.gives.__name__} rows and would be given {current.__name__}, which '
                "is that already: move it to an earlier place"
            )
    if isinstance(stage, Last):
        for name in stage.requires:
            if name not in earlier:
                raise RecipeError(f'stage "{stage.name}" needs the stage "{name}" before it: add it to the journey')
        for name in stage.follows:
            if name in names and name not in earlier:
                raise RecipeError(f'stage "{stage.name}" comes before "{name}": it belongs after it')


def _between(current: type[Row] | None, wanted: type[Row], catalogue: Mapping[str, Stage]) -> list[str]:
    """The stages of the catalogue that lead from `current` to rows of type `wanted`, in order; none when none do."""
    path: list[str] = []
    for stage in catalogue.values():
        gives = stage.gives
        if gives is None or gives is stage.takes or not holds(wanted, gives):
            continue
        begins = current is None and isinstance(stage, Source)
        grows = current is not None and stage.takes is not None and holds(current, stage.takes)
        if begins or (grows and current is not None and not holds(current, gives)):
            path.append(stage.name)
            current = gives
    return path if current is not None and holds(current, wanted) else []
