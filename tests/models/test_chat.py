"""The chat format: its text, and that the saved tokenizer alone writes it."""

from __future__ import annotations

import pytest

from selfcodealign.errors import TrainingError
from selfcodealign.models.chat import check_messages, open_chat, write_prompt
from tests.support.tiny_model import make_tokenizer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TURNS = [{"role": "user", "content": "Say hi."}, {"role": "assistant", "content": "hi"}]


def test_plain_format_is_the_documented_text():
    """An instruction and its answer give exactly the text of the docs, with one end token."""
    chat = open_chat(make_tokenizer(eos_token="<|end|>"), "plain")
    assert chat.render(TURNS) == "### Instruction\nSay hi.\n\n### Response\nhi<|end|>"


def test_prompt_is_what_the_answer_follows():
    """`write_prompt` and the template write the same prompt."""
    chat = open_chat(make_tokenizer(eos_token="<|end|>"), "plain")
    assert chat.render(TURNS[:1], answer_next=True) == write_prompt("Say hi.")


def test_system_and_further_turns_stand_in_order():
    """A system text comes first; a second question begins after an empty line."""
    chat = open_chat(make_tokenizer(eos_token="<|end|>"), "plain")
    text = chat.render([{"role": "system", "content": "Be short."}, *TURNS, *TURNS])
    turn = "### Instruction\nSay hi.\n\n### Response\nhi<|end|>"
    assert text == f"Be short.\n\n{turn}\n\n{turn}"


def test_beginning_token_is_written_where_the_base_expects_one():
    """A base tokenizer's beginning-of-text token also begins the chat format."""
    chat = open_chat(make_tokenizer(eos_token="<|end|>", bos_token="<|begin|>"), "plain")
    assert chat.render(TURNS).startswith("<|begin|>### Instruction")


def test_tokenizer_without_pad_token_gets_one():
    """The end token becomes the pad token; the end token does not change."""
    tokenizer = make_tokenizer(eos_token="<|end|>")
    assert tokenizer.pad_token_id is None
    chat = open_chat(tokenizer, "plain")
    assert chat.tokenizer.pad_token_id == chat.tokenizer.eos_token_id
    assert chat.end_ids == {chat.tokenizer.eos_token_id}


def test_own_template_is_kept_and_its_closing_token_found():
    """With "model" the template stays, and the token that closes a response is an end token."""
    tokenizer = make_tokenizer(eos_token="<|end|>", extra="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    chat = open_chat(tokenizer, "model")
    assert chat.tokenizer.chat_template == CHATML
    assert chat.end_ids == {tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.eos_token_id}


def test_missing_template_and_missing_end_token_are_refused():
    """Each of the two errors names the fix."""
    with pytest.raises(TrainingError, match="no chat template"):
        open_chat(make_tokenizer(eos_token="<|end|>"), "model")
    with pytest.raises(TrainingError, match="set eos_token"):
        open_chat(make_tokenizer(), "plain")


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "row 7 has no messages"),
        ([{"role": "assistent", "content": "x"}], 'did you mean "assistant"'),
        ([{"role": "user", "content": None}], "must be text"),
    ],
)
def test_messages_no_template_knows_are_refused(messages: list, words: str):
    """The message names the row and what is wrong with it."""
    with pytest.raises(TrainingError, match=words):
        check_messages(messages, "row 7")


def test_generation_markers_agree_with_ours():
    """The mask that transformers reads from the saved template is the mask that training used."""
    from selfcodealign.training.masking import NO_LOSS, mask_rows

    chat = open_chat(make_tokenizer(eos_token="<|end|>"), "plain")
    read = chat.tokenizer.apply_chat_template(
        TURNS + TURNS, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    (row,) = mask_rows([TURNS + TURNS], chat, 500).rows
    assert read["input_ids"] == row.input_ids
    assert read["assistant_masks"] == [int(label != NO_LOSS) for label in row.labels]
