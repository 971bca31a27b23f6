"""The loss mask, and the rows that are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfcodealign.errors import TrainingError
from selfcodealign.models.chat import Chat, open_chat
from selfcodealign.training.masking import NO_LOSS, TokenRow, choose_proof, mask_rows, show_loss
from tests.support.tiny_model import make_tokenizer


@pytest.fixture(scope="module")
def chat() -> Chat:
    return open_chat(make_tokenizer(eos_token="<|end|>"), "plain")


def pair(instruction: str, response: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": instruction}, {"role": "assistant", "content": response}]


def test_loss_lies_on_the_answer_and_its_end_token_only(chat: Chat):
    """The marked text is the response and the end token, the rest is the prompt."""
    (row,) = mask_rows([pair("Add.", "def add(): ...")], chat, 100).rows
    pieces = show_loss(row, chat)
    assert [(piece.text, piece.loss) for piece in pieces] == [
        ("### Instruction\nAdd.\n\n### Response\n", False),
        ("def add(): ...<|end|>", True),
    ]
    assert sum(piece.tokens for piece in pieces) == len(row)


def test_every_answer_of_a_conversation_carries_loss(chat: Chat):
    """Two turns: both answers with their end tokens, neither question."""
    (row,) = mask_rows([pair("A?", "one") + pair("B?", "two")], chat, 200).rows
    assert [piece.text for piece in show_loss(row, chat) if piece.loss] == ["one<|end|>", "two<|end|>"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(alphabet="abcdef ():=\n", min_size=1, max_size=60))
def test_labels_are_ids_or_nothing_and_the_row_is_the_rendered_text(chat: Chat, instruction: str, response: str):
    """Every accepted row decodes to its text, carries loss from the response on, and starts with the plain prompt."""
    accepted = mask_rows([pair("A", "b"), pair(instruction, response)], chat, 1000, bad_rows="drop")
    if len(accepted.rows) == 1:
        assert accepted.dropped == {"boundary": 1}
        return
    row = accepted.rows[1]
    prompt = chat.tokenize([chat.render(pair(instruction, response)[:1], answer_next=True)])[0]
    assert row.input_ids[: len(prompt)] == prompt
    assert row.labels == [NO_LOSS] * len(prompt) + row.input_ids[len(prompt) :]
    assert row.labels[-1] == chat.tokenizer.eos_token_id


def test_rows_too_long_are_left_out_and_counted_never_cut(chat: Chat):
    """A row over the limit is dropped and counted; other rows are complete."""
    rows = mask_rows([pair("A", "b"), pair("A", "word " * 200)], chat, 60)
    assert [row.number for row in rows.rows] == [0]
    assert rows.dropped == {"too_long": 1}
    assert rows.rows[0].labels[-1] == chat.tokenizer.eos_token_id


def test_row_without_loss_is_refused(chat: Chat):
    """An empty answer and a conversation without one have nothing to learn from."""
    for messages in (pair("A", ""), pair("A", "b")[:1]):
        with pytest.raises(TrainingError, match="row 1 has no token that carries loss"):
            mask_rows([pair("A", "b"), messages], chat, 100)


def test_answer_without_end_token_is_refused():
    """A template that writes no end token would teach the model never to stop."""
    tokenizer = make_tokenizer(eos_token="<|end|>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}" + (
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    with pytest.raises(TrainingError, match="would not learn to stop"):
        mask_rows([pair("A", "b")], open_chat(tokenizer, "model"), 100)


def test_end_token_inside_the_answer_does_not_stand_for_the_one_at_its_end():
    """The proof looks at the end of the answer, not for any end token in it."""
    tokenizer = make_tokenizer(eos_token="<|end|>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}" + (
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    with pytest.raises(TrainingError, match="would not learn to stop"):
        mask_rows([pair("A", "b<|end|> and more")], open_chat(tokenizer, "model"), 100)


def test_tokens_that_merge_over_the_boundary_are_refused():
    """Where the prompt's last and the answer's first characters make one token, the row is refused with both cuts."""
    tokenizer = make_tokenizer(eos_token="<|end|>")
    tokenizer.add_tokens(["\n\n\n"])
    chat = open_chat(tokenizer, "plain")
    with pytest.raises(TrainingError, match=r"row 0 is cut into other tokens.*apart.*together"):
        mask_rows([pair("A", "\n\nb")], chat, 100)


def test_bad_rows_can_be_left_out_with_a_count(chat: Chat):
    """`bad_rows = drop` trains on the other rows and counts the dropped ones."""
    rows = mask_rows([pair("A", ""), pair("A", "b"), pair("B", "")], chat, 100, bad_rows="drop")
    assert [row.number for row in rows.rows] == [1]
    assert rows.dropped == {"no_loss": 2}


def test_nothing_left_is_an_error_that_counts(chat: Chat):
    """No row under the limit: the message says why."""
    with pytest.raises(TrainingError, match=r"no row is left.*1 too_long.*may have 8 tokens"):
        mask_rows([pair("A", "word " * 20)], chat, 8)


def test_closing_token_with_a_line_break_behind_it_ends_the_loss():
    """ChatML: loss ends with <|im_end|>; the line break that the template adds carries none."""
    tokenizer = make_tokenizer(eos_token="<|end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    chat = open_chat(tokenizer, "model")
    (row,) = mask_rows([pair("A", "b")], chat, 100).rows
    assert [piece.text for piece in show_loss(row, chat)][1:] == ["b<|im_end|>", "\n"]


def test_proof_shows_shortest_middle_and_longest():
    """The shown rows cover all lengths."""
    rows = [TokenRow(i, [1] * length, [1] * length) for i, length in enumerate([5, 9, 1, 3, 7])]
    assert [len(row) for row in choose_proof(rows, 3)] == [1, 5, 9]
    assert [len(row) for row in choose_proof(rows, 1)] == [1]
    assert len(choose_proof(rows, 50)) == 5
