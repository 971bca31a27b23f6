"""The row that travels: each stage's row holds all fields of the one before and adds its own.

    SourceFile → Seed → Concepts → Instruction → Response → Example
               a row of a data set → Imported ↗
                   ↘ any of them may become Dropped(reason, detail)

A stage of your own may add a type: a frozen dataclass that extends one of these. Later stages carry its fields on
(`grow`).

Rows only grow. A stage reads the row it is given and returns grown copies of it; no field is ever changed, so any
line of any file of a run tells its whole story. A row's id is the hash of what made it: its content or its parent's
id, the settings of the stage that change the result, and its number among its siblings. Random draws come from the
id alone, so a row's draws are the same in any order and on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints


def digest(*parts: object) -> str:
    """16 hex digits naming these parts (BLAKE2b, 64 bits: 5 million rows collide with probability below 1e-6)."""
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        text = str(part).encode("utf-8", "surrogatepass")
        state.update(len(text).to_bytes(8, "big"))
        state.update(text)
    return state.hexdigest()


def seed_of(row_id: str, purpose: str) -> int:
    """A number in [0, 2**31) drawn from a row's id, a different one for each purpose."""
    return int(digest(row_id, purpose), 16) & 0x7FFFFFFF


class Identified(Protocol):
    """What the run folder needs of a row that enters a stage."""

    @property
    def id(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A text to take seeds from; the only row that is not stored (its seeds hold what matters of it).

    `own`: its code is the user's, who may use it whatever its licence says.
    """

    id: str
    path: str
    text: bytes | str
    origin: str
    commit: str = ""
    licence: str = ""
    repository: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What all stored rows share: `id_field` names the field that this stage's row is known by."""

    id_field: ClassVar[str]

    @property
    def id(self) -> str:
        return getattr(self, self.id_field)

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The names of all fields, in order."""
        return _field_names(cls)

    def fields(self) -> dict[str, Any]:
        """All fields by name, as stored; nested values are plain lists."""
        return {name: getattr(self, name) for name in _field_names(type(self))}


@lru_cache
def _field_names(kind: type[Row]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed(Row):
    """A piece of code that begins a journey: by default a documented function that stands alone.

    `seed` is its code with what it needs in front: import lines, then definitions of its own file, whose names are
    `carried` and which are the `carried_lines` lines of `seed` from line `carried_start` (from 1; 0: none).
    `source_path` is relative to where it was found, `origin` names that place (package==version, repository, data
    set), `repository` the repository that a data set's row states, `licence` is an SPDX expression or "unknown",
    `source_id` the `SourceFile` it was read from. `seed_id` comes from the code alone: exact copies share it.
    `kind` is the value of `seeds.kind`; a commit has the code before it in `old_code`, and its `commit_message`.
    """

    id_field: ClassVar[str] = "seed_id"
    seed_id: str
    source_id: str
    seed: str
    function: str
    origin: str
    source_path: str
    source_line: int
    commit: str
    licence: str
    repository: str = ""
    kind: str = "functions"
    carried: list[str] = field(default_factory=list)
    carried_start: int = 0
    carried_lines: int = 0
    old_code: str = ""
    commit_message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concepts(Seed):
    """A seed and the programming concepts that the base model sees in it (empty for seed → instruction runs)."""

    id_field: ClassVar[str] = "concepts_id"
    concepts_id: str
    concepts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction(Concepts):
    """A new task made from the concepts: what kind was asked for, and the text the base model wrote."""

    id_field: ClassVar[str] = "instruction_id"
    instruction_id: str
    category: str
    language: str
    difficulty: str
    instruction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Instruction):
    """An instruction that a data set of others holds, with the response and the tests given there (each may be empty).

    Its `kind` is "imported", its `seed` is empty. `origin` names the data set, `commit` its revision on the hub,
    `given_id` the id of the row there. `seed_id` comes from the instruction alone, `instruction_id` from the origin,
    the given id and all given texts: rows of two data sets that share an id are told apart.
    """

    given_id: str
    given_response: str
    given_tests: str


#: The `kind` of imported rows.
IMPORTED = "imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Instruction):
    """One sampled answer with its own tests, and what happened when they were run.

    `sample` counts from 0 among the answers to one instruction. `status` is a `sandbox.Status` value ("not_run" where a
    recipe runs nothing), `seconds` wall time, `line` the line that ended the program (-1: none), `mutation_score`
    the share of mutants of the answer that the tests killed (NaN when not measured), `proof` "split" where the
    answer also passed in a process apart from its tests, else "shared", and empty where it did not pass;
    `killed_by_value` whether an assertion noticed other values of the same types (None when not measured, or when
    nothing plain reaches the tests). `completion` is what the model wrote; `response` and `tests` are its sections
    without what `repairs` names: thinking, special tokens, characters that nobody sees.

    With `execution.cross`: `siblings` has a word for each sample of the instruction, in order and this one included,
    that says how this answer ended against the tests of that sample ("" where nothing was run, see `stages.siblings`);
    `passes_siblings` is the share of the other samples' tests that it passes, `tests_pass` the share of the other
    answers that pass its tests, both of the runs that tell something; `agreement` the number of answers that pass
    exactly the tests that this one passes, times the number of those tests. Empty and NaN when not measured.
    """

    id_field: ClassVar[str] = "response_id"
    response_id: str
    sample: int
    completion: str
    response: str
    tests: str
    status: str
    error_type: str
    message: str
    line: int
    output: str
    seconds: float
    peak_memory_mib: float
    mutation_score: float
    killed_by_value: bool | None
    repairs: str
    proof: str
    siblings: list[str]
    passes_siblings: float
    tests_pass: float
    agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Example(Response):
    """A response chosen for the data set.

    `samples` answers were drawn for its instruction and `pass_rate` of them were verified (with an early stop both
    describe the draws until then; NaN where nothing was run). `user` and `assistant` are the two messages that a model
    is tuned on, where they say more or less than `instruction` and `response`; else they are empty.
    """

    samples: int
    pass_rate: float
    user: str = ""
    assistant: str = ""

    def messages(self) -> tuple[str, str]:
        """What the user says and what the model answers."""
        return self.user or self.instruction, self.assistant or self.response


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A row that goes no further: the last row it was, the reason (a short fixed word), and what was seen.

    `parent` is the id of the row that entered the stage; several drops can have one parent.
    """

    parent: str
    reason: str
    detail: str
    row: dict[str, Any]

    @property
    def id(self) -> str:
        """The parent's, so that a source file that could not be read enters a stage like any other."""
        return self.parent


R = TypeVar("R", bound=Row)


def grow(row: Row, kind: type[R], **own: Any) -> R:
    """A row of the type `kind` that holds all of `row` and its `own` fields."""
    return extended(kind, type(row))(**row.fields(), **own)


@lru_cache
def extended(kind: type[R], given: type[Row]) -> type[R]:
    """The type `kind`, with the fields that `given` has besides: what becomes of `given` rows in a stage of `kind`s."""
    hints = get_type_hints(given)
    added = [(name, hints[name]) for name in given.field_names() if name not in kind.field_names()]
    if not added:
        return kind
    # Without `__reduce__` other processes would look for the type by its name, and find `kind`.
    namespace = {"__module__": kind.__module__, "__reduce__": lambda row: (_restore, (kind, given, row.fields()))}
    return make_dataclass(
        kind.__name__, added, bases=(kind,), namespace=namespace, frozen=True, slots=True, kw_only=True
    )


def _restore(kind: type[Row], given: type[Row], values: dict[str, Any]) -> Row:
    return extended(kind, given)(**values)


def without_concepts(seed: Seed, made_by: str) -> Concepts:
    """A seed of which no stage has named concepts has none; one that has some is returned unchanged. `made_by` is part
    of the id."""
    if isinstance(seed, Concepts):
        return seed
    return grow(seed, Concepts, concepts_id=digest(seed.id, made_by), concepts=[])


def holds(given: type[Row], wanted: type[Row]) -> bool:
    """Whether rows of the type `given` have all the fields of the type `wanted`."""
    return set(wanted.field_names()) <= set(given.field_names())


#: What a stage makes of one row.
Outcome = Sequence[R | Dropped]


#: What rows are called in reports, by the field of their id, and what is looked at to make them, by `seeds.kind`.
_UNITS = {"source_id": "files", "concepts_id": "concept lists", "start_instruction_id": "instructions"}
_CANDIDATES = {"functions": "functions", "lines": "windows", "commits": "commits"}
#: What seeds or instructions were taken out of, by their kind, if not out of files.
_OUTSIDE = {"commits": "commits", IMPORTED: "rows"}


def unit_of(id_field: str, *, candidates: bool = False, kind: str = "functions") -> str:
    """What rows with this id are called, or the `candidates` for such rows, kept and dropped ones together.

    `kind` is that of the seeds, which are taken out of files or out of commits, or of imported rows.

    >>> unit_of("response_id"), unit_of("seed_id", candidates=True), unit_of("source_id", kind="commits")
    ('responses', 'functions', 'commits')
    """
    if candidates and id_field == "seed_id":
        return _CANDIDATES.get(kind, "functions")
    if id_field == "source_id" and kind in _OUTSIDE:
        return _OUTSIDE[kind]
    return _UNITS.get(id_field) or f"{id_field.removesuffix('_id')}s"


@dataclass(frozen=True, slots=True)
class Books:
    """The account of a stage: parents that entered, rows that were kept, drops by reason."""

    entered: int
    kept: int
    dropped: dict[str, int] = field(default_factory=dict)

    def summary(self, came: str = "", stayed: str = "") -> str:
        """The account in one line, with the units of what came in and of what was kept.

        >>> Books(3, 2, {"failed": 1}).summary()
        '3 in, 2 kept; dropped: failed 1'
        >>> Books(3, 40).summary("files", "seeds")
        '3 files in, 40 seeds kept'
        """
        drops = ", ".join(f"{reason} {count}" for reason, count in self.dropped.items())
        entered, kept = (f"{number} {unit}".strip() for number, unit in ((self.entered, came), (self.kept, stayed)))
        return f"{entered} in, {kept} kept" + (f"; dropped: {drops}" if drops else "")
