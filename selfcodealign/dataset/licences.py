"""The licences of a data set: of what its rows grew from, and of the models that wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from selfcodealign.dataset.authors import Author, models_of
from selfcodealign.dataset.markup import code, plain, table

#: Permissive licences that the Hugging Face hub knows by name.
_KNOWN = """
    afl-3.0 apache-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc-by-4.0 cc-by-sa-4.0 cc0-1.0 isc mit ncsa
    postgresql unlicense wtfpl zlib
"""
HUB_LICENCES = _KNOWN.split()
#: What stands for a licence that nobody states.
_NOT_STATED = ("", "unknown")
_SPDX = re.compile(r"(?!LicenseRef-)[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)+")


def name_licence(licences: Mapping[str, int], stated: str) -> str:
    """The licence of the whole: as stated, else that of all rows, else "several"."""
    name = stated or (next(iter(licences)) if len(licences) == 1 else "several")
    return name or "unknown"


def licence_metadata(name: str) -> dict[str, Any]:
    """The licence in a card's metadata: an identifier of the hub, or `other` with a name and the text's address.

    >>> licence_metadata("PSF-2.0")["license_name"]
    'psf-2.0'
    """
    if name.lower() in HUB_LICENCES:
        return {"license": name.lower()}
    told = {
        "license": "other",
        "license_name": re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:80] or "unknown",
    }
    return told | ({"license_link": spdx_page(name)} if spdx_page(name) else {})


def spdx_page(name: str) -> str:
    """The address of a licence's text, "" for what cannot be an SPDX identifier.

    >>> spdx_page("PSF-2.0"), spdx_page("several")
    ('https://spdx.org/licenses/PSF-2.0.html', '')
    """
    known = name in ("MIT", "ISC", "Zlib", "Unlicense", "WTFPL", "NCSA", "X11", "HPND", "PostgreSQL", "0BSD")
    return f"https://spdx.org/licenses/{name}.html" if known or _SPDX.fullmatch(name) else ""


def licence_section(
    licences: Mapping[str, int], origins: Mapping[str, int], seeds: bool, authors: Sequence[Author], stated: str
) -> list[str]:
    """What binds who publishes or uses the rows: the licences of what they grew from (`seeds`: code), and of those who
    wrote them. Both mappings have the most common first."""
    told = {name: n for name, n in licences.items() if seeds or name not in _NOT_STATED}
    lines = ["## Licences", ""]
    if told:
        rows = [(plain(name), number) for name, number in told.items()]
        lines += [*table(("licence of the seed" if seeds else "licence", "examples"), rows), ""]
    models = models_of(authors)
    lines += [" ".join([*_inherited(bool(told), any(licences.values()), seeds, models, stated)]), ""]
    lines += [*_to_check(bool(told), any(name in _NOT_STATED for name in licences), models)]
    if any(origins):
        lines += ["", *table(("origin", "examples"), [(plain(name), n) for name, n in list(origins.items())[:20]])]
        lines += [f"\n… and {len(origins) - 20} more origins."] if len(origins) > 20 else []
    return lines


def _inherited(table_above: bool, rows: bool, seeds: bool, models: Sequence[str], stated: str) -> list[str]:
    said = [f"The publisher states the licence {plain(stated)} for the data set."] if stated else []
    what = "code that the examples grew from" if seeds else "data that the examples were read from"
    if table_above:
        said.append(f"The table has the licences of the {what}, `license` that of each row.")
    elif rows:
        said.append("The examples grew from no code, and no licence is stated for what they were read from.")
    if models:
        names = " and ".join(map(code, models))
        them = "these models" if len(models) > 1 else "that model"
        said.append(
            f"What {names} wrote (above) inherits the licence and the terms of {them}"
            ", and so does a model that is tuned on it, besides the licence of its base."
        )
    return said


def _to_check(table_above: bool, unknown: bool, models: Sequence[str]) -> list[str]:
    """What the run cannot know and the publisher has to."""
    points = []
    if table_above:
        points.append(
            "the licences in the table allow it, and what they ask for is given: most ask for the copyright notice of "
            "the code, which `origin`, `source_path` and `commit` lead to"
        )
    if unknown:
        points.append("rows whose licence is unknown may be published: nothing here says so")
    if models:
        points.append(
            f"the terms of {' and '.join(map(code, models))}: whether they let others be trained on its output, and "
            "what has to be passed on (OpenRAIL-M passes its restrictions of use on; Apache-2.0 has none)"
        )
    return ["Before publishing, check that:", "", *(f"- {one}" for one in points)] if points else []
