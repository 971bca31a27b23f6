"""Responses → examples: which of them become the data set, each rule a named filter with its own count.

In this order, a row being dropped by the first filter that wants it:

    marked_drop            a person has marked the answer, or what it was made from, to be dropped
    later_sample           not among the first answers to its instruction, where only those count
    unfinished             the answer says that something is left to do
    long_instruction       more words than a task should have
    only_code, repeated, prompt_markup    the instruction is no task (see `find_fault`)
    echo                   instruction or response holds a sentence of a worked example
    no_split_proof         it passed only in one process with its tests, or was never run, and the settings ask for more
    weak_tests             its tests kill too few mutants of the answer
    one_per_instruction    another answer to the same instruction was drawn
    same_instruction       another row's instruction, white space aside
    same_response          another row's response, white space aside
    same_names             another row's answer defines exactly these names
    near_instruction, near_response, near_code    MinHash near-duplicates
    contaminated           instruction, response or tests hold a benchmark task

Rows come in the order of their ids, which are hashes: "the first one stays" is a uniform draw, the same one in every
run. Answers that people have marked to be kept come before all others, and only `later_sample` and `contaminated` drop
them (`stages.marked`).

With `selection.answers` other than "passed", answers that did not pass come in, too; one answer to each instruction is
drawn before anything else (`stages.answers`), and `no_split_proof` and `weak_tests` are asked of those that passed
alone. With `selection.choose = "agreement"` it is the answer that agrees most with its siblings (`stages.siblings`).
The paper draws one response per instruction last; drawing it before rows are compared keeps two answers to one
instruction from being taken for copies of each other.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.curation.contamination import Decontaminator
from selfcodealign.curation.near_duplicates import Pulse, near_duplicates, no_pulse
from selfcodealign.fences import extract_python
from selfcodealign.generation.echo import Echo
from selfcodealign.judging.stored import NOT_RUN
from selfcodealign.models import FAILED_REASONS
from selfcodealign.rows import Dropped, Example, Instruction, Response, digest, grow
from selfcodealign.run_folder.marks import HONOURED, MARKED_DROP, MARKS, digest_marks
from selfcodealign.settings import PLAIN_PARTS, SelectionSettings
from selfcodealign.stages import Rows, Whole
from selfcodealign.stages.answers import NONE_FAILED, NOT_PASSED, check_answers, draw_answers
from selfcodealign.stages.context import Context
from selfcodealign.stages.faults import Faults
from selfcodealign.stages.marked import NO_LABELS, Labels
from selfcodealign.stages.messages import Messages
from selfcodealign.stages.watch import Watch

#: Why an answer goes that was drawn after those that count.
LATER = "later_sample"
#: Of one instruction: answers drawn, answers verified.
Tally = Mapping[str, tuple[int, int]]


def select_examples(
    rows: Callable[[], Iterable[Response]],
    tally: Tally,
    settings: SelectionSettings,
    decontaminator: Decontaminator | None,
    echo: Echo | None = None,
    *,
    messages: Messages | None = None,
    labels: Labels = NO_LABELS,
    folder: Path | None = None,
    pulse: Pulse = no_pulse,
) -> Iterator[Example | Dropped]:
    """Yield every row as an example or with the reason why not. `rows` gives all of them, in the same order each time.
    `messages` writes what a model is tuned on (None: by the settings, for answers of response and tests). `labels` are
    those of people's marks, `folder` and `pulse` those of `near_duplicates`.

    Every filter is a pass over the rows that are left, so no more than hashes and signatures is held in memory.
    """
    first = settings.first_samples
    gone: dict[str, tuple[str, str]] = {}
    if labels:
        gone = {row.id: why for row in rows() if (why := labels.drop(row))}
    if first:
        gone |= {row.id: (LATER, str(row.sample)) for row in rows() if row.sample >= first and row.id not in gone}
    messages = messages or Messages(settings)
    faults = Faults(settings, echo, messages, labels)

    def left() -> Iterator[Response]:
        return (row for row in rows() if row.id not in gone)

    if settings.answers != "passed":
        drawn = draw_answers(left, settings.answers, labels.keep_answer)
        gone.update({row.id: why for row in left() if (why := _not_drawn(row, drawn))})
    one_by_one = _Comparison(settings, faults, {} if settings.choose == "random" else _strongest(left, faults))
    gone.update({row.id: why for row in labels.first(left) if (why := one_by_one.drop(row))})
    for part in settings.near_dedup:
        stays = labels.keep_task if part == "instruction" else labels.keep_answer
        near = near_duplicates(
            ((row.id, TEXTS[part](row)) for row in labels.first(left) if not stays(row)),
            earlier=((row.id, TEXTS[part](row)) for row in left() if stays(row)) if labels else (),
            jaccard=settings.jaccard,
            permutations=settings.permutations,
            ngram=settings.ngram,
            folder=folder,
            pulse=pulse,
        )
        gone.update({one.row_id: (f"near_{part}", f"{one.kept_id} ({one.similarity:.2f})") for one in near})
    if decontaminator is not None:
        for row in left():
            texts = (row.instruction, row.response, row.tests, *messages.prose(row).values())
            found = decontaminator.find("\n".join(texts))
            if found:
                gone[row.id] = ("contaminated", str(found))
    for row in rows():
        if row.id in gone:
            reason, detail = gone[row.id]
            yield Dropped(parent=row.id, reason=reason, detail=detail, row=row.fields())
        else:
            samples, verified = tally[row.instruction_id]
            # Where nothing was run, nothing is known of how many would have passed.
            pass_rate = math.nan if row.status == NOT_RUN else verified / samples
            yield grow(row, Example, samples=samples, pass_rate=pass_rate, **messages.of(row))


def _not_drawn(row: Response, drawn: Mapping[str, str]) -> tuple[str, str] | None:
    if row.instruction_id not in drawn:
        return NONE_FAILED, ""
    return None if drawn[row.instruction_id] == row.id else ("one_per_instruction", row.instruction_id)


TEXTS: dict[str, Callable[[Response], str]] = {
    "instruction": lambda row: row.instruction,
    "response": lambda row: row.response,
    "code": lambda row: extract_python(row.response),
}


@dataclass
class _Comparison:
    """The filters that need no more than the row and what was kept before it.

    `chosen`: the one answer to an instruction that may stay, where agreement chooses it.
    """

    settings: SelectionSettings
    faults: Faults
    chosen: Mapping[str, str]
    instructions_answered: set[str] = field(default_factory=set)
    first: dict[tuple[str, str], str] = field(default_factory=dict)

    def drop(self, row: Response) -> tuple[str, str] | None:
        """Reason and detail, or None for a row that stays (so far)."""
        if fault := self.faults.find(row):
            return fault
        labels = self.faults.labels
        wanted = labels.keep_answer(row)
        answered = row.instruction_id in self.instructions_answered
        if not wanted and (answered or self.chosen.get(row.instruction_id, row.id) != row.id):
            return "one_per_instruction", row.instruction_id
        comparisons = {"same_instruction": _squeeze(row.instruction), "same_response": _squeeze(row.response)}
        names = defined_names(extract_python(row.response)) if self.settings.same_names else []
        if names:
            comparisons["same_names"] = " ".join(names)
        keys = {reason: (reason, digest(value)) for reason, value in comparisons.items()}
        for reason, key in keys.items():
            exempt = wanted or (reason == "same_instruction" and labels.keep_task(row))
            if key in self.first and not exempt:
                return reason, self.first[key]
        self.first.update(dict.fromkeys(keys.values(), row.id))
        self.instructions_answered.add(row.instruction_id)
        return None


def _strongest(rows: Callable[[], Iterable[Response]], faults: Faults) -> dict[str, str]:
    """Return for each instruction the answer without a fault that agrees most; the first of several."""
    found: dict[str, tuple[float, str]] = {}
    for row in rows():
        # A row of a stage that measured nothing comes last.
        agreement = -1.0 if math.isnan(row.agreement) else row.agreement
        best = found.get(row.instruction_id)
        if (best is None or agreement > best[0]) and not faults.find(row):
            found[row.instruction_id] = agreement, row.id
    return {instruction: row_id for instruction, (_, row_id) in found.items()}


def defined_names(code: str) -> list[str]:
    """The functions and classes that code defines at its top level, sorted; none for code that does not parse."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return sorted({node.name for node in tree.body if isinstance(node, kinds)})


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _check(context: Context) -> Iterator[str]:
    """Settings that ask for what the earlier settings leave out: found here, and not by rows that are all dropped."""
    recipe = context.recipe
    wanted, execution = recipe.selection, recipe.execution
    yield from check_answers(context)
    if wanted.proof == "split" and not execution.split:
        yield (
            'selection.proof = "split" would drop every answer, because execution.split = false gives none that proof: '
            'set execution.split = true, or selection.proof = "any"'
        )
    if wanted.choose != "agreement":
        return
    if not execution.cross:
        yield (
            'selection.choose = "agreement" needs the matrix of siblings: set execution.cross = true, or '
            'selection.choose = "random"'
        )
    if recipe.responses.stop_after_passes == 1 or recipe.responses.samples == 1:
        setting = "stop_after_passes" if recipe.responses.stop_after_passes == 1 else "samples"
        yield (
            'selection.choose = "agreement" has one verified answer at most to choose from, because '
            f"responses.{setting} = 1: set responses.stop_after_passes = 0 and several samples, or "
            'selection.choose = "random"'
        )


