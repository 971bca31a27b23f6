"""A local checkpoint continues text like transformers, for any other rows in the batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from selfcodealign.errors import ModelError  # noqa: E402
from selfcodealign.models import Completion, PromptTooLong, Sampling, prefixes, slots  # noqa: E402
from selfcodealign.models.local import LocalModel  # noqa: E402
from selfcodealign.settings import ModelSettings  # noqa: E402
from tests.support.tiny_checkpoints import make_checkpoint  # noqa: E402

PROMPTS = ["def f(x):", "a", "Write a class that counts.", "ab</a> déjà vu 漢字", "x" * 40, "\n\n", "0123456789", "#"]
GREEDY = Sampling(temperature=0.0, max_tokens=24)
WARM = Sampling(temperature=1.0, max_tokens=24)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grouped-query attention, as in most current models."""
    return make_checkpoint(tmp_path_factory.mktemp("tiny"))


def using(folder: Path | str, job: Callable[[LocalModel], Coroutine[Any, Any, Any]], **values: Any) -> Any:
    """Run `job` on the opened model."""

    async def run() -> Any:
        async with LocalModel(ModelSettings(name=str(folder), device="cpu", **values)) as model:
            return await job(model)

    return asyncio.run(run())


def ask(folder: Path | str, calls: list[tuple[str, Sampling, int]], **values: Any) -> list[Completion]:
    """Make all calls at once."""

    async def job(model: LocalModel) -> list[Completion]:
        return await asyncio.gather(*(model.complete(prompt, sampling, seed=seed) for prompt, sampling, seed in calls))

    return using(folder, job, **values)


