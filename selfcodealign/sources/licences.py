"""Name a licence by its SPDX expression: from the text of a LICENSE file, package metadata, or a file's own header.

Only phrases of the licence's own text count; an unrecognised licence is never guessed. Identifiers follow the SPDX
licence list (https://spdx.org/licenses/). A GNU licence text does not say whether later versions are allowed, so it is
named `-only`, the narrower grant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import Message

UNKNOWN = "unknown"

_LISTED = """
    0BSD AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BSD-4-Clause BSL-1.0
    CC-BY-4.0 CC0-1.0 EPL-2.0 GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later HPND ISC LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-2.0 PSF-2.0 Python-2.0 Unlicense WTFPL Zlib
"""
_IDENTIFIERS = {name.lower(): name for name in _LISTED.split()}
_SHORT_NAMES = {
    "mit license": "MIT",
    "the mit license": "MIT",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "isc license": "ISC",
    "psf": "PSF-2.0",
    "agpl-3.0": "AGPL-3.0-only",
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "the unlicense": "Unlicense",
}
# The BSD classifier does not give the number of clauses, hence the SPDX form for a licence outside the list.
_CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "LicenseRef-BSD",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
}

# All phrases of a rule must occur and none of its exclusions. Texts are compared in lower case, with white space as one
# blank and quotation marks as '.
_PHRASES: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    (
        "MIT",
        ("permission is hereby granted, free of charge, to any person", "this permission notice shall be included"),
        (),
    ),
    (
        "MIT-0",
        ("permission is hereby granted, free of charge, to any person", "the software is provided 'as is'"),
        ("permission notice shall be included",),
    ),
    ("Apache-2.0", ("apache license", "version 2.0"), ("mozilla public license",)),
    (
        "BSD-4-Clause",
        ("redistribution and use in source and binary forms", "all advertising materials mentioning"),
        (),
    ),
    (
        "BSD-3-Clause",
        ("redistribution and use in source and binary forms", "endorse or promote products"),
        ("all advertising materials mentioning",),
    ),
    (
        "BSD-2-Clause",
        ("redistribution and use in source and binary forms", "with or without modification"),
        ("endorse or promote products", "all advertising materials mentioning"),
    ),
    (
        "ISC",
        ("distribute this software for any purpose with or without fee", "provided that the above copyright notice"),
        (),
    ),
    (
        "0BSD",
        ("distribute this software for any purpose with or without fee is hereby granted",),
        ("with or without fee is hereby granted, provided that",),
    ),
    ("MPL-2.0", ("mozilla public license version 2.0",), ()),
    ("MPL-2.0", ("mozilla public license, version 2.0",), ("mozilla public license version 2.0",)),
    ("PSF-2.0", ("python software foundation license version 2",), ()),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",), ()),
    ("CC0-1.0", ("cc0 1.0 universal",), ()),
    ("BSL-1.0", ("boost software license - version 1.0",), ()),
    ("Zlib", ("the origin of this software must not be misrepresented",), ()),
    ("AGPL-3.0-only", ("gnu affero general public license version 3, 19 november 2007",), ()),
    ("LGPL-3.0-only", ("gnu lesser general public license version 3, 29 june 2007",), ()),
    ("LGPL-2.1-only", ("gnu lesser general public license version 2.1, february 1999",), ()),
    (
        "GPL-3.0-only",
        ("gnu general public license version 3, 29 june 2007",),
        ("gnu lesser general public license version 3, 29 june 2007",),
    ),
    ("GPL-2.0-only", ("gnu general public license version 2, june 1991",), ()),
]
_SPDX_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+() -]*[A-Za-z0-9.+)])")
_LICENCE_FILE = re.compile(r"(un)?licen[cs]e([-_.].*)?|copying([-_.].*)?", re.IGNORECASE)


def is_licence_file(name: str) -> bool:
    """Return whether a file name is that of a licence file (LICENSE, LICENCE.txt, COPYING, ...)."""
    return _LICENCE_FILE.fullmatch(name) is not None and not name.endswith(".py")


def name_licence_text(text: str) -> str | None:
    """Return the SPDX expression of a licence text, several licences joined by AND; None if none is recognised."""
    plain = " ".join(re.sub('["“”‘’`]', "'", text).lower().split())
    found = {
        name
        for name, needed, excluded in _PHRASES
        if all(phrase in plain for phrase in needed) and not any(phrase in plain for phrase in excluded)
    }
    return " AND ".join(sorted(found)) or None


def name_licence_texts(texts: list[str]) -> str | None:
    """Return the licence of a project from all its licence files: all recognised licences apply."""
    found = {part for text in texts for part in (name_licence_text(text) or "").split(" AND ") if part}
    return " AND ".join(sorted(found)) or None


def find_licence_tag(head: str) -> str | None:
    """Return the expression of the `SPDX-License-Identifier:` header at the top of a source file, if any."""
    match = _SPDX_TAG.search(head)
    return match.group(1).strip() if match else None


def is_permitted(expression: str, licences: Sequence[str]) -> bool:
    """Return whether an SPDX expression allows use under one of `licences`: OR needs one of its sides, AND both.

    An exception (WITH) only adds permissions, so the licence before it decides, unless `licences` has both together.

    >>> is_permitted("MIT OR GPL-3.0-only", ["MIT"]), is_permitted("MIT AND GPL-3.0-only", ["MIT"])
    (True, False)
    """
    allowed = {(name_licence(name) or "").lower() for name in licences}
    if "any" in allowed or (name_licence(expression) or "").lower() in allowed:
        return True
    words = re.findall(r"[()]|[^\s()]+", expression)
    try:
        found, rest = _read_or(words, allowed)
    except IndexError:  # it ends where a licence belongs
        return False
    return found and not rest


def _read_or(words: list[str], allowed: set[str]) -> tuple[bool, list[str]]:
    """Read alternatives from the front of `words`; return whether one is permitted, and the words that are left."""
    found, rest = _read_and(words, allowed)
    while rest and rest[0].upper() == "OR":
        other, rest = _read_and(rest[1:], allowed)
        found = found or other
    return found, rest


def _read_and(words: list[str], allowed: set[str]) -> tuple[bool, list[str]]:
    found, rest = _read_licence(words, allowed)
    while rest and rest[0].upper() == "AND":
        other, rest = _read_licence(rest[1:], allowed)
        found = found and other
    return found, rest


def _read_licence(words: list[str], allowed: set[str]) -> tuple[bool, list[str]]:
    if words[0] == "(":
        found, rest = _read_or(words[1:], allowed)
        if rest[0] != ")":
            return False, rest
        return found, rest[1:]
    name = (name_licence(words[0].removesuffix("+")) or "").lower()
    if len(words) > 2 and words[1].upper() == "WITH":
        return name in allowed or " ".join(words[:3]).lower() in allowed, words[3:]
    return name in allowed, words[1:]


def name_licence(words: object) -> str | None:
    """Return the SPDX expression for a data set's licence column: an identifier in any case, a common name, or a list.

    A list (a repository with several licences) is joined by AND; an unknown name is kept unchanged.
    """
    if words is None:
        return None
    if isinstance(words, list | tuple):
        parts = sorted({name for word in words if isinstance(word, str) and (name := name_licence(word))})
        return " AND ".join(parts) or None
    text = str(words).strip()
    known = {**_SHORT_NAMES, **_IDENTIFIERS}
    return known.get(text.lower(), text) or None


def name_package_licence(metadata: Message, licence_texts: list[str]) -> str | None:
    """Return the licence of an installed package (core metadata, PEP 639), from its most exact statement."""
    if expression := metadata.get("License-Expression"):
        return expression.strip()
    stated = (metadata.get("License") or "").strip()
    if short := {**_SHORT_NAMES, **_IDENTIFIERS}.get(stated.lower()):
        return short
    if recognised := name_licence_texts(licence_texts) or name_licence_text(stated):
        return recognised
    endings = {line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or []}
    return " AND ".join(sorted(_CLASSIFIERS[ending] for ending in endings & _CLASSIFIERS.keys())) or None
