"""The chat format of the tuned model, and the rendering of conversations.

The plain format adds no token: any base tokenizer can write it, so no new embedding has to be learned.

    ### Instruction
    {instruction}

    ### Response
    {response}{end token}

A base model with a chat template may keep that template (`train.chat_template = "model"`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from selfcodealign.errors import TrainingError, did_you_mean

#: Jinja, for `tokenizer.chat_template`. The generation markers let other trainers put loss on the responses only
#: (`assistant_only_loss` of TRL, `return_assistant_tokens_mask` of transformers).
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### Instruction\\n' + message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '### Response\\n' }}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% if not loop.last %}{{ '\\n\\n' }}{% endif %}"
    "{% else %}{{ raise_exception('unknown role: ' + message['role']) }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response\\n' }}{% endif %}"
)

ROLES = ("system", "user", "assistant")


def write_prompt(instruction: str) -> str:
    """Write the prompt of the plain format, up to the start of the response (without a beginning-of-text token)."""
    return f"### Instruction\n{instruction}\n\n### Response\n"


@dataclass(frozen=True)
class Chat:
    """A tokenizer with the chat template it is saved with, and the tokens that end a response."""

    tokenizer: Any
    end_ids: frozenset[int]

    def render(self, messages: list[dict[str, str]], *, answer_next: bool = False) -> str:
        """Render the conversation as text; `answer_next` adds the generation prompt.

        Raises `TrainingError` if the template refuses the conversation.
        """
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer_next)
        except Exception as error:  # a template is a program: it may raise anything
            raise TrainingError(f"the chat template refuses a conversation: {error}") from error

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Tokenize texts that already contain their special tokens."""
        return self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]


def open_chat(tokenizer: Any, template: Literal["plain", "model"]) -> Chat:
    """Set the chat template of `tokenizer` and find its end tokens.

    The end token replaces a missing pad token: padding carries no loss here, so the end token keeps its meaning.
    Raises `TrainingError` if there is no end token, or no template although `template` is "model".
    """
    if tokenizer.eos_token_id is None:
        raise TrainingError("the tokenizer has no end-of-text token: set eos_token in its tokenizer_config.json")
    if template == "plain":
        begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
        tokenizer.chat_template = "{{ bos_token }}" * begins + PLAIN_TEMPLATE
    elif not tokenizer.chat_template:
        raise TrainingError('this model has no chat template: set train.chat_template = "plain"')
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return Chat(tokenizer, frozenset({tokenizer.eos_token_id, _closing_token(tokenizer)}))


def _closing_token(tokenizer: Any) -> int:
    """Find the special token that the template writes after a response (ChatML: <|im_end|>), else the end token."""
    marker = "ANSWER"
    messages = [{"role": "user", "content": "QUESTION"}, {"role": "assistant", "content": marker}]
    behind = tokenizer.apply_chat_template(messages, tokenize=False).rpartition(marker)[2]
    ids = tokenizer(behind, add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return next((token for token in ids if token in special), tokenizer.eos_token_id)


def check_messages(messages: list[dict[str, str]], where: str) -> None:
    """Raise `TrainingError` for a role or shape that no template supports; `where` is what holds them, in words."""
    if not messages:
        raise TrainingError(f"{where} has no messages")
    for message in messages:
        role = message.get("role")
        if role not in ROLES:
            raise TrainingError(f'{where} has the role "{role}"{did_you_mean(str(role), ROLES)}')
        if not isinstance(message.get("content"), str):
            raise TrainingError(f"{where}: the content of a message must be text")
