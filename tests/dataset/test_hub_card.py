"""The card as the hub and its readers take it: metadata, tables, and texts of others that stay texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from selfcodealign.dataset.authors import Author
from selfcodealign.dataset.card import write_card
from selfcodealign.dataset.columns import COLUMNS
from selfcodealign.dataset.counts import Examples, Files
from selfcodealign.dataset.markup import code, front_matter, plain, table
from selfcodealign.recipe import load_recipe, recipe_toml
from selfcodealign.rows import IMPORTED, Example, grow
from tests.support.hostile_names import HOSTILE, facts
from tests.support.rows import make_response

#: As READMEs are shown: HTML of the text passes, and so is seen here.
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def tokens_of(text: str) -> list[Any]:
    found = []
    for token in MARKDOWN.parse(text):
        found += [token, *(token.children or [])]
    return found


def card_of(word: str, **changes: Any) -> str:
    examples = Examples()
    for number, status in enumerate(("passed", "failed")):
        row = make_response(number, status=status, licence=word, origin=word, seed="x = 1", **changes)
        examples.add(grow(row, Example, samples=2, pass_rate=0.5))
    return write_card(examples, facts(word), "data/train-0-*.parquet", Files(10, 20), [*COLUMNS, word])


def metadata_of(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_of_others_stay_texts(word: str) -> None:
    """Whatever an origin, a licence, a model, a benchmark or a setting is called: the card has the same metadata keys,
    headings and tables, and no link, picture, emphasis or HTML of theirs."""
    card, usual = card_of(word), card_of("usual")
    assert metadata_of(card).keys() | {"license_link", "license_name"} == metadata_of(usual).keys() | {
        "license_link",
        "license_name",
    }
    body, expected = (text.partition("\n---\n")[2] for text in (card, usual))
    seen, wanted = ([one.type for one in tokens_of(text)] for text in (body, expected))
    for kind in ("html_block", "html_inline", "link_open", "image", "em_open", "s_open"):
        assert kind not in seen
    for kind in ("heading_open", "table_open", "tr_open", "td_open", "th_open", "fence", "list_item_open", "hr"):
        assert seen.count(kind) == wanted.count(kind), kind
    texts = [one.content for one in tokens_of(body) if one.type == "text"]
    assert not any("evil.example" in one for one in texts), "an address outside a code span becomes a link by itself"


@given(st.text())
def test_any_text_is_one_value_of_yaml_and_one_cell(text: str) -> None:
    """YAML's reader gives one text back, without what nobody sees; a table has its two cells."""
    lines = front_matter({"a": text or "x", "b": [{"c": text, "d": [text]}], "e": {text: text}})
    read = yaml.safe_load("\n".join(lines[1:-1]))
    assert isinstance(read["a"], str)
    assert read["b"][0]["c"] == read["b"][0]["d"][0]
    assert len(read["e"]) == 1
    shown = MARKDOWN.parse("\n".join(table(("x", "y"), [(plain(text), code(text))])))
    assert [one.type for one in shown].count("td_open") == 2


def test_the_metadata_is_what_the_hub_knows() -> None:
    """Sizes, languages, licence with its page, who made it; huggingface_hub reads them."""
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard(card_of("PSF-2.0"))
    told = card.data.to_dict()
    assert told["license"] == "other"
    assert told["license_name"] == "psf-2.0"
    assert told["license_link"] == "https://spdx.org/licenses/PSF-2.0.html"
    assert told["size_categories"] == ["n<1K"]
    assert told["language"] == ["en", "code"]
    assert told["annotations_creators"] == ["machine-generated"]
    assert told["dataset_info"]["splits"] == [{"name": "train", "num_bytes": 20, "num_examples": 2}]
    assert "synthetic" in told["tags"]
    assert hub.DatasetCard(card_of("MIT")).data.license == "mit"


def test_rows_of_others_are_not_called_synthetic() -> None:
    """Imported rows that no model wrote: found, in a language that nobody states, extending what there was."""
    examples = Examples()
    examples.add(grow(make_response(1, kind=IMPORTED), Example, samples=1, pass_rate=1.0))
    people = [Author(field, "import", source=True) for field in ("instruction", "response")]
    told = metadata_of(write_card(examples, replace(facts("x"), authors=people), "data/*"))
    assert told["annotations_creators"] == ["found"]
    assert told["language"] == ["code"]
    assert told["source_datasets"] == ["extended"]
    assert "synthetic" not in told["tags"]


def test_the_card_explains_columns_licences_and_limits() -> None:
    """Each column has a meaning; what the publisher has to check names the model; loading is shown."""
    card = card_of("MIT")
    for name in COLUMNS:
        assert f"| `{name}` | " in card
    assert "the terms of `MIT`: whether they let others be trained on its output" in card
    assert 'load_dataset("OWNER/NAME", split="train")' in card
    assert "On average 50% of the answers drawn" in card
    assert "an answer and its tests may be wrong in the same way" in card


def test_the_published_settings_hold_no_password_and_no_server(tmp_path: Any) -> None:
    """An address with a password in a source is masked; the addresses of models are left out."""
    (tmp_path / "mine.toml").write_text(
        '[seeds]\nsources = ["git:https://me:pass1234@host.example/r.git"]\n[model]\nname = "m"\nurls = ["http://me:pass1234@gpu:8000/v1"]\n'
    )
    text = recipe_toml(load_recipe(tmp_path / "mine.toml"), published=True)
    assert "pass1234" not in text
    assert "gpu:8000" not in text
