"""The tokenizer: byte-level BPE with single digits, and one token for each tag of the prompt layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny.corpus import END, Corpus

VOCABULARY = 1536
# A prompt ends after an opening tag's line, so no token spans that place; in chat a response begins with a fence after
# a line end, so no token holds both.
RESPONSE_END = "\n```\n</response>\n<tests>\n"
FENCE = "```"
TAGS = (
    "## Example ",
    "<snippet>\n",
    "\n</snippet>\n<concepts>\n",
    "\n</concepts>",
    "<properties>\n",
    "\n</properties>\n<instruction>\n",
    "<instruction>\n",
    "\n</instruction>\n<response>\n",
    "\n</instruction>",
    "```python\n",
    RESPONSE_END,
    "\n```\n</tests>",
)
# Words with the space or underscore before them, digits alone, signs with the spaces around them, indented line ends.
PIECES = r"\n *|[ _]?[A-Za-z]+|\d| ?[^\sA-Za-z\d]+ ?|\s"


def train_tokenizer(documents: int = 12000, seed: int = -1) -> Any:
    """Train the tokenizer (a `tokenizers.Tokenizer`) on a part of the corpus."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    corpus = Corpus(seed)
    texts = [corpus.draw_document() for _ in range(documents)]
    for tag in TAGS:
        texts = [text.replace(tag, "\n") for text in texts]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(TAGS),
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in TAGS])
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path, window: int) -> None:
    """Write tokenizer.json and tokenizer_config.json for transformers."""
    from transformers import PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=window,
        padding_side="left",
    )
    wrapped.save_pretrained(folder)
