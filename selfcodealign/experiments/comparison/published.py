"""The ablations of SelfCodeAlign's paper (arXiv 2410.24198, tables 8 to 11), to stand beside an experiment that varies
the same.

All scores are HumanEval+ pass@1, greedy, of single runs on 164 tasks, in percent. The tables say nothing of chance, so
it is said here: the interval of one such run (Wilson's), and what difference two of them can show. Models, sizes and
benchmarks of the paper differ from anyone's, so that only the order can be compared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath
from typing import Any

from selfcodealign.evaluation.pass_at_k import SIGNIFICANT
from selfcodealign.experiments.comparison.comparing import Results
from selfcodealign.experiments.comparison.lines import ExperimentTable, Line
from selfcodealign.experiments.comparison.paper_tables import ANSWERS, CONCEPTS, PAIRS, SOURCES, TASKS, PublishedRow


@dataclass(frozen=True, kw_only=True)
class Published:
    """One table of the paper. `lines` maps the names of those `arms` of the experiment that a row corresponds to."""

    number: int
    title: str
    rows: Sequence[PublishedRow]
    lines: Mapping[str, PublishedRow]
    arms: Sequence[Line]

    @property
    def is_grid(self) -> bool:
        """True where the rows are pairs of a student and a generator."""
        return any(row.student for row in self.rows)

    @property
    def about(self) -> str:
        """What must be known to read the table."""
        student = "several models" if self.is_grid else "CodeQwen1.5-7B"
        return (
            f"Table {self.number} of the paper (arXiv 2410.24198): HumanEval+, greedy, {student}, single runs on "
            f"{TASKS} tasks, so one task is {100 / TASKS:.1f} points. Models, data and benchmark differ from those of "
            "this experiment: the sizes of scores and differences cannot be compared, only the order."
        )

    def tell_noise(self) -> list[str]:
        """One sentence for each pair that differs by less than two independent runs can show."""
        found = []
        for one, other in self._pairs():
            low, high = sorted((one, other), key=lambda row: row.score)
            least = least_difference(low.solved, high.solved)
            if high.score - low.score < least:
                found.append(_tell_pair(low, high, least))
        return found

    def count_noise(self) -> str:
        """How many of the pairs those are, in one sentence."""
        return (
            f"{len(self.tell_noise())} of the {len(self._pairs())} pairs of the paper's table differ by less than two "
            "such runs can show; table.md and the page name them."
        )

    def _pairs(self) -> list[tuple[PublishedRow, PublishedRow]]:
        """All pairs; in a grid, own data against each other generator of the same student."""
        every = combinations(self.rows, 2)
        if not self.is_grid:
            return list(every)
        return [
            pair
            for pair in every
            if pair[0].student == pair[1].student and any(row.student == row.generator for row in pair)
        ]

    def tell_order(self, results: Results) -> list[str]:
        """Say for each benchmark whether the experiment's order is that of the paper."""
        benchmarks = list(dict.fromkeys(of for _, of in results.means))
        told = [text for name in benchmarks if (text := self._tell_order(name, results))]
        if self.is_grid:
            told += [text for name in benchmarks if (text := self._tell_own(name, results))]
        return told or ["No pair of this experiment's arms corresponds to a pair of the paper's."]

    def _tell_own(self, benchmark: str, results: Results) -> str:
        """For how many students their own data are the best, here and in the paper."""
        theirs = _count_own([(row.student, row.generator, row.score) for row in self.rows])
        found = [(arm, one.mean) for arm in self.arms if (one := results.means.get((arm.name, benchmark)))]
        ours = _count_own([(str(arm.varied["student"]), str(arm.varied["generator"]), mean) for arm, mean in found])
        if not ours[1]:
            return ""
        return (
            f"Own data give the best score of their row for {ours[0]} of {ours[1]} models on {benchmark}, in the "
            f"paper for {theirs[0]} of {theirs[1]}."
        )

    def _tell_order(self, benchmark: str, results: Results) -> str:
        same = shown = shown_same = pairs = 0
        for found in results.differences:
            first, second = self.lines.get(found.first), self.lines.get(found.second)
            if found.benchmark != benchmark or not first or not second or first.student != second.student:
                continue
            theirs, ours = second.score - first.score, found.estimate.mean
            if not theirs:
                continue
            agrees = ours * theirs > 0
            pairs, same = pairs + 1, same + agrees
            shown, shown_same = shown + (not found.inside_noise), shown_same + (agrees and not found.inside_noise)
        if not pairs:
            return ""
        means = {name: found.mean for (name, of), found in results.means.items() if of == benchmark}
        told = ""
        if not self.is_grid:
            arms = [name for name in self.lines if name in means]
            ours = " > ".join(sorted(arms, key=lambda name: -means[name]))
            theirs = " > ".join(sorted(arms, key=lambda name: -self.lines[name].score))
            told = f": both are {ours}" if ours == theirs else f": ours is {ours}, the paper's {theirs}"
        ends = "our experiment shows none of these pairs outside its noise, so that chance may have made its order"
        if shown:
            ends = f"of the {shown} that our experiment shows outside its noise, {shown_same} have the paper's sign"
        count = "1 pair has" if pairs == 1 else f"{pairs} pairs have"
        return f"On {benchmark} {same} of {count} the paper's order{told}; {ends}."


