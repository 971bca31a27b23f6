"""The selection filters: what each filter drops, and near misses that stay."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from selfcodealign.benchmarks.texts import BenchmarkTexts, TaskTexts
from selfcodealign.curation.contamination import Decontaminator
from selfcodealign.generation.echo import Echo
from selfcodealign.rows import Dropped, Example, Response
from selfcodealign.run_folder.marks import Label, Mark
from selfcodealign.settings import SelectionSettings
from selfcodealign.stages import selection
from selfcodealign.stages.marked import Labels
from selfcodealign.stages.selection import defined_names, select_examples
from tests.support.rows import make_response, store_and_sort

#: The measured share of mutants that the tests kill, and the least of it that a recipe asks for.
SCORE, MIN_SCORE = "mutation_score", "min_mutation_score"
TASK = "Count the valleys that a hiker walks through on a path."
ECHO = Echo(["Sum up the wages that every baker in the list was paid this year."])
BENCHMARK = Decontaminator([BenchmarkTexts("own", "1", [TaskTexts("Own/0", [[TASK]])])])
#: A sentence of a worked example, and how an echo of it is told.
WORKED = "Sum up the wages that every baker in the list was paid this year."
WORKED_PLAIN = "sum up the wages that every baker in the list was paid this year"
#: The id of the row before the one that a filter looks at; in the details below it is a pattern.
FIRST = make_response(1).id

Changes = Mapping[str, Any]


def select(*rows: Response, **settings: Any) -> dict[str, Example | Dropped]:
    """The outcome of each row by its id, under the shipped settings with these changes; `marks` are labels by id."""
    marks: Mapping[str, Label] = settings.pop("marks", {})
    asked = SelectionSettings().model_copy(update=settings)
    tally = {row.instruction_id: (4, 3) for row in rows}
    labels = Labels({row: Mark(row, label, "wrong", "ada") for row, label in marks.items()})
    outcomes = list(select_examples(lambda: rows, tally, asked, BENCHMARK, ECHO, labels=labels))
    assert [one.parent if isinstance(one, Dropped) else one.id for one in outcomes] == [row.id for row in rows]
    return {row.id: outcome for row, outcome in zip(rows, outcomes, strict=True)}


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def words(start: int, stop: int) -> str:
    """Text whose overlap with other such text is that of their numbers."""
    return " ".join(f"word{number}" for number in range(start, stop))


def steps(name: str, start: int, stop: int) -> str:
    """A function of one step a line."""
    return f"def {name}():\n" + "\n".join(f"    step_{number} = {number}" for number in range(start, stop))


@dataclass(frozen=True)
class Filter:
    """The effect of a filter on the second of two rows.

    `first` and the others are what the rows have of their own. `drops` are variants of the second row that must go,
    each with a pattern of the drop's detail; `keeps` are near misses that must stay, and `settings` hold for all.
    """

    reason: str
    drops: Sequence[tuple[Changes, str]]
    keeps: Sequence[Changes]
    first: Changes = field(default_factory=dict)
    settings: Changes = field(default_factory=dict)


FILTERS = (
    Filter(
        "marked_drop",
        settings={"marks": {make_response(2).id: "drop"}},
        drops=[({}, "wrong; by ada"), ({"response": "# todo"}, "wrong; by ada")],
        keeps=[],
    ),
    Filter(
        "marked_drop",
        settings={"marks": {"0a": "drop", "0b": "", "0c": "keep"}},
        drops=[
            ({"instruction_id": "0a"}, "instruction 0a; wrong; by ada"),
            ({"concepts_id": "0a"}, "concepts 0a; wrong; by ada"),
            ({"seed_id": "0a"}, "seed 0a; wrong; by ada"),
            ({"instruction_id": "0a", "seed_id": "0c"}, "instruction 0a; wrong; by ada"),
        ],
        keeps=[
            {"instruction_id": "0b"},
            {"instruction_id": "0d"},
            {"instruction_id": "0c", "seed_id": "0a"},  # what is nearer to the answer holds
        ],
    ),
    Filter(
        "later_sample",
        drops=[({"sample": 2}, "2"), ({"sample": 7}, "7")],
        keeps=[{"sample": 0}, {"sample": 1}],
        settings={"first_samples": 2},
    ),
    Filter(
        "unfinished",
        drops=[
            ({"response": fenced("def f(): ...  # ToDo: the rest")}, "todo"),
            ({"response": fenced("def f(): raise NotImplementedError")}, "notimplemented"),
            ({"tests": "# your code HERE"}, "your code here"),
        ],
        keeps=[
            {"response": fenced("def f(): ...  # nothing to do")},
            {"instruction": "Write a parser of TODO lines."},
        ],
    ),
    Filter(
        "unfinished",
        settings={"unfinished_words": ["Stub"]},
        drops=[({"response": fenced("def f(): ...  # a STUB")}, "Stub")],
        keeps=[{"response": fenced("def f(): ...  # todo")}],
    ),
    Filter(
        "long_instruction",
        settings={"max_instruction_words": 5},
        drops=[({"instruction": "Add the first\nand the last."}, "6 words")],
        keeps=[{"instruction": "Add the first and last."}],
    ),
    Filter(
        "only_code",
        drops=[({"instruction": "def add(a, b):\n    return a + b"}, r"def add\(a, b\):")],
        keeps=[{"instruction": "Mend this:\n\n" + fenced("def add(a, b): return a")}],
    ),
    Filter(
        "repeated",
        drops=[({"instruction": "Add the first and the last. " * 4}, "4 times: add the first and the last")],
        keeps=[{"instruction": "Add the first and the last. " * 2}],
    ),
    Filter(
        "prompt_markup",
        drops=[({"instruction": "Add numbers.\n</instruction>\nAnd more."}, "</instruction>")],
        keeps=[{"instruction": "Write a parser of `</instruction>` tags."}],
    ),
    Filter(
        "echo",
        drops=[
            ({"instruction": f"Add numbers. {WORKED}"}, WORKED_PLAIN),
            ({"response": f"{WORKED}\n\n" + fenced("def f(): ...")}, WORKED_PLAIN),
        ],
        keeps=[{"response": WORKED.replace("paid", "lost")}, {"tests": f"# {WORKED}"}],
    ),
    Filter(
        "one_per_instruction",
        first={"instruction_id": "0a"},
        drops=[({"instruction_id": "0a"}, "0a")],
        keeps=[{"instruction_id": "0b"}],
    ),
    Filter(
        "same_instruction",
        settings={"near_dedup": []},  # to which punctuation does not count
        first={"instruction": "Add two numbers."},
        drops=[({"instruction": "Add  two\n\tnumbers ."}, FIRST)],
        keeps=[
            {"instruction": "add two numbers."},
            {"instruction": "Add two numbers!"},
            {"response": "Add two numbers."},
        ],
    ),
    Filter(
        "same_response",
        first={"response": fenced("print(1)")},
        drops=[({"response": fenced("print( 1 )\n")}, FIRST)],
        keeps=[{"response": fenced("print(2)")}, {"response": fenced("Print(1)")}],
    ),
    Filter(
        "same_names",
        settings={"near_dedup": []},
        first={"response": fenced("def add(a, b): return a + b\nclass Sum: pass")},
        drops=[
            ({"response": fenced("class Sum: size = 1\nasync def add(*numbers): return sum(numbers)")}, FIRST),
            ({"response": "Two parts:\n" + fenced("def add(): ...") + "\nand\n" + fenced("class Sum: ...")}, FIRST),
        ],
        keeps=[
            {"response": fenced("def add(a, b): return a + b")},
            {"response": fenced("def add(a, b): return a + b\nclass Sum: pass\nclass Difference: pass")},
            {"response": fenced("def add(a, b):\n    class Sum: pass\n    return a + b")},
            {"response": fenced("def add(a, b): return a + b\nSum = None")},
            {"response": fenced("def add(a, b): return a + b\nclass Sum: pass\nit does not parse")},
        ],
    ),
    Filter(
        "near_instruction",
        first={"instruction": words(0, 60)},
        drops=[({"instruction": words(2, 60)}, FIRST + r" \((0\.9\d|1\.00)\)")],
        keeps=[{"instruction": words(20, 80)}],
    ),
    Filter(
        "near_response",
        first={"response": words(0, 60) + fenced("def f(): ...")},
        drops=[({"response": words(2, 60) + fenced("def g(): ...")}, FIRST + r" \(0\.[789]\d\)")],
        keeps=[{"response": words(20, 80) + fenced("def g(): ...")}],
    ),
    Filter(
        "near_code",
        first={"response": words(0, 60) + "\n" + fenced(steps("f", 0, 20))},
        drops=[({"response": words(100, 160) + "\n" + fenced(steps("g", 0, 20))}, FIRST + r" \(0\.[789]\d\)")],
        keeps=[{"response": words(100, 160) + "\n" + fenced(steps("g", 8, 28))}],
    ),
    Filter(
        "contaminated",
        drops=[
            ({"instruction": f"Please: {TASK.upper()}"}, r"text: own Own/0; .*"),
            ({"response": f"# {TASK}"}, r"text: own Own/0; .*"),
            ({"tests": TASK.replace(" ", "\n")}, r"text: own Own/0; .*"),
        ],
        keeps=[{"instruction": "Count the peaks that a hiker sees from a path."}, {"completion": TASK}],
    ),
    Filter(
        "no_split_proof",
        settings={"proof": "split"},
        drops=[({"proof": proof}, proof) for proof in ("shared", "")],
        keeps=[{"proof": "split"}],
        first={"proof": "split"},
    ),
    Filter(
        "weak_tests",
        settings={MIN_SCORE: 0.5},
        drops=[({SCORE: score}, f"{score:.2f} of the mutants killed") for score in (0.0, 0.49)],
        keeps=[{SCORE: score} for score in (0.5, math.nan)],  # NaN: not measured
    ),
)
DROPS = [
    pytest.param(one, changes, detail, id=f"{one.reason}: {', '.join(changes)}")
    for one in FILTERS
    for changes, detail in one.drops
]
KEEPS = [
    pytest.param(one, changes, id=f"{one.reason}: {', '.join(changes)}") for one in FILTERS for changes in one.keeps
]


@pytest.mark.parametrize(("one", "changes", "detail"), DROPS)
def test_a_filter_drops_what_it_is_for(one: Filter, changes: Changes, detail: str) -> None:
    """The row is dropped with the filter's reason, a detail and its fields; the row before it stays."""
    first, second = make_response(1, **one.first), make_response(2, **changes)
    outcomes = select(first, second, **one.settings)
    dropped = outcomes[second.id]
    assert isinstance(outcomes[first.id], Example)
    assert isinstance(dropped, Dropped)
    assert dropped.reason == one.reason
    assert re.fullmatch(detail, dropped.detail), dropped.detail
    assert dropped.row == second.fields()


