"""Write a training checkpoint's averaged weights as the embedded model: bf16 safetensors, configuration, tokenizer.

python -m tiny.export --checkpoint checkpoints/tiny --to selfcodealign/embedded
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from tiny.benchmark import EMBEDDED
from tiny.corpus import WINDOW
from tiny.model import new_model
from tiny.tokens import FENCE, RESPONSE_END, save_tokenizer

CONTEXT = 512
# Large enough for tuning to learn the fence, small enough that the base model never writes it instead of the tag.
FENCE_SHARE = 0.6


def export(checkpoint: Path, to: Path, averaged: bool = True) -> dict[str, object]:
    """Write the model files to `to`; return the facts for the model card."""
    import torch
    from tokenizers import Tokenizer

    state = torch.load(checkpoint / "state.pt", map_location="cpu")
    model = new_model()
    model.load_state_dict(state["average" if averaged else "model"])
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    add_fence(model, tokenizer)
    model = model.to(torch.bfloat16)
    model.config.max_position_embeddings = CONTEXT
    model.config.dtype = torch.bfloat16
    to.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(to, safe_serialization=True)
    save_tokenizer(tokenizer, to, CONTEXT)
    step, tokens, _, elapsed = state["progress"]
    weights = (to / "model.safetensors").read_bytes()
    facts = {
        "sha256": hashlib.sha256(weights).hexdigest(),
        "bytes": len(weights),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": step,
        "tokens": tokens,
        "minutes": round(elapsed / 60, 1),
        "window": WINDOW,
        **state.get("facts", {}),
    }
    (to / "training.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    return facts


def add_fence(model: Any, tokenizer: Any) -> None:
    """Make a closing fence one token, with a fraction of the embedding of the tag that closes a response.

    The corpus never shows a fence alone, but in chat every response ends with one. Spelt in three tokens that the model
    has never seen together, a tuned model gets the fence wrong in a tenth of its responses.
    """
    import torch
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(FENCE, normalized=False, special=False)])
    with torch.no_grad():
        rows = model.get_input_embeddings().weight
        rows[tokenizer.token_to_id(FENCE)] = FENCE_SHARE * rows[tokenizer.token_to_id(RESPONSE_END)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument("--to", type=Path, default=EMBEDDED)
    parser.add_argument("--last", action="store_true", help="export the last weights instead of their average")
    options = parser.parse_args()
    print(json.dumps(export(options.checkpoint, options.to, not options.last)))


if __name__ == "__main__":
    main()
