"""What the model named as concepts: how often, in which spellings, and how fast new ones stop coming.

Two spellings are one concept if their keys are equal: letters in lower case, hyphens and other punctuation as spaces,
words without the ending of a plural, in alphabetical order. Signs that belong to names of languages (+, #) stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfcodealign.report.facts.rates import COUNTS, LAST_JUDGED, rate_table
from selfcodealign.report.facts.tables import FILES, RunTables
from selfcodealign.report.facts.types import ConceptGroup, Concepts, RateTable
from selfcodealign.rows import Concepts as ConceptRow

#: Concepts and groups of spellings that are told, spellings of one group, and points of the curve of coverage.
MOST_TOLD, MOST_SPELLINGS, POINTS = 50, 20, 200
#: Fewest judged answers of a concept that has a pass rate.
LEAST_JUDGED = 5
#: Letters and digits of any script, and signs in names of languages.
_OTHERS = r"[^\p{L}\p{M}\p{N}+#]+"
_KEY = (
    r"""
CREATE TEMP MACRO word_key(word) AS
    CASE WHEN length(word) <= 3 OR regexp_matches(word, '(ss|us|is)$') THEN word
    ELSE regexp_replace(regexp_replace(regexp_replace(word, 's$', ''), '(s|x|z|ch|sh)e$', '\1'), '(ie|y)$', 'i') END;
CREATE TEMP MACRO concept_key(spelling) AS
    coalesce(nullif(array_to_string(list_sort(list_transform(
        string_split(trim(regexp_replace(replace(lower(nfc_normalize(spelling)), '''', ''), '"""
    + _OTHERS
    + r"""', ' ', 'g')), ' '),
        lambda word: word_key(word)
    )), ' '), ''), spelling);
"""
)


class ConceptLists:
    """The lists of concepts of a run in temporary tables: `lists`, each once, and `spellings` with their keys."""

    def __init__(self, tables: RunTables) -> None:
        self._tables = tables
        define_keys(tables)
        source = next((table for table in tables.stages if {"concepts", ConceptRow.id_field} <= table.columns), None)
        tables.ask("CREATE TEMP TABLE lists (list UBIGINT, place BIGINT, concepts VARCHAR[])")
        if source is not None:
            tables.ask(
                "INSERT INTO lists SELECT hash(id), row_number() OVER (ORDER BY id), concepts FROM "
                f"(SELECT {ConceptRow.id_field} AS id, any_value(concepts) AS concepts FROM {FILES} "
                "WHERE len(concepts) > 0 GROUP BY id)",
                source.kept,
            )
        tables.ask(
            "CREATE TEMP TABLE spellings AS SELECT spelling, often, first, concept_key(spelling) AS key FROM "
            "(SELECT spelling, count(*) AS often, min(place) AS first FROM "
            "(SELECT unnest(concepts) AS spelling, place FROM lists) GROUP BY spelling)"
        )

    def describe(self) -> Concepts | None:
        """The concepts; None where no model named any."""
        ask = self._tables.ask
        distinct, groups, once = ask(
            "SELECT count(*), count(DISTINCT key), count(*) FILTER (often = 1) FROM spellings"
        )[0]
        if not distinct:
            return None
        lists = ask("SELECT count(*) FROM lists")[0][0]
        top = ask(f"SELECT spelling, often FROM spellings ORDER BY often DESC, spelling LIMIT {MOST_TOLD}")
        several = ask(
            "SELECT list(spelling ORDER BY often DESC, spelling)[:?], list(often ORDER BY often DESC, spelling)[:?], "
            "count(*) OVER () FROM spellings GROUP BY key HAVING count(*) > 1 "
            f"ORDER BY sum(often) DESC, key LIMIT {MOST_TOLD}",
            MOST_SPELLINGS,
            MOST_SPELLINGS,
        )
        return Concepts(
            lists=lists,
            distinct=distinct,
            groups=groups,
            once=once,
            top=[(spelling, often) for spelling, often in top],
            near_duplicates=[ConceptGroup(list(zip(names, often, strict=True))) for names, often, _ in several],
            several=several[0][2] if several else 0,
            coverage=self._coverage(lists),
        )

    def rates(self) -> list[RateTable]:
        """The pass rates of answers by concept, its spellings taken together; needs the table of `Answers`.

        A concept has the name of its most frequent spelling.
        """
        query = (
            f"WITH judged AS (SELECT list, {COUNTS} FROM {LAST_JUDGED} GROUP BY list), "
            "named AS (SELECT DISTINCT list, key FROM (SELECT list, unnest(concepts) AS spelling FROM lists) "
            "JOIN spellings USING (spelling)), "
            "names AS (SELECT key, arg_max(spelling, (often, spelling)) AS name FROM spellings GROUP BY key) "
            "SELECT name, passed, judged FROM names JOIN (SELECT key, sum(passed) AS passed, sum(judged) AS judged "
            f"FROM named JOIN judged USING (list) GROUP BY key HAVING sum(judged) >= {LEAST_JUDGED}) USING (key)"
        )
        table = rate_table(self._tables, "concept", query)
        return [table] if table.rates else []

    def _coverage(self, lists: int) -> list[tuple[int, int]]:
        """Lists read so far, in the order of their ids (which are hashes), with the distinct spellings among them."""
        step = max(1, -(-lists // POINTS))
        query = (
            "SELECT least(bucket * ?, ?)::BIGINT, sum(count(*)) OVER (ORDER BY bucket) FROM "
            "(SELECT (first - 1) // ? + 1 AS bucket FROM spellings) GROUP BY bucket ORDER BY bucket"
        )
        points = [(read, int(known)) for read, known in self._tables.ask(query, step, lists, step)]
        return points if points[-1][0] == lists else [*points, (lists, points[-1][1])]


def define_keys(tables: RunTables) -> None:
    """Define `concept_key`, by which spellings of one concept are grouped."""
    for statement in _KEY.split(";\n"):
        if statement.strip():
            tables.ask(statement)


def group_spellings(tables: RunTables, spellings: Sequence[str]) -> dict[str, str]:
    """The key of each spelling; needs `define_keys`."""
    return dict(
        tables.ask("SELECT spelling, concept_key(spelling) FROM (SELECT unnest(?) AS spelling)", list(spellings))
    )