def generate_greedily(folder: Path, prompts: list[str], count: int) -> list[tuple[str, bool]]:
    """Return what transformers' `generate` writes, one prompt at a time, and whether it ended at an end token."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        written = model.generate(ids, max_new_tokens=count, do_sample=False)[0]
        whole = tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        texts.append((whole[len(prompt) :], written[-1].item() == tokenizer.eos_token_id))
    return texts


@pytest.mark.parametrize(
    "values",
    [{}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1}, {"tie_word_embeddings": True}],
    ids=["grouped", "one each", "one for all", "tied"],
)
def test_greedy_equals_generate(tmp_path: Path, values: dict[str, Any]):
    """Rows that enter and leave a batch write the same as `generate` for each row alone."""
    folder = make_checkpoint(tmp_path, **values)
    got = ask(folder, [(prompt, GREEDY, 0) for prompt in PROMPTS], batch_size=3)
    for (text, ended), completion in zip(generate_greedily(folder, PROMPTS, 24), got, strict=True):
        assert (completion.text, completion.finish_reason) == (text, "stop" if ended else "length")
    assert len({completion.text for completion in got}) > 4


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Qwen2ForCausalLM", {}),
        ("GPT2LMHeadModel", {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 96}),
        ("Starcoder2ForCausalLM", {"sliding_window": 9}),
        ("MistralForCausalLM", {"sliding_window": 9}),
    ],
)
def test_other_architectures(tmp_path: Path, name: str, values: dict[str, Any]):
    """Biases, learned positions, sliding windows: the decode loop is independent of the architecture."""
    folder = make_checkpoint(tmp_path, architecture=getattr(transformers, name), **values)
    got = ask(folder, [(prompt, GREEDY, 0) for prompt in PROMPTS], batch_size=4)
    assert [completion.text for completion in got] == [text for text, _ in generate_greedily(folder, PROMPTS, 24)]


def test_company_in_the_batch_changes_nothing(checkpoint: Path):
    """A sampled row is the same alone, with other rows, in another order and in another batch size."""
    calls = [(prompt, Sampling(temperature=0.8, top_p=0.95, max_tokens=30), 31 * i) for i, prompt in enumerate(PROMPTS)]
    together = ask(checkpoint, calls)
    assert ask(checkpoint, calls[::-1], batch_size=3)[::-1] == together
    assert [ask(checkpoint, [call])[0] for call in calls[:3]] == together[:3]


def test_shared_beginnings_change_nothing(checkpoint: Path):
    """Equal prompts, and prompts with a long common prefix, reuse each other's keys and values."""
    few_shot = "## Example 1\n<snippet>\ndef add(a, b): ...\n</snippet>\n"
    prompts = [few_shot + ending for ending in ("x", "yy", "zzz", "x", "x", "ab", "")] + [few_shot[:30], few_shot[:31]]
    calls = [(prompt, WARM, seed) for seed, prompt in enumerate(prompts)]
    alone = [ask(checkpoint, [call])[0] for call in calls]
    assert ask(checkpoint, calls) == alone
    assert ask(checkpoint, calls * 2, batch_size=2) == alone * 2


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short blocks, slots and tails, so that short texts go through all of them."""
    monkeypatch.setattr(prefixes, "BLOCK", 4)
    monkeypatch.setattr(slots, "BLOCK", 4)
    monkeypatch.setattr(slots, "LONGEST_SLOT", 9)
    monkeypatch.setattr(slots, "LONGEST_TAIL", 11)


#: Texts that share beginnings of several lengths.
LONG: list[str] = [
    "0123456789" * 3 + middle + end for middle in ("", "ab" * 6, "xyz" * 9) for end in ("c", "de", "f" * 14)
]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("window", [None, 35])
def test_long_prompts_and_texts_equal_generate(tmp_path: Path, window: int | None):
    """Prompts whose beginnings are shared at several places, texts longer than a tail, a window that slides over all of
    them: the text is what `generate` writes."""
    architecture = transformers.MistralForCausalLM
    folder = make_checkpoint(
        tmp_path, architecture=architecture, max_position_embeddings=512, sliding_window=window, head_dim=8
    )
    got = ask(folder, [(prompt, Sampling(0.0, max_tokens=40), 0) for prompt in LONG], batch_size=4)
    assert [completion.text for completion in got] == [text for text, _ in generate_greedily(folder, LONG, 40)]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(("tokens", "sent_back"), [(150, False), (650, True)])
def test_little_memory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: int, sent_back: bool):
    """Where keys and values of few rows fit, rows wait, and rows that no longer fit are sent back and read again."""
    from selfcodealign.models.decoding import Decoder

    sent: list[int] = []
    make_room = Decoder._make_room

    def watch(decoder: Decoder) -> None:
        before = len(decoder.active)
        make_room(decoder)
        sent.append(before - len(decoder.active))

    monkeypatch.setattr(Decoder, "_make_room", watch)
    folder = make_checkpoint(tmp_path, max_position_embeddings=512)
    calls = [(prompt, Sampling(1.0, max_tokens=60), seed) for seed, prompt in enumerate(LONG)]
    little = tokens * 256 / 2**30  # keys and values: two layers, two heads, eight numbers of four bytes
    assert ask(folder, calls, batch_size=9, cache_gib=little) == ask(folder, calls, batch_size=9)
    assert any(sent) == sent_back


def test_a_looping_text_is_ended(checkpoint: Path):
    """A text that repeats itself ends with "loop" where that is asked for, long before its limit."""
    model = make_checkpoint(checkpoint.parent / "still", max_position_embeddings=700, initializer_range=0.0)
    plain, watched = ask(
        model, [("a", Sampling(0.0, max_tokens=600), 0), ("a", Sampling(0.0, max_tokens=600, stop_loops=True), 0)]
    )
    assert (plain.finish_reason, plain.completion_tokens) == ("length", 600)
    assert watched.finish_reason == "loop"
    assert watched.completion_tokens < 500
    assert plain.text.startswith(watched.text)


def test_seeds_make_rows_differ(checkpoint: Path):
    """Ten seeds of one prompt write ten texts; one seed writes one."""
    got = ask(checkpoint, [(PROMPTS[0], WARM, seed) for seed in [*range(10), 3]])
    assert len({completion.text for completion in got}) == 10
    assert got[3] == got[10]


def test_temperatures_mix(checkpoint: Path):
    """Greedy and sampled rows, with and without top_p, share a batch."""
    kinds = [GREEDY, WARM, Sampling(temperature=1.0, top_p=0.5, max_tokens=24)]
    calls = [(prompt, kind, 5) for prompt in PROMPTS for kind in kinds]
    assert ask(checkpoint, calls) == ask(checkpoint, calls, batch_size=1)


def test_stop_string_ends_the_text(checkpoint: Path):
    """The text ends before the stop string, wherever tokens begin and end, and the reason is "stop"."""
    whole = ask(checkpoint, [(PROMPTS[2], WARM, 1)])[0].text
    stops = {whole[start : start + length] for start in range(2, 12) for length in (1, 3, 5)}
    calls = [(PROMPTS[2], Sampling(temperature=1.0, max_tokens=24, stop=("never", stop)), 1) for stop in sorted(stops)]
    for (_, sampling, _), got in zip(calls, ask(checkpoint, calls), strict=True):
        assert (got.text, got.finish_reason) == (whole[: whole.find(sampling.stop[1])], "stop")
        assert got.completion_tokens < 24


def test_end_of_text_token_ends_the_row(checkpoint: Path):
    """The end-of-text token is no part of the text, and is counted."""
    got = ask(checkpoint, [("a", Sampling(temperature=1.5, max_tokens=80), seed) for seed in range(40)])
    ended = [completion for completion in got if completion.finish_reason == "stop"]
    assert ended
    assert all("<|end|>" not in completion.text for completion in got)
    assert all(completion.completion_tokens < 80 for completion in ended)


def test_max_tokens_and_context_cut_by_length(checkpoint: Path):
    """`max_tokens` cuts, and so does the context of 96 tokens."""
    short, full = ask(
        checkpoint, [("x" * 10, Sampling(0.0, max_tokens=5), 0), ("x" * 90, Sampling(0.0, max_tokens=50), 0)]
    )
    assert (short.finish_reason, short.prompt_tokens, short.completion_tokens) == ("length", 10, 5)
    assert (full.finish_reason, full.prompt_tokens, full.completion_tokens) == ("length", 90, 6)


def test_prompt_that_leaves_no_room(checkpoint: Path):
    """A prompt as long as the context is a bad row; one token less fits, and other rows continue."""

    async def job(model: LocalModel) -> list[Any]:
        calls = (model.complete("x" * count, GREEDY, seed=0) for count in (96, 95, 500))
        return await asyncio.gather(*calls, return_exceptions=True)

    full, fits, long = using(checkpoint, job)
    assert isinstance(full, PromptTooLong)
    assert isinstance(long, PromptTooLong)
    assert fits.completion_tokens == 1
    assert str(long) == "the prompt has 500 tokens, the model's context 96"


def test_cancelled_calls_leave_the_batch(checkpoint: Path):
    """A cancelled call frees its slot for the next call."""

    async def job(model: LocalModel) -> tuple[Completion, list[Any]]:
        endless = [asyncio.create_task(model.complete("a", Sampling(1.5, max_tokens=80), seed=i)) for i in range(50)]
        await asyncio.sleep(0.05)
        for task in endless:
            task.cancel()
        return await model.complete("b", GREEDY, seed=0), await asyncio.gather(*endless, return_exceptions=True)

    answer, rest = using(checkpoint, job, batch_size=2)
    assert answer == ask(checkpoint, [("b", GREEDY, 0)])[0]
    assert sum(isinstance(one, asyncio.CancelledError) for one in rest) >= 40


def test_rows_that_write_on_beside_cancelled_ones_change_nothing(checkpoint: Path):
    """Every second row of a batch is cancelled while it is written; the others write what they write alone."""
    endless = Sampling(temperature=1.5, max_tokens=60)
    calls = [(prompt, endless, seed) for seed, prompt in enumerate(PROMPTS)]

    async def job(model: LocalModel) -> list[Completion | BaseException]:
        tasks = [asyncio.create_task(model.complete(prompt, sampling, seed=seed)) for prompt, sampling, seed in calls]
        while model.under_way().completion_tokens < 2 * len(calls):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found, alone = using(checkpoint, job), ask(checkpoint, calls, batch_size=1)
    assert found[1::2] == alone[1::2]


def test_identity_changes_with_the_weights(tmp_path: Path):
    """The revision of a folder depends on its files, so rows of other weights are not reused."""

    async def job(model: LocalModel) -> dict[str, str]:
        return model.identity()

    first = using(make_checkpoint(tmp_path / "a"), job)
    again = using(make_checkpoint(tmp_path / "b"), job)
    other = using(make_checkpoint(tmp_path / "c", initializer_range=0.2), job)
    assert first["name"] == str(tmp_path / "a")
    assert first["revision"] == again["revision"] != other["revision"]
    assert (first["engine"], first["device"], first["dtype"], first["context"]) == (
        "transformers",
        "cpu",
        "float32",
        "96",
    )
    assert first["engine_version"].startswith(transformers.__version__)


def test_dead_engine_ends_all_calls(checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    """When the engine dies, all active and all later calls get the reason."""
    from selfcodealign.models.decoding import Decoder

    async def job(model: LocalModel) -> list[Any]:
        monkeypatch.setattr(Decoder, "step", lambda self: 1 / 0)
        first = await asyncio.gather(*(model.complete("a", GREEDY, seed=i) for i in range(5)), return_exceptions=True)
        return [*first, *await asyncio.gather(model.complete("a", GREEDY, seed=9), return_exceptions=True)]

    errors = using(checkpoint, job)
    assert {(type(error), str(error)) for error in errors} == {
        (ModelError, "the local model died: ZeroDivisionError: division by zero")
    }
