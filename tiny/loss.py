"""The loss: cross-entropy of the next token, weighted by what a token is for."""

from __future__ import annotations

from typing import Any

from tiny.tokens import TAGS

SNIPPET_WEIGHT = 0.15  # real functions are context, not text to memorize
CONCEPT_WEIGHT = 4.0  # a few tokens teach what to look for in a hundred


def weigh_tokens(batch: Any, tags: tuple[int, int, int]) -> Any:
    """Weigh target tokens: snippets little, concepts much. `batch` [b, WINDOW + 1] → float [b, WINDOW].

    `tags` are the tokens that open a snippet, close it, open its concepts, and close them.
    """
    opened, turned, closed = ((batch == tag).cumsum(1)[:, :-1] for tag in tags)
    return 1.0 - (1.0 - SNIPPET_WEIGHT) * (opened > turned).float() + (CONCEPT_WEIGHT - 1.0) * (turned > closed).float()


def read_tags(tokenizer: Any) -> tuple[int, int, int]:
    """Return the `tags` for `weigh_tokens`."""
    opening, turning, closing = (tokenizer.encode(tag, add_special_tokens=False).ids[0] for tag in TAGS[1:4])
    return opening, turning, closing


def loss_of(model: Any, batch: Any, weights: Any, device: str) -> Any:
    """Return the weighted mean cross-entropy of the next token, computed in bf16."""
    import torch

    with torch.autocast(device, dtype=torch.bfloat16):
        hidden = model.model(input_ids=batch[:, :-1], use_cache=False).last_hidden_state
        logits = torch.nn.functional.linear(hidden, model.lm_head.weight)
    losses = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()
