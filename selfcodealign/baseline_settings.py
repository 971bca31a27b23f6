"""Sections of the stages beside the paper's own journey: other published methods, and rows that others wrote."""

from __future__ import annotations

from pydantic import Field

from selfcodealign.sections import Section


class ImportedSettings(Section):
    """Rows that others wrote, which begin a journey: instructions, with responses and tests where they have them."""

    sources: list[str] = Field(
        default=[],
        description="data sets: .jsonl (also .gz, .zst), .parquet, a folder of them or one that `datasets` saved, "
        '"hub:NAME", or the folder of a run',
    )
    instruction_column: list[str] = Field(
        default=[],
        description="the column of the instruction (several are joined), or of chat messages, whose first user turn it "
        "is; default: that of the published data sets, such as instruction, problem, question, prompt, messages",
    )
    response_column: list[str] = Field(
        default=[],
        description="the column of the response (several are joined), or of chat messages; "
        'default: as published, such as response, output, solution, completion, messages; "none": no responses',
    )
    tests_column: list[str] = Field(
        default=[],
        description="the column of the tests (several are joined): code, a list of assertions, or its JSON text; "
        'default: as published, such as tests, test, test_list, test_cases, unit_tests; "none": no tests',
    )
    id_column: str | None = Field(None, description="the column of the row's id; default: as published, such as id")
    licence_column: str | None = Field(
        None, description="the column of the row's licence or a list; default: license, licence or licenses"
    )
    language_column: str | None = Field(
        None,
        description="the column of the programming language: rows of others than Python are dropped; "
        'default: programming_language, language or lang; "none": all rows are Python',
    )
    split: str = Field("train", description="data sets of the hub or saved by `datasets`: the split to read")
    licence: str | None = Field(None, description="SPDX expression for rows that state no licence")
    licences: list[str] = Field(
        default=["any"], description='SPDX licences whose rows are taken; ["any"]: all rows, unknown licences too'
    )
    max_text_kib: int = Field(1024, ge=1, description="drop rows with a longer text")
    limit: int | None = Field(None, ge=1, description="only the first rows of each source, at most this many")


class VerifySettings(Section):
    """The given response of each imported row, executed against the given tests."""

    execute: bool = Field(True, description='false: run nothing; rows get the status "not_run", and need no tests')