def _count_own(cells: Sequence[tuple[str, str, float]]) -> tuple[int, int]:
    """Of the students with own data and others', those whose own data are best; and how many students these are."""
    best = students = 0
    for student in dict.fromkeys(student for student, _, _ in cells):
        row = [(generator, score) for name, generator, score in cells if name == student]
        own = [score for generator, score in row if generator == student]
        others = [score for generator, score in row if generator != student]
        if own and others:
            students, best = students + 1, best + (max(own) > max(others))
    return best, students


def least_difference(first: int, second: int) -> float:
    """Return the least difference, in points, that two runs with so many solved tasks show with p < 0.05.

    The runs are taken as independent, as they have to be where their results by task are not known.

    >>> round(least_difference(101, 107), 1)
    10.4
    """
    share = (first + second) / (2 * TASKS)
    return 100 * 1.959964 * math.sqrt(2 * share * (1 - share) / TASKS)


def most_differing(net: int) -> int:
    """Return on how many tasks at most two models may differ so that a net gain of `net` tasks has p < 0.05.

    By the exact sign test; 0 where no number of tasks is enough.

    >>> most_differing(2), most_differing(6), most_differing(12)
    (0, 6, 30)
    """
    shown = 0
    for differing in range(net, TASKS + 1, 2):
        lost = (differing - net) // 2
        if 2 * sum(math.comb(differing, count) for count in range(lost + 1)) / 2**differing > SIGNIFICANT:
            break
        shown = differing
    return shown


def _tell_pair(low: PublishedRow, high: PublishedRow, least: float) -> str:
    tasks = high.solved - low.solved
    if not tasks:
        return f"{low.name} and {high.name} solve the same number of tasks ({low.solved} of {TASKS})."
    most = most_differing(tasks)
    paired = f"only where they differ on at most {most} tasks" if most else "not at all"
    return (
        f"{low.name} ({_figures(low)}) and {high.name} ({_figures(high)}) differ by {tasks} "
        f"task{'s' if tasks > 1 else ''} of {TASKS}, {high.score - low.score:.1f} points: inside the noise. Two such "
        f"runs show a difference from {least:.1f} points on; compared task by task they would show this one {paired}."
    )


def _figures(row: PublishedRow) -> str:
    low, high = row.interval
    return f"{row.score:.1f}, 95 % interval {low:.1f} to {high:.1f}"


def find_published(lines: Sequence[Line]) -> Published | None:
    """Return the table of the paper in which the same is varied as between these lines, or None.

    A table needs two arms that correspond to its rows; the grid of students and generators is shown for any models.
    """
    table = ExperimentTable(title="", lines=lines)
    if table.arms and all({"generator", "student"} <= set(arm.varied) for arm in table.arms):
        title = "Table 8: which model wrote the data (columns) and which was tuned (rows)"
        return Published(number=8, title=title, rows=PAIRS, lines=_match(table.arms, PAIRS, _is_pair), arms=table.arms)
    keys = set(table.keys)
    if keys == {"selection.answers"}:
        value = lambda arm: str(arm.varied.get("selection.answers"))  # noqa: E731
        return _best(table.arms, value, ((9, "Table 9: which answer goes with an instruction", ANSWERS),))
    concepts = (10, "Table 10: seeds and concepts", CONCEPTS)
    if keys == {"recipe"}:
        value = lambda arm: PurePath(str(arm.varied.get("recipe"))).stem  # noqa: E731
        return _best(table.arms, value, (concepts, (11, "Table 11: sources of data", SOURCES)))
    if keys and keys <= {"with", "without"}:
        return _best(table.arms, _with_concepts, (concepts,))
    return None


def _best(
    arms: Sequence[Line], value: Callable[[Line], str], tables: Sequence[tuple[int, str, Sequence[PublishedRow]]]
) -> Published | None:
    """The table with most rows that an arm corresponds to, the first of equals; two at least."""
    found = [
        Published(
            number=number,
            title=title,
            rows=rows,
            lines=_match(arms, rows, lambda arm, row: value(arm) in row.values),
            arms=arms,
        )
        for number, title, rows in tables
    ]
    best = max(found, key=lambda one: len(one.lines))
    return best if len(best.lines) >= 2 else None


def _match(
    arms: Sequence[Line], rows: Sequence[PublishedRow], fits: Callable[[Line, PublishedRow], bool]
) -> dict[str, PublishedRow]:
    return {arm.name: row for arm in arms for row in rows if fits(arm, row)}


def _with_concepts(arm: Line) -> str:
    """The recipe that an arm with or without the stage of concepts amounts to."""
    if "concepts" in _words(arm.varied.get("without")):
        return "s2i"
    named = _words(arm.varied.get("with"))
    if "without" in arm.varied or "concepts" in named:
        return "paper"
    return "s2i"  # the arm without what the others are given


def _words(value: Any) -> list[str]:
    listed = value if isinstance(value, (list, tuple)) else [value]
    return [word for one in listed if one for word in re.split(r"[\s,]+", str(one))]


def _is_pair(arm: Line, row: PublishedRow) -> bool:
    return _is_model(arm.varied["student"], row.student) and _is_model(arm.varied["generator"], row.generator)


def _is_model(named: Any, model: str) -> bool:
    """True where a name or path means a base model of the paper: "bigcode/starcoder2-3b", not "…-instruct"."""
    short = re.sub(r"[^a-z0-9]", "", PurePath(str(named)).name.lower())
    return re.sub(r"[^a-z0-9]", "", model.lower()) in short and not re.search("instruct|chat", short)