@pytest.mark.parametrize(("one", "changes"), KEEPS)
def test_a_filter_keeps_what_only_looks_like_it(one: Filter, changes: Changes) -> None:
    """A near miss becomes an example, and so does the row before it."""
    outcomes = select(make_response(1, **one.first), make_response(2, **changes), **one.settings)
    assert all(isinstance(outcome, Example) for outcome in outcomes.values()), outcomes


#: The filters that look at what the task is like, and those that a mark to keep an answer does not pass.
TASK_FILTERS = ("long_instruction", "only_code", "repeated", "prompt_markup", "same_instruction", "near_instruction")
PAST_MARKS = ("marked_drop", "later_sample", "contaminated")


@pytest.mark.parametrize(("one", "changes", "detail"), DROPS)
def test_an_answer_that_is_marked_to_stay_stays(one: Filter, changes: Changes, detail: str) -> None:
    """No filter of quality and no comparison drops it; where one of two had to go, it is the other one."""
    first, second = make_response(1, **one.first), make_response(2, **changes)
    settings = {**one.settings, "marks": {**one.settings.get("marks", {}), second.id: "keep"}}
    outcomes = select(first, second, **settings)
    if one.reason in PAST_MARKS:
        assert isinstance(outcomes[second.id], Dropped) is (one.reason != "marked_drop")
        return
    assert isinstance(outcomes[second.id], Example)
    other = outcomes[first.id]
    compares = one.reason.startswith(("one_", "same_", "near_"))
    assert (other.reason if isinstance(other, Dropped) else "") == (one.reason if compares else "")


