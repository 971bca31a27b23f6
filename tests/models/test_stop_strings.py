"""Detokenized text is exact, and stop strings are detected at the token that completes them."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from hypothesis import given, settings
from hypothesis import strategies as st

from selfcodealign.models.stop_strings import Detokenizer, can_end, cut_at_stop
from tests.support.tiny_checkpoints import make_tokenizer

TOKENIZER = make_tokenizer()


def decode(ids: list[int]) -> str:
    return str(TOKENIZER.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def decode_like_sentencepiece(ids: list[int]) -> str:
    """Decode like Llama 2's tokenizer, which drops a leading space."""
    pieces = [" a", " b", "ab", "</", "a", ">", " ", "\n", "  "]
    return "".join(pieces[number] for number in ids).removeprefix(" ")


@settings(max_examples=300, deadline=None)
@given(
    st.text("ab</> d\n", max_size=12),
    st.text("ab</> dé漢\n", max_size=30),
    st.lists(st.text("ab</> dé\n", min_size=1, max_size=5), max_size=3),
)
def test_stop_strings_are_noticed_at_once(prompt: str, text: str, stop: list[str]):
    """The check is true exactly at the token where the text first holds a stop string."""
    ids = TOKENIZER(prompt)["input_ids"]
    written = TOKENIZER(text)["input_ids"]
    detokenizer = Detokenizer(decode)
    for count in range(1, len(written) + 1):
        so_far = decode(written[:count])
        found = any(mark in so_far for mark in stop)
        assert detokenizer.ends([*ids, *written[:count]], len(ids), tuple(stop)) == found
        if found:
            break


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=8), st.lists(st.integers(0, 8), min_size=1, max_size=12))
def test_text_is_what_decoding_the_whole_adds(prompt: list[int], written: list[int]):
    """A space that a tokenizer drops at the beginning of a text is kept in a completion."""
    text = Detokenizer(decode_like_sentencepiece).read([*prompt, *written], len(prompt))
    assert text == decode_like_sentencepiece([*prompt, *written])[len(decode_like_sentencepiece(prompt)) :]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=3),
    st.lists(st.integers(0, 8), min_size=1, max_size=12),
    st.text("ab</> \n", min_size=1, max_size=4),
)
def test_stop_strings_with_dropped_spaces(prompt: list[int], written: list[int], mark: str):
    """The same for a tokenizer whose pieces look different alone."""
    detokenizer = Detokenizer(decode_like_sentencepiece)
    for count in range(1, len(written) + 1):
        found = mark in detokenizer.read([*prompt, *written[:count]], len(prompt))
        assert detokenizer.ends([*prompt, *written[:count]], len(prompt), (mark,)) == found
        if found:
            break


def test_character_split_between_prompt_and_text():
    """A character whose bytes lie on both sides of the prompt's end does no harm."""
    ids = TOKENIZER("é!")["input_ids"]
    assert Detokenizer(decode).read(ids, 1).endswith("!")


def test_first_stop_string_cuts():
    """The earliest position counts, not the order of the stop strings."""
    assert cut_at_stop("one END two STOP", ("STOP", "END")) == "one "
    assert cut_at_stop("one", ()) == "one"


@pytest.mark.parametrize(
    ("piece", "mark", "wanted"),
    [
        (">", "</a>", True),
        ("a>", "</a>", True),
        ("x>", "</a>", False),
        ("</a>y", "</a>", True),
        (" the", "\n## Example", False),
        ("mple 3", "\n## Example", True),
        ("\ufffd", "é", True),
        ("", " ", True),
    ],
)
def test_which_tokens_can_end_a_stop_string(piece: str, mark: str, wanted: bool):
    """Most tokens cannot, and need no decoding."""
    assert can_end(piece, mark) is wanted
