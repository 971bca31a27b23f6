"""The metadata of a card, in the words of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfcodealign.dataset.authors import Author, models_of, of_field
from selfcodealign.dataset.counts import Examples, Files
from selfcodealign.dataset.licences import licence_metadata, name_licence
from selfcodealign.rows import IMPORTED


def card_metadata(
    examples: Examples, authors: Sequence[Author], stated: str, data_files: str, files: Files | None
) -> dict[str, Any]:
    """What the hub reads of a card: which files to load, what to find the data set by. `stated`: the licence, or ""."""
    asked = models_of(of_field(authors, "instruction"))
    written = models_of(authors)
    return {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": data_files}]}],
        "dataset_info": _sizes(examples.count, files) if files else None,
        **licence_metadata(name_licence(examples.licences, stated)),
        "task_categories": ["text-generation"],
        "pretty_name": title_of(authors),
        # Prompts of this package are English; texts of others may be in any language.
        "language": [*(["en"] if asked else []), "code"],
        "size_categories": [_size(examples.count)],
        "annotations_creators": ["machine-generated"] if written else ["found"],
        "language_creators": ["machine-generated"] if written else ["found"],
        "source_datasets": ["extended"] if set(examples.kinds) == {IMPORTED} else ["original"],
        "tags": ["code", *(["synthetic"] if written else []), "selfcodealign"],
    }


def _sizes(count: int, files: Files) -> dict[str, Any]:
    """What `datasets` compares with what it has loaded."""
    split = {"name": "train", "num_bytes": files.loaded_bytes, "num_examples": count}
    sizes = {"download_size": files.bytes, "dataset_size": files.loaded_bytes}
    return {"config_name": "default", "splits": [split], **sizes}


def _size(count: int) -> str:
    """The hub's word for a number of rows."""
    bounds = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
    return next((name for bound, name in bounds.items() if count < bound), "10M<n<100M")


def title_of(authors: Sequence[Author]) -> str:
    """One model that has written all texts has aligned itself."""
    asked, answered = (models_of(of_field(authors, field)) for field in ("instruction", "response"))
    return "Self-aligned code instructions" if asked == answered and len(asked) == 1 else "Code instructions"