def _parts(context: Context) -> Sequence[str]:
    """The parts of the answers that this run's model wrote."""
    return context.recipe.responses.parts if "responses" in context.places else PLAIN_PARTS


def _decided_by(context: Context) -> dict[str, Any]:
    decided = {**context.deciding("selection"), **context.benchmarks(), "few-shot texts": context.few_shot.digest}
    labels = digest_marks(context.marks)
    return {**decided, MARKS: labels} if labels else decided


def _decide(context: Context, rows: Rows) -> Iterator[Example | Dropped]:
    answers = context.folder.making(Response)
    assert answers is not None
    with context.folder.connect() as connection:
        # A request that failed gave no answer that could pass.
        first = context.recipe.selection.first_samples
        below = ("sample", first) if first else None
        tally = answers.shards.tally(connection, Instruction.id_field, without=FAILED_REASONS, below=below)
    if "decontamination" not in context.places:
        _ = context.kept_benchmarks
    labels = Labels(context.marks)
    honoured = dict.fromkeys(("dropped", "kept"), 0) if labels else {}
    examples = context.few_shot.examples
    echo = Echo("\n".join((one.instruction, one.response, one.reasoning, one.explanation)) for one in examples)
    watch = Watch(context, "selection")
    for row in select_examples(
        rows,
        tally,
        context.recipe.selection,
        context.decontaminator,
        echo,
        messages=Messages(context.recipe.selection, _parts(context)),
        labels=labels,
        folder=context.folder.path,
        pulse=watch,
    ):
        if isinstance(row, Dropped):
            honoured |= {"dropped": honoured["dropped"] + 1} if row.reason == MARKED_DROP else {}
        elif labels.keep_task(row):
            honoured["kept"] += 1
        yield row
    if honoured or context.folder.facts().get(HONOURED):
        context.folder.record({HONOURED: honoured})
    watch.end()


SELECTION = Whole(
    name="selection",
    takes=Response,
    gives=Example,
    settings=SelectionSettings,
    columns=("instruction", "category", "difficulty", "status", "mutation_score", "proof", "pass_rate", "samples"),
    check=_check,
    decided_by=_decided_by,
    decide=_decide,
    drops_too=lambda context: NOT_PASSED if context.recipe.selection.answers != "passed" else (),
)