@pytest.mark.parametrize(("one", "changes", "detail"), DROPS)
def test_a_task_that_is_marked_to_stay_passes_the_filters_of_tasks_alone(
    one: Filter, changes: Changes, detail: str
) -> None:
    """What is asked of an answer is asked of its answers, too."""
    if one.reason in ("marked_drop", "one_per_instruction"):
        return
    second = make_response(2, **{"instruction_id": "0e", **changes})
    outcomes = select(make_response(1, **one.first), second, marks={"0e": "keep"}, **one.settings)
    of_task = one.reason in TASK_FILTERS or (one.reason == "echo" and "instruction" in changes)
    # Its answer comes before the others, so of two copies the other one goes.
    compares = one.reason.startswith(("same_", "near_"))
    assert isinstance(outcomes[second.id], Example) is (of_task or compares)


def test_all_answers_that_are_marked_to_stay_stay() -> None:
    """Several to one instruction, and copies of each other, too: each was asked for."""
    rows = [make_response(number, instruction_id="0a", response=fenced("print(1)")) for number in range(4)]
    outcomes = select(*rows, marks={rows[1].id: "keep", rows[3].id: "keep"})
    assert [isinstance(outcome, Example) for outcome in outcomes.values()] == [False, True, False, True]


def test_of_answers_that_may_be_drawn_the_marked_one_is() -> None:
    """A mark does not change which verdicts a recipe asks for."""
    statuses = ("passed", "failed", "passed", "failed")
    rows = [make_response(n, instruction_id="0a", sample=n, status=status) for n, status in enumerate(statuses)]

    def drawn(answers: str, marked: int) -> list[int]:
        outcomes = select(*rows, marks={rows[marked].id: "keep"}, answers=answers, proof="any", near_dedup=[])
        return [number for number, row in enumerate(rows) if isinstance(outcomes[row.id], Example)]

    assert (drawn("random", 3), drawn("failed", 3), drawn("failed", 2)) == ([3], [3], [1])
    assert (drawn("passed_else_any", 2), drawn("passed_else_any", 3)) == ([2], [0])


