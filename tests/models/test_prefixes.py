"""The radix tree of prompt prefixes, and the memory of keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from selfcodealign.models import Sampling  # noqa: E402
from selfcodealign.models.decoding import BatchRow, Decoder  # noqa: E402
from selfcodealign.models.prefixes import BLOCK, PrefixTree, chain_of  # noqa: E402
from selfcodealign.models.slot_layer import Stopped  # noqa: E402
from selfcodealign.models.slots import LONGEST_SLOT  # noqa: E402
from selfcodealign.models.stop_strings import Detokenizer  # noqa: E402

#: Prompts made of few kinds of blocks, so that they share beginnings.
PROMPTS = st.lists(st.lists(st.sampled_from([1, 2]), min_size=1, max_size=6), min_size=1, max_size=12)


def spell(blocks: list[int]) -> np.ndarray:
    """Blocks of one token each, and a few tokens that fill no block."""
    return np.concatenate([np.full(BLOCK, block, dtype=np.int64) for block in blocks] + [np.array([7, 8, 9])])


def make_decoder(rows: int = 64, memory: int = 2**30, **values: Any) -> Decoder:
    """A decoder of a small model with random weights."""
    from selfcodealign.models.slot_attention import ATTENTION

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(vocab_size=64, max_position_embeddings=8192, **shape)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION).eval()
    return Decoder(model, Detokenizer(lambda ids: "a" * len(ids)), frozenset(), rows, memory, **values)


@given(PROMPTS)
def test_the_tree_spells_what_was_put_in(prompts: list[list[int]]):
    """Whatever prompts come in whatever order, a chain spells the prompt it was found for, covers all its whole blocks
    once they were added, and the tree holds every beginning once."""
    tree = PrefixTree()
    for blocks in prompts:
        ids = spell(blocks)
        known = tree.measure(ids)
        chain, covered = tree.match(ids)
        assert known == covered
        whole = len(ids) // BLOCK * BLOCK
        if covered < whole:
            chain = [*chain, tree.add(chain, ids[covered:whole])]
        tree.hold(chain)
        assert chain_of(chain[-1]) == chain
        assert np.array_equal(np.concatenate([node.tokens for node in chain]), ids[:whole])
        assert [node.start for node in chain] == [0, *(node.end for node in chain[:-1])]
    beginnings = {tuple(blocks[:end]) for blocks in prompts for end in range(1, len(blocks) + 1)}
    assert tree.tokens == BLOCK * len(beginnings)


@given(PROMPTS)
def test_only_what_nobody_uses_is_forgotten(prompts: list[list[int]]):
    """Prefixes in use survive any eviction; when all prompts have left, everything can be forgotten."""
    tree = PrefixTree()
    last = []
    for blocks in prompts:
        ids = spell(blocks)
        chain, covered = tree.match(ids)
        whole = len(ids) // BLOCK * BLOCK
        if covered < whole:
            chain = [*chain, tree.add(chain, ids[covered:whole])]
        tree.hold(chain)
        last.append(chain[-1])
    before = tree.tokens
    assert tree.evict(before) == 0
    for node in last:
        tree.release(node)
    assert tree.evict(before) == before
    assert tree.tokens == 0


def test_memory_is_for_the_rows_there_are():
    """Two rows take the memory of two rows, however many there may be; a shared prompt takes it once."""
    decoder = make_decoder(rows=64)
    prompt = [index % 60 for index in range(4000)]
    for ending in ([1, 2], [3, 4]):
        decoder.submit(BatchRow([*prompt, *ending], Sampling(0.0, max_tokens=8), 8, seed=0))
    while decoder.active or decoder.waiting:
        decoder.step()
    token = 2 * 2 * 4 * 8 * 4  # keys and values, layers, heads, size, bytes
    assert decoder._cache.bytes() < token * 1.2 * (4000 + 4 * (LONGEST_SLOT + 64))


def test_rows_wait_for_memory():
    """No more rows are read than their keys and values have room for, and one row always goes on."""
    decoder = make_decoder(memory=1)
    for row in range(3):
        decoder.submit(BatchRow([row] * 300, Sampling(0.0, max_tokens=4), 4, seed=0))
    most = ended = 0
    while decoder.active or decoder.waiting:
        ended += len(decoder.step())
        most = max(most, len(decoder.active))
    assert (most, ended) == (1, 3)


def test_rows_that_outgrow_memory_leave_as_many_as_fit():
    """Sixteen rows of 60 + 120 tokens where twelve fit: the others wait, and no row is alone for long."""
    token = 2 * 2 * 4 * 8 * 4
    decoder = make_decoder(rows=16, memory=token * 12 * (64 + 128))
    for row in range(16):
        decoder.submit(BatchRow([row + 1] * 60, Sampling(0.7, max_tokens=120), 120, seed=row))
    busy, ended = [], 0
    while decoder.active or decoder.waiting:
        ended += len(decoder.step())
        busy.append(len(decoder.active))
        assert decoder._cache.bytes() <= decoder._memory or len(decoder.active) < 2 or busy[-1] == 16
    assert ended == 16
    assert len(busy) < 3 * 120


def test_a_row_that_is_sent_back_waits_until_another_ends():
    """Long texts outgrow memory again and again: a row is read again once for each row that ends, not at every step."""
    token = 2 * 2 * 4 * 8 * 4
    decoder = make_decoder(rows=12, memory=token * 6 * 830)
    for row in range(12):
        decoder.submit(BatchRow([row + 1] * 100, Sampling(0.7, max_tokens=600), 600, seed=row))
    read, before = 0, 0
    while decoder.active or decoder.waiting:
        decoder.step()
        read += max(0, decoder._cache.missing() - before)
        before = decoder._cache.missing()
    assert read < 12 * 700


def test_memory_that_an_earlier_stage_took_is_given_back():
    """Long rows, then other ones: what the first needed for slots and tails keeps no later row waiting."""
    token = 2 * 2 * 4 * 8 * 4
    decoder = make_decoder(rows=8, memory=token * 8 * (128 + 256))
    most = []
    for length, limit in ((100, 200), (2000, 4)):
        for row in range(8):
            decoder.submit(BatchRow([5] * (length - 50) + [row + 1] * 50, Sampling(0.7, max_tokens=limit), limit, row))
        most.append(0)
        while decoder.active or decoder.waiting:
            decoder.step()
            most[-1] = max(most[-1], len(decoder.active))
    assert most[0] == 8
    assert most[1] >= 4


def test_a_split_prefix_frees_its_parts_alone():
    """The memory of a part that is forgotten is not kept by the part that is in use."""
    tree = PrefixTree()
    ids = np.arange(20 * BLOCK)
    node = tree.add([], ids)
    node.state(0, torch.zeros(1, 2, 1, 4))
    (upper,), covered = tree.match(np.concatenate([ids[:BLOCK], ids[:BLOCK]]))
    assert covered == BLOCK
    assert upper.states[0][0].untyped_storage().nbytes() == 2 * BLOCK * 4 * 4
    assert node.states[0][0].untyped_storage().nbytes() == 2 * 19 * BLOCK * 4 * 4


def test_a_step_is_short_and_can_be_ended():
    """A long prompt is read over several steps, which tell how far they are; closing ends the pass itself."""
    closed: list[bool] = []
    decoder = make_decoder(stopping=lambda: bool(closed))
    decoder.submit(BatchRow([5] * 1600, Sampling(0.0, max_tokens=4), 4, seed=0))
    read = []
    while not (read and read[-1].completion_tokens):
        assert decoder.step() == []
        read.append(decoder.under_way())
    assert [one.prompt_tokens_read for one in read[:4]] == [513, 1025, 1537, 1600]
    assert {one.prompt_tokens for one in read} == {1600}
    closed.append(True)
    with pytest.raises(Stopped):
        decoder.step()
