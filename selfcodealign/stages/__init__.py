"""What a stage is: a value that says what it takes, what it gives, and what decides the rows that come out of it.

    Source   begins a journey: reads rows from outside              source code → seed
    Each     looks at one row at a time                             seed → concepts, instruction → responses
    Whole    compares all rows                                      near-duplicates, selection
    Last     uses the rows of a journey and gives none              data set, training, evaluation

One stage is one file of this folder: its prompt, its model call, its parsing, and at the end the value itself.
`pipeline.CATALOGUE` lists the stages of this package; a recipe's `journey` chooses from them, and may name others as
`module:NAME` or `path/to/file.py:NAME` (`examples/a_stage_of_your_own.py` is one).

Rows only grow: a stage gives rows of a type that extends the type it takes. A stage that gives the very type it takes
is a filter; the rows it keeps stay what they are, of whatever type they came.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from selfcodealign.errors import UserError
from selfcodealign.rows import Dropped, Outcome, Row
from selfcodealign.settings import Section
from selfcodealign.stages.context import Context

#: What a stage needs opened: a stage that is finished opens neither.
Need = Literal["model", "sandbox"]
#: Named facts that decide the rows of a stage, as JSON values. They are stored beside the rows; when one of them
#: differs from the stored one, the stage starts again and says which.
Facts = Mapping[str, Any]
#: Turns one row into rows and drops: a coroutine, several calls of which may be under way; with `Each.cpu` a function.
Worker = Callable[[Any], Awaitable[Outcome[Any]]] | Callable[[Any], Outcome[Any]]
#: All rows that came into a stage, in the order of their ids; may be called more than once.
Rows = Callable[[], Iterable[Any]]


class Asked(NamedTuple):
    """What a stage asks for one row that comes in, as far as it is known before any work.

    `kind` is the kind of prompt (`PROMPT_TAGS`) with `examples` worked examples, `prompts` how many different ones
    there are, `most` and `typical` the answers to each, `tokens` the most tokens of an answer (None: as many as the
    worked examples need). `rows` is how many rows the stage gives for one, `wanted` the sections that the model writes,
    if not all but the first. A stage with prompts in a form of its own gives a `sample` in the place of the worked
    examples: a prompt and an answer to it.
    """

    kind: str
    examples: int
    tokens: int | None
    prompts: int = 1
    most: int = 1
    typical: int = 1
    rows: int = 1
    wanted: tuple[str, ...] = ()
    sample: tuple[str, str] | None = None


def nothing_asked(context: Context) -> Iterable[Asked]:
    """A stage that asks no model, or none of which anything is known before."""
    return ()


def always(context: Context) -> bool:
    """What a stage does under all settings."""
    return True


def nothing_to_fix(context: Context) -> Iterable[str]:
    """A stage that needs nothing of a person."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What all stages share.

    `name` is the stage's folder in a run and its section in a recipe; `takes` and `gives` are row types; `settings` is
    the type of its section, if it has one. `check` yields what a person has to fix, one sentence each, before any
    work; `executes` says whether a stage with the need "sandbox" runs programs under these settings. `decided_by` names
    everything that decides the rows besides the rows that come in: settings as
    `section.setting`, other facts in words. `columns` are the fields that a list of its rows shows, in this order; they
    decide no rows.
    """

    name: str
    decided_by: Callable[[Context], Facts]
    takes: type[Row] | None = None
    gives: type[Row] | None = None
    settings: type[Section] | None = None
    needs: tuple[Need, ...] = ()
    executes: Callable[[Context], bool] = always
    check: Callable[[Context], Iterable[str | UserError]] = nothing_to_fix
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Each(Stage):
    """Looks at one row at a time. Outcomes are on disk soon after; a resumed run skips the rows that are done.

    `build` makes the worker from a context alone, so that another engine can build it elsewhere. `rows_at_once` says
    how many rows are worth having under way; default: as many as the stage's model takes. With `cpu`, the worker is
    a plain function of one row that runs in a pool of processes (it has to be picklable). `prefix` may give what
    tells by which rows' prompts begin alike: rows that agree in it are taken in one after the other. `asks` tells
    what the stage asks of its model. `parent` is the field of the given rows that names the row they were made from,
    where that is another field than the id of the rows that come in.
    """

    build: Callable[[Context], Worker]
    rows_at_once: Callable[[Context], int] | None = None
    cpu: bool = False
    prefix: Callable[[Context], Callable[[Any], Any] | None] = lambda context: None
    asks: Callable[[Context], Iterable[Asked]] = nothing_asked
    parent: str = ""

    def count_rows_at_once(self, context: Context) -> int:
        """How many rows to have under way."""
        if self.rows_at_once is not None:
            return self.rows_at_once(context)
        return context.model_of(self.name).concurrency


@dataclass(frozen=True, kw_only=True)
class Source(Each):
    """Begins a journey: `read` yields rows from outside, which are not stored, as a stream.

    `parent` is the field of the given rows that names the row they were read from. A source that a run has read to
    its end is not read again.
    """

    read: Callable[[Context], Iterator[Any]]
    parent: str


@dataclass(frozen=True, kw_only=True)
class Whole(Stage):
    """Compares rows: `decide` yields every row, kept or dropped. Made again from all rows whenever one may differ.

    `decide` runs in a thread; where it works long without taking a row, it calls `Context.go_on`, so that Ctrl-C
    ends it. `drops_too` names reasons: rows that the stage before dropped for them come in as well. Such drops hold all
    fields of a row.
    """

    decide: Callable[[Context, Rows], Iterator[Row | Dropped]]
    drops_too: Callable[[Context], Sequence[str]] = lambda context: ()


@dataclass(frozen=True, kw_only=True)
class Last(Stage):
    """Uses the rows of a journey for something that is no row, kept in the folder `output` of the run.

    `requires` are stages that must come earlier, `follows` stages that come earlier where the journey has them.
    `run` may return its result in one line. `made_from` names what only the finished rows tell; `is_complete` says
    whether `output` holds a result. With `rewritten`, every run writes `output` again in its place, and the earlier
    one is not kept.
    """

    run: Callable[[Context], Awaitable[str | None]]
    output: str
    made_from: Callable[[Context], Facts] = lambda context: {}
    is_complete: Callable[[Context], bool] = lambda context: False
    rewritten: bool = False
    requires: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