def test_every_filter_that_the_module_names_is_in_the_table() -> None:
    """Every reason needs a row that it drops and a row that it keeps."""
    dropping, keeping = ({one.reason for one in FILTERS if getattr(one, what)} for what in ("drops", "keeps"))
    assert named_filters() <= dropping & keeping
    assert len(named_filters()) == 18


def named_filters() -> set[str]:
    lines = [line for line in (selection.__doc__ or "").splitlines() if line.startswith("    ")]
    return {name for line in lines for name in line.strip().partition("  ")[0].split(", ")}


def test_a_row_is_dropped_by_the_first_filter_that_wants_it() -> None:
    """A row with every fault: as faults are removed one by one, the reasons appear in the documented order."""
    first = make_response(1, instruction=words(0, 60), response=words(0, 90) + "\n" + fenced(steps("f", 0, 40)))
    row = {"response": first.response, "instruction": words(0, 300), "tests": f"# todo\n{TASK}", SCORE: 0.1}
    mended: Sequence[tuple[Changes, str]] = (
        ({"instruction_id": first.instruction_id}, "unfinished"),
        ({"tests": TASK}, "long_instruction"),
        ({"instruction": first.instruction}, "weak_tests"),
        ({SCORE: 1.0}, "one_per_instruction"),
        ({"instruction_id": "02"}, "same_instruction"),
        ({"instruction": words(2, 60)}, "same_response"),
        ({"response": words(0, 90) + "\n" + fenced(steps("f", 2, 40))}, "same_names"),
        ({"response": words(0, 90) + "\n" + fenced(steps("g", 2, 40))}, "near_instruction"),
        ({"instruction": words(60, 120)}, "near_response"),
        ({"response": words(90, 180) + "\n" + fenced(steps("g", 2, 40))}, "near_code"),
        ({"response": "I do not know."}, "contaminated"),
    )
    for change, reason in mended:
        row |= change
        second = make_response(2, **row)
        outcome = select(first, second, **{MIN_SCORE: 0.5})[second.id]
        assert isinstance(outcome, Dropped), reason
        assert outcome.reason == reason
    assert isinstance(select(first, make_response(2, **row | {"tests": ""}))["0000000000000002"], Example)


