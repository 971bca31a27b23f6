"""Licences are named from texts and metadata, and never guessed."""

from __future__ import annotations

from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest

from selfcodealign.settings import PERMISSIVE
from selfcodealign.sources.licences import (
    find_licence_tag,
    is_licence_file,
    is_permitted,
    name_licence,
    name_licence_text,
    name_licence_texts,
    name_package_licence,
)
from tests.support.places import DATA

MIT = """Copyright (c) 2020 Someone

Permission is hereby granted, free of charge, to any person obtaining a copy of this software [...]
The above copyright notice and this permission notice shall be included in all copies [...]
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND"""
BSD_HEAD = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted [...]"
BSD_THIRD = "Neither the name of X may be used to endorse or promote\n  products derived from this software"
ISC = """Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby
granted, provided that the above copyright notice and this permission notice appear in all copies."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIT, "MIT"),
        (
            MIT.replace("The above copyright notice and this permission notice shall be included in all copies", ""),
            "MIT-0",
        ),
        ("Apache License\n   Version 2.0, January 2004\n http://www.apache.org/licenses/", "Apache-2.0"),
        (BSD_HEAD, "BSD-2-Clause"),
        (BSD_HEAD + BSD_THIRD, "BSD-3-Clause"),
        (BSD_HEAD + BSD_THIRD + "All advertising materials mentioning features", "BSD-4-Clause"),
        (ISC, "ISC"),
        (ISC.replace(", provided that the above", ". The above"), "0BSD"),
        ("Mozilla Public License Version 2.0\n====", "MPL-2.0"),
        ("GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007", "GPL-3.0-only"),
        ("GNU GENERAL PUBLIC LICENSE\n   Version 2, June 1991", "GPL-2.0-only"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007", "LGPL-3.0-only"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\n   Version 3, 19 November 2007", "AGPL-3.0-only"),
        (MIT + "\n\n" + BSD_HEAD + BSD_THIRD, "BSD-3-Clause AND MIT"),
        ("All rights reserved. Do not copy.", None),
        ("", None),
    ],
)
def test_texts_are_recognised_by_their_own_words(text: str, expected: str | None):
    """Common licences are told apart, clauses included; anything else has no name."""
    assert name_licence_text(text) == expected


@pytest.mark.skipif(not DATA.is_dir(), reason="real licence texts lie in ../shared/data")
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("humaneval", "MIT"),
        ("humanevalplus", "Apache-2.0"),
        ("mbppplus", "Apache-2.0"),
        ("kodcode", "Apache-2.0"),
        ("livecodebench", "Apache-2.0"),
    ],
)
def test_real_licence_files(file: str, expected: str):
    """Whole licence files of real projects are recognised."""
    assert name_licence_text((DATA / file / "LICENSE").read_text("utf-8")) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("httpx", "BSD-3-Clause"), ("pydantic", "MIT"), ("hypothesis", "MPL-2.0"), ("rich", "MIT")],
)
def test_real_packages(name: str, expected: str):
    """Installed packages state their licence in several ways; all lead to the same expression."""
    found = metadata.distribution(name)
    texts = [Path(str(file.locate())).read_text("utf-8") for file in found.files or [] if is_licence_file(file.name)]
    assert name_package_licence(found.metadata, texts) == expected  # type: ignore[arg-type]


def package(**fields: str) -> Message:
    message = Message()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


def test_the_most_exact_statement_of_a_package_wins():
    """Expression, short name, text, classifier, in this order; a classifier for BSD does not say which BSD."""
    bsd = package(Classifier="License :: OSI Approved :: BSD License")
    assert (
        name_package_licence(package(License_Expression="MIT OR Apache-2.0", License="BSD"), []) == "MIT OR Apache-2.0"
    )
    assert name_package_licence(package(License="mit"), [BSD_HEAD]) == "MIT"
    assert name_package_licence(bsd, [BSD_HEAD + BSD_THIRD]) == "BSD-3-Clause"
    assert name_package_licence(bsd, []) == "LicenseRef-BSD"
    assert name_package_licence(package(License="ask us"), []) is None


def test_several_licence_files_all_apply():
    """Texts that are not recognised change nothing."""
    assert name_licence_texts([MIT, "nothing known", BSD_HEAD]) == "BSD-2-Clause AND MIT"
    assert name_licence_texts([]) is None


def test_header_of_a_file():
    """An SPDX tag is taken as it stands, up to the end of its expression."""
    assert find_licence_tag("#!/bin/x\n# SPDX-License-Identifier: MIT OR Apache-2.0\nimport os") == "MIT OR Apache-2.0"
    assert find_licence_tag("/* SPDX-License-Identifier: (GPL-2.0-only) */") == "(GPL-2.0-only)"
    assert find_licence_tag("no tag here") is None


def test_names_in_data_sets():
    """Identifiers in any case, common names and lists; unknown names stay as they are; nothing is None."""
    assert name_licence("apache-2.0") == "Apache-2.0"
    assert name_licence("MIT License") == "MIT"
    assert name_licence(["mit", "bsd-3-clause"]) == "BSD-3-Clause AND MIT"
    assert name_licence("house licence") == "house licence"
    assert name_licence([]) is name_licence(None) is name_licence("") is None


@pytest.mark.parametrize(
    ("expression", "permitted"),
    [
        ("MIT", True),
        ("mit license", True),
        ("PSF-2.0", True),
        ("unknown", False),
        ("", False),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("MIT AND (GPL-2.0-only OR Apache-2.0)", True),
        ("(MIT AND GPL-2.0-only) OR MPL-2.0", False),
        ("MIT and GPL-2.0-only or ISC", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0 OR bsd-3-clause", True),
        ("Apache-2.0+", True),
        ("MIT OR", False),
        ("(MIT", False),
        ("MIT MIT", False),
        ("MIT)", False),
        (")", False),
    ],
)
def test_expressions_against_permissive_licences(expression: str, permitted: bool):
    """OR needs one side, AND both, AND binds closer; a torn expression permits nothing."""
    assert is_permitted(expression, PERMISSIVE) == permitted
    assert is_permitted(expression, ["any"])


def test_a_licence_with_its_exception_can_be_permitted():
    """Only both together, and in any case."""
    allowed = ["GPL-2.0-only with Classpath-exception-2.0"]
    assert is_permitted(
        "gpl-2.0-only WITH Classpath-exception-2.0 AND gpl-2.0-only WITH classpath-exception-2.0", allowed
    )
    assert not is_permitted("GPL-2.0-only", allowed)


def test_names_of_licence_files():
    """The usual spellings count, code about licences does not."""
    for name in ("LICENSE", "LICENCE.txt", "license.md", "COPYING", "LICENSE-MIT", "UNLICENSE", "COPYING.LESSER"):
        assert is_licence_file(name), name
    for name in ("license.py", "licenses_test.txt", "README.md", "copyright.txt"):
        assert not is_licence_file(name), name
