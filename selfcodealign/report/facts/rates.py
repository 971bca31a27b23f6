"""Pass rates of judged answers by what they have in common, and how many answers of an instruction passed.

An answer is judged if its status tells something: it was run, and the sandbox could judge it. Answers that could not be
read, requests that failed and answers that a recipe does not run have no verdict. An answer passed if its status is
"passed", whatever became of it afterwards. Where several stages make answers, all but the rates of stages are those of
the last one, whose answers selection is given.
"""

from __future__ import annotations

from selfcodealign.evaluation.pass_at_k import wilson
from selfcodealign.judging.stored import NOT_RUN
from selfcodealign.models import FAILED_REASONS
from selfcodealign.report.facts.histograms import draw_histogram
from selfcodealign.report.facts.tables import FILES, RunTables, StageTable
from selfcodealign.report.facts.types import Histogram, Rate, RateTable
from selfcodealign.rows import Response
from selfcodealign.sandbox import Status

#: Most rates in one table.
MOST_RATES = 25
#: What stands for a value that is empty.
NOT_STATED = "not stated"
#: The judged answers of the last stage that makes any, and what a table of rates asks of a group of answers.
LAST_JUDGED = "(SELECT * FROM answers WHERE judged AND place = (SELECT max(place) FROM answers))"
COUNTS = "count(*) FILTER (passed) AS passed, count(*) AS judged"
#: Statuses that tell nothing of an answer.
_UNTOLD = ("", NOT_RUN, str(Status.NOT_JUDGED))
_FIELDS = ("category", "difficulty", "kind")
_SCORE_EDGES = [tenth / 10 for tenth in range(11)]


class Answers:
    """All answers of a run in a temporary table `answers`, a few bytes for each: what they have in common.

    `place` is that of their stage among those that make answers; ids are hashed.
    """

    def __init__(self, tables: RunTables) -> None:
        self._tables = tables
        self._stages = [table for table in tables.stages if table.makes_answers]
        tables.ask(
            "CREATE TEMP TABLE answers (place INTEGER, category VARCHAR, difficulty VARCHAR, kind VARCHAR, "
            "instruction UBIGINT, list UBIGINT, score DOUBLE, judged BOOLEAN, passed BOOLEAN)"
        )
        for place, table in enumerate(self._stages):
            _collect(tables, table, place)
        self.any_judged = bool(tables.ask("SELECT count(*) FROM answers WHERE judged")[0][0])

    def rates(self) -> list[RateTable]:
        """The pass rates by stage, and by the fields that have several values among the judged answers."""
        if not self.any_judged:
            return []
        stages = self._tables.ask(f"SELECT place, {COUNTS} FROM answers WHERE judged GROUP BY place ORDER BY place")
        rates = [make_rate(self._stages[place].name, passed, judged) for place, passed, judged in stages]
        tables = [RateTable("stage", rates)]
        for field in _FIELDS:
            query = f"SELECT {field} AS name, {COUNTS} FROM {LAST_JUDGED} GROUP BY {field}"
            table = rate_table(self._tables, field, query)
            tables += [table] if len(table.rates) > 1 else []
        return tables

    def passes(self) -> dict[int, int]:
        """How many instructions have how many answers that passed; empty where no answer is judged."""
        if not self.any_judged:
            return {}
        query = (
            "SELECT passes, count(*) FROM (SELECT count(*) FILTER (passed) AS passes FROM answers "
            "WHERE place = (SELECT max(place) FROM answers) GROUP BY instruction) GROUP BY passes ORDER BY passes"
        )
        return dict(self._tables.ask(query))

    def scores(self) -> Histogram | None:
        """The mutation scores of the answers that passed, where they were measured."""
        query = f"SELECT score, count(*) FROM {LAST_JUDGED} WHERE passed AND NOT isnan(score) GROUP BY score"
        found = {min(max(score, 0.0), 1.0): often for score, often in self._tables.ask(query)}
        return draw_histogram("mutation score", "share of mutants killed", found, _SCORE_EDGES)


def count_split_proofs(tables: RunTables) -> int | None:
    """How many of the last answers that were kept also passed apart from their tests; None without answers."""
    table = tables.last(Response.id_field)
    if table is None:
        return None
    if "proof" not in table.columns:
        return 0
    return tables.ask(f"SELECT count(*) FROM {FILES} WHERE proof = 'split'", table.kept)[0][0]


def rate_table(tables: RunTables, by: str, query: str) -> RateTable:
    """The most frequent of the rates that a query gives, as columns name, passed and judged."""
    rows = tables.ask(f"SELECT *, count(*) OVER () FROM ({query}) ORDER BY judged DESC, name LIMIT {MOST_RATES}")
    rates = [make_rate(name or NOT_STATED, int(passed), int(judged)) for name, passed, judged, _ in rows]
    return RateTable(by, rates, rows[0][3] - len(rows) if rows else 0)


def make_rate(name: str, passed: int, judged: int) -> Rate:
    """A rate with its interval; that of no answers is everything."""
    low, high = wilson(passed / judged, judged) if judged else (0.0, 1.0)
    return Rate(name, passed, judged, low, high)


def _collect(tables: RunTables, table: StageTable, place: int) -> None:
    fields = ", ".join(f"coalesce({table.column(name)}, '') AS {name}" for name in _FIELDS)
    ids = ", ".join(f"hash({table.column(name)}) AS {name}" for name in ("instruction_id", "concepts_id"))
    columns = f"{fields}, {ids}, {table.column('mutation_score')}::DOUBLE AS score, coalesce(status, '') AS status"
    for files, why in ((table.kept, "''"), (table.dropped, "reason")):
        tables.ask(
            f"INSERT INTO answers SELECT {place}, * EXCLUDE (status, why), "
            "NOT list_contains(?, status) AND NOT list_contains(?, why), status = ? "
            f"FROM (SELECT {columns}, {why} AS why FROM {FILES})",
            list(_UNTOLD),
            list(FAILED_REASONS),
            str(Status.PASSED),
            files,
        )
