"""What repeats a run, and what a repeated run is compared by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfcodealign.errors import RunFolderError
from selfcodealign.files import read_text
from selfcodealign.models.named import MODEL, MODELS
from selfcodealign.report.facts.tables import FILES, RunTables, StageTable
from selfcodealign.report.facts.types import Repeat

#: What run.json says of versions and machine.
_VERSIONS = ("selfcodealign", "python", "platform", "sandbox", "command")


def read_repeat(tables: RunTables) -> Repeat:
    """What repeats a run."""
    folder, facts = tables.folder, tables.folder.facts()
    versions = {name: str(facts[name]) for name in _VERSIONS if name in facts}
    for one in facts.get("benchmarks", []):
        versions[f"benchmark {one['name']}"] = str(one.get("version", ""))
    recipe = folder.path / "recipe.toml"
    return Repeat(
        recipe=read_text(recipe, error=RunFolderError) if recipe.is_file() else "",
        journey=folder.journey(),
        versions=versions,
        models=_models(facts),
        decided_by={stage.name: stage.decided_by for stage in folder.stages()},
        rows={table.name: digest_rows(tables, table) for table in tables.stages},
        files=_digest_files(folder.path / "dataset"),
    )


def digest_rows(tables: RunTables, table: StageTable) -> str:
    """16 hex digits naming the rows of a stage: which were made, and which of them were dropped for which reason.

    Each row is `id|parent|reason` ("kept" where it was kept, an empty id where a drop has none). The digest is that of
    the number of rows and of the sums of the lower and the upper halves of their MD5 sums. A sum has no order, so the
    order of rows and how they are spread over files do not matter, and nothing is sorted. Texts are not looked at: an
    id is the hash of what made a row.
    """
    own = f"coalesce({table.column(table.row_id)}, '')"
    row = f"concat_ws('|', {own}, {{parent}}, {{reason}})"
    kept = row.format(parent=table.column(table.parent), reason="'kept'")
    dropped = row.format(parent="parent", reason="reason")
    query = (
        "SELECT count(*), sum(md5_number_lower(told)::HUGEINT), sum(md5_number_upper(told)::HUGEINT) FROM ("
        f"SELECT {kept} AS told FROM {FILES} UNION ALL SELECT {dropped} FROM {FILES})"
    )
    number, lower, upper = tables.ask(query, table.kept, table.dropped)[0]
    return hashlib.sha256(f"{number} {int(lower or 0)} {int(upper or 0)}".encode()).hexdigest()[:16]


def _models(facts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The identities of the models that were asked; that of [model] is called "model"."""
    found = {MODEL: facts[MODEL]} if MODEL in facts else {}
    found |= {name: one.get("identity", {}) for name, one in facts.get(MODELS, {}).items()}
    return {name: {key: str(value) for key, value in identity.items()} for name, identity in found.items()}


def _digest_files(dataset: Path) -> dict[str, str]:
    """The SHA-256 of each file of the data set, by its path in there."""
    found = {}
    for path in sorted(dataset.rglob("*")) if dataset.is_dir() else ():
        if path.is_file():
            try:
                with path.open("rb") as file:
                    found[path.relative_to(dataset).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise RunFolderError(f"cannot read {path}: {error.strerror}") from error
    return found