@pytest.mark.parametrize(
    ("settings", "first", "second"),
    [
        ({"same_names": False}, {"response": fenced("def f(): return 1")}, {"response": fenced("def f(): return 22")}),
        ({"near_dedup": ["code"]}, {"instruction": words(0, 60)}, {"instruction": words(1, 60)}),
        ({"jaccard": 1.0}, {"instruction": words(0, 60)}, {"instruction": words(5, 60)}),
        ({"unfinished_words": []}, {}, {"tests": "# TODO"}),
    ],
)
def test_a_filter_that_is_off_drops_nothing(settings: Changes, first: Changes, second: Changes) -> None:
    """A row that the shipped settings drop stays if the recipe turns the filter off."""
    rows = make_response(1, **first), make_response(2, **second)
    assert isinstance(select(*rows)[rows[1].id], Dropped)
    assert isinstance(select(*rows, **settings)[rows[1].id], Example)


def test_without_benchmarks_nothing_is_contaminated() -> None:
    """No decontaminator, no comparison."""
    row = make_response(1, instruction=TASK)
    (outcome,) = select_examples(lambda: [row], {row.instruction_id: (1, 1)}, SelectionSettings(), None)
    assert isinstance(outcome, Example)


def test_an_answer_that_is_dropped_for_itself_leaves_its_instruction_to_the_next() -> None:
    """One response per instruction is drawn among those that the earlier filters keep."""
    same = {"instruction_id": "0a", "instruction": "Add."}
    rows = [make_response(1, tests="# todo", **same), make_response(2, **same), make_response(3, **same)]
    outcomes = [one.reason if isinstance(one, Dropped) else "kept" for one in select(*rows).values()]
    assert outcomes == ["unfinished", "kept", "one_per_instruction"]


def test_an_example_is_the_row_and_how_hard_its_task_was() -> None:
    """All fields are unchanged; the tally gives the number of samples and the share that was verified."""
    row = make_response(1)
    (example,) = select_examples(lambda: [row], {row.instruction_id: (8, 2)}, SelectionSettings(), None)
    assert isinstance(example, Example)
    own = {"samples": 8, "pass_rate": 0.25, "user": "", "assistant": ""}
    assert example.fields() == row.fields() | own


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def b(): ...\nclass A: ...\nasync def c(): ...", ["A", "b", "c"]),
        ("def a(): ...\ndef a(): ...", ["a"]),
        ("if True:\n    def a(): ...\nb = lambda: 1", []),
        ("def a(:", []),
        ("\0", []),
        ("", []),
    ],
)
def test_defined_names_are_those_of_the_top_level(code: str, names: list[str]) -> None:
    """Sorted, each once; code that does not parse defines nothing."""
    assert defined_names(code) == names


