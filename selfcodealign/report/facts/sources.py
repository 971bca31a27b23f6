"""What the rows grew from: licences and origins of the rows that the last stage has kept."""

from __future__ import annotations

from selfcodealign.report.facts.tables import FILES, RunTables

#: Licences, and origins, that are told: the most frequent ones.
MOST_TOLD = 20


def count_sources(tables: RunTables) -> tuple[dict[str, int], dict[str, int]]:
    """How many of the last rows have which licence, and which origin; both empty without rows."""
    table = tables.last()
    if table is None:
        return {}, {}
    licence, origin = (f"coalesce({table.column(name)}, '')" for name in ("licence", "origin"))
    rows = tables.ask(
        f"SELECT grouping(licence), coalesce(licence, origin), count(*) FROM (SELECT {licence} AS licence, "
        f"{origin} AS origin FROM {FILES}) GROUP BY GROUPING SETS ((licence), (origin)) ORDER BY 3 DESC, 2",
        table.kept,
    )
    licences, origins = ({name: number for other, name, number in rows if other == which} for which in (0, 1))
    return _first(licences), _first(origins)


def _first(counts: dict[str, int]) -> dict[str, int]:
    return dict(list(counts.items())[:MOST_TOLD])
