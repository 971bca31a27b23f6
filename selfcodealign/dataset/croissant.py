"""The data set in Croissant, the metadata of MLCommons for data sets: files with their sums, columns with their types.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from selfcodealign.dataset.authors import models_of
from selfcodealign.dataset.card import CardFacts
from selfcodealign.dataset.columns import meaning_of
from selfcodealign.dataset.counts import Examples
from selfcodealign.dataset.licences import name_licence, spdx_page
from selfcodealign.dataset.markup import one_line
from selfcodealign.dataset.metadata import title_of

#: Its name in the data set's folder.
CROISSANT = "croissant.json"
_VERSIONS = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
#: What the words below stand for, as the specification has it.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
            *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
            *("key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
            *("samplingRate", "separator", "source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_FILES = "parquet-files"


@dataclass(frozen=True)
class Part:
    """A file of the data set: its path in it, its bytes and their SHA-256."""

    path: str
    size: int
    sha256: str


def describe_files(folder: Path, pattern: str) -> list[Part]:
    """The files of a data set's folder that a pattern finds, in order."""
    found = []
    for path in sorted(folder.glob(pattern)):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found.append(Part(str(path.relative_to(folder)), path.stat().st_size, digest))
    return found


def describe_dataset(examples: Examples, facts: CardFacts, parts: Sequence[Part], schema: pa.Schema) -> dict[str, Any]:
    """The data set in Croissant 1.1, as JSON values."""
    models = [one_line(name) for name in models_of(facts.authors)]
    licence = name_licence(examples.licences, facts.license)
    told: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _VERSIONS,
        "name": title_of(facts.authors),
        "description": _describe(examples, models),
        "license": spdx_page(licence) or one_line(licence),
        "version": "1.0.0",
        "keywords": ["code", "instruction tuning", *(["synthetic data"] if models else []), "selfcodealign"],
        "inLanguage": "en",
        "dateCreated": str(facts.run.get("started", ""))[:10] or None,
        "distribution": list(_distribution(parts)),
        "recordSet": [_records(schema, parts)],
        **_responsible(examples, facts, models),
        **_provenance(facts, models),
    }
    return {key: value for key, value in told.items() if value not in (None, [], "")}


def _describe(examples: Examples, models: Sequence[str]) -> str:
    by = f" Models that wrote texts of it: {', '.join(models)}." if models else ""
    return (
        f"{examples.count} pairs of a programming task and an answer, {examples.verified} of whose answers passed "
        f"their tests in a sandbox.{by} README.md says how the rows were made, what they were compared with, and "
        "under which licences they stand."
    )


def _distribution(parts: Sequence[Part]) -> Iterator[dict[str, Any]]:
    kind = {"encodingFormat": "application/x-parquet"}
    for part in parts:
        yield {
            "@type": "cr:FileObject",
            "@id": part.path,
            "name": part.path.rpartition("/")[2],
            "contentUrl": part.path,
            "contentSize": f"{part.size} B",
            "sha256": part.sha256,
            **kind,
        }
    if len(parts) > 1:
        # Without a container it is the files beside the metadata; readers look for no rows in a set of single files.
        yield {"@type": "cr:FileSet", "@id": _FILES, "includes": "data/*.parquet", **kind}


def _records(schema: pa.Schema, parts: Sequence[Part]) -> dict[str, Any]:
    source = {"fileSet": {"@id": _FILES}} if len(parts) > 1 else {"fileObject": {"@id": parts[0].path}}
    return {
        "@type": "cr:RecordSet",
        "@id": "examples",
        "description": "One task with one answer.",
        "key": {"@id": "examples/response_id"},
        "field": [_field(column, source) for column in schema],
    }


def _field(column: pa.Field, source: dict[str, Any]) -> dict[str, Any]:
    """A column as a field; a list says so, and what has fields of its own has sub-fields."""
    told: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"examples/{column.name}",
        "description": meaning_of(column.name),
        "source": source | {"extract": {"column": column.name}},
    }
    kind = column.type
    if pa.types.is_list(kind):
        told |= {"isArray": True, "arrayShape": "-1"}
        kind = kind.value_type
    if not pa.types.is_struct(kind):
        return told | {"dataType": _data_type(kind)}
    parts = [
        {
            "@type": "cr:Field",
            "@id": f"examples/{column.name}/{part.name}",
            "dataType": _data_type(part.type),
            "source": source | {"extract": {"column": column.name}, "transform": {"jsonPath": part.name}},
        }
        for part in kind
    ]
    return told | {"subField": parts}


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "cr:Int64"
    return "cr:Float64" if pa.types.is_floating(kind) else "sc:Text"


def _responsible(examples: Examples, facts: CardFacts, models: Sequence[str]) -> dict[str, Any]:
    """What the extension for responsible AI asks for, as far as the run knows it."""
    limits = []
    if examples.verified:
        limits.append("An answer and the tests that it passed may be wrong in the same way; tests check few inputs.")
    if examples.verified < examples.count:
        limits.append(f"{examples.count - examples.verified} answers failed their tests or were not run.")
    if not facts.benchmarks:
        limits.append("The rows were not compared with any benchmark.")
    told: dict[str, Any] = {
        "rai:dataCollection": "Read from source code or data sets, and written by models: README.md lists the stages.",
        "rai:dataCollectionType": ["Secondary Data Analysis", *(["Machine-generated"] if models else [])],
        "rai:dataPreprocessingProtocol": [
            f"{one_line(name)}: {books.entered} in, {books.kept} kept" for name, books in facts.funnel
        ],
        "rai:dataLimitations": limits,
        "rai:dataUseCases": ["Tuning of models to answer programming tasks.", "Study of how such data are made."],
    }
    if models:
        told["rai:machineAnnotationTools"] = models
        told["rai:dataBiases"] = ["Texts that models wrote repeat the habits and errors of these models."]
    return told


def _provenance(facts: CardFacts, models: Sequence[str]) -> dict[str, Any]:
    """The program and the models that made the rows, in the words of PROV."""
    version = one_line(facts.run.get("selfcodealign", ""))
    agents = [{"@type": "prov:SoftwareAgent", "sc:name": name} for name in models]
    agents.append({"@type": "prov:SoftwareAgent", "sc:name": f"selfcodealign {version}".strip()})
    return {"prov:wasAttributedTo": agents}