@st.composite
def many_responses(draw: st.DrawFn) -> list[Response]:
    """Rows that often have the same instruction, response or names as others, or nearly so, or a fault."""
    near = st.integers(0, 6).map(lambda start: words(3 * start, 3 * start + 40))
    name, first_step = st.sampled_from("fgh"), st.integers(0, 6)
    code = st.builds(lambda name, start: fenced(steps(name, start, start + 20)), name, first_step)
    changes = st.fixed_dictionaries(
        {
            "instruction_id": st.integers(1, 8).map("{:016x}".format),
            "instruction": near | st.sampled_from(["Add.", "A d d.", "Sort.", TASK]),
            "response": code | near | st.sampled_from(["1", "def f(): ...", "# fixme"]),
            "tests": st.sampled_from(["", "", "# TODO", TASK]),
            SCORE: st.sampled_from([0.0, 0.5, 1.0, math.nan]),
        }
    )
    return [make_response(number, **one) for number, one in enumerate(draw(st.lists(changes, max_size=10)))]


STRICT = {MIN_SCORE: 0.5, "permutations": 64}


def told(outcomes: Mapping[str, Example | Dropped]) -> dict[str, str]:
    return {key: f"{one.reason} {one.detail}" if isinstance(one, Dropped) else "kept" for key, one in outcomes.items()}


@hypothesis_settings(max_examples=20, deadline=None)
@given(rows=many_responses(), data=st.data())
def test_ids_decide_and_not_the_order_in_which_rows_were_made(rows: list[Response], data: st.DataObject) -> None:
    """Stored in any order and read back as the engine reads them, the same rows have the same outcomes."""
    made = data.draw(st.permutations(rows))
    assert told(select(*store_and_sort(made, Response, "instruction_id"), **STRICT)) == told(select(*rows, **STRICT))


@hypothesis_settings(max_examples=50, deadline=None)
@given(rows=many_responses())
def test_a_second_selection_keeps_all_that_the_first_kept(rows: list[Response]) -> None:
    """A second selection drops none of the kept rows."""
    outcomes = select(*rows, **STRICT)
    kept = [row for row in rows if isinstance(outcomes[row.id], Example)]
    assert set(told(select(*kept, **STRICT)).values()) <= {"kept"}


@hypothesis_settings(max_examples=50, deadline=None)
@given(rows=many_responses())
def test_a_drop_names_an_earlier_row(rows: list[Response]) -> None:
    """Of two similar rows the first stays, so a drop names a smaller id."""
    for row_id, outcome in select(*rows, **STRICT).items():
        if isinstance(outcome, Dropped) and outcome.reason.startswith(("same_", "near_")):
            assert outcome.detail.partition(" ")[0] < row_id


def choice(*agreements: float, **settings: Any) -> list[int]:
    """Which of several answers to one instruction stay, by their places."""
    rows = [
        make_response(number, instruction_id="0a", instruction="Add.", agreement=one)
        for number, one in enumerate(agreements)
    ]
    outcomes = select(*rows, choose="agreement", **settings)
    return [place for place, row in enumerate(rows) if isinstance(outcomes[row.id], Example)]


def test_agreement_chooses_among_the_answers_to_an_instruction() -> None:
    """The strongest, the first of equals; one that was not compared comes last, and chance looks at none of it."""
    assert choice(2.0, 6.0, 6.0, 1.0) == [1]
    assert choice(math.nan, 0.0) == [1]
    assert choice(math.nan, math.nan) == [0]
    rows = [make_response(number, instruction_id="0a", agreement=float(number)) for number in range(2)]
    assert isinstance(select(*rows)[rows[0].id], Example)


def test_agreement_chooses_among_answers_without_a_fault() -> None:
    """The strongest is unfinished, and the next one is taken."""
    rows = [
        make_response(number, instruction_id="0a", instruction="Add.", agreement=float(number), tests=tests)
        for number, tests in enumerate(("", "", "# TODO"))
    ]
    reasons = [getattr(one, "reason", "kept") for one in select(*rows, choose="agreement").values()]
    assert reasons == ["one_per_instruction", "kept", "unfinished"]
