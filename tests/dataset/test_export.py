"""A real run, written in every format and read by the trainers of that format."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from selfcodealign.dataset.export import FAILED, FORMATS, export
from selfcodealign.errors import ExportError
from selfcodealign.pipeline import run_recipe
from selfcodealign.settings import TrainSettings
from tests.support.journey import scripted_model, small_recipe, write_sources
from tests.support.places import ROOT
from tests.support.tiny_model import make_model

SFT = ("trl", "axolotl", "llama-factory", "openai")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a scripted model, about half of whose answers fail their tests in the sandbox."""
    folder = tmp_path_factory.mktemp("export")
    recipe = small_recipe(write_sources(folder / "source", 16))
    asyncio.run(run_recipe(recipe, folder / "run", model=scripted_model()))
    return folder / "run"


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def examples(run: Path) -> list[dict[str, Any]]:
    """The data set of the run."""
    (file,) = (run / "dataset" / "data").glob("*.parquet")
    return pq.read_table(file).to_pylist()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_supervised_formats_hold_the_same_pairs(run: Path, examples: list[dict[str, Any]], tmp_path: Path):
    """Each example appears once, in order, under the format's field names."""
    pairs = [(row["instruction"], row["response"]) for row in examples]
    for to in SFT:
        done = export(run, to, tmp_path / f"{to}.jsonl")
        assert done.rows == len(pairs)
    assert [
        (row["prompt"][0]["content"], row["completion"][0]["content"]) for row in read(tmp_path / "trl.jsonl")
    ] == pairs
    assert [(row["instruction"], row["output"]) for row in read(tmp_path / "llama-factory.jsonl")] == pairs
    for to in ("axolotl", "openai"):
        rows = read(tmp_path / f"{to}.jsonl")
        assert [tuple(message["content"] for message in row["messages"]) for row in rows] == pairs
        assert all([message["role"] for message in row["messages"]] == ["user", "assistant"] for row in rows)


def test_openai_rows_hold_messages_only(run: Path, tmp_path: Path):
    """The documented format: one object per line with `messages`, the last from the assistant; few rows give a note."""
    done = export(run, "openai", tmp_path / "chat.jsonl")
    rows = read(done.files[0])
    assert all(set(row) == {"messages"} for row in rows)
    assert all(set(message) == {"role", "content"} for row in rows for message in row["messages"])
    assert all(row["messages"][-1]["role"] == "assistant" and row["messages"][-1]["content"] for row in rows)
    assert bool(done.notes) == (len(rows) < 10)


def test_preference_pairs_are_a_passing_and_a_failing_answer(run: Path, examples: list[dict[str, Any]], tmp_path: Path):
    """Chosen is the example's response; rejected is a response to the same instruction that failed in the sandbox."""
    done = export(run, "dpo", tmp_path / "pairs.jsonl")
    by_instruction = {row["instruction_id"]: row for row in examples}
    dropped = [row for file in (run / "responses").glob("dropped-*") for row in pq.read_table(file).to_pylist()]
    failed = {row["response_id"]: row for row in dropped if row["reason"] in FAILED}
    pairs = read(done.files[0])
    assert 0 < len(pairs) == done.rows
    for pair in pairs:
        example, failure = by_instruction[pair["instruction_id"]], failed[pair["rejected_id"]]
        assert pair["prompt"] == [{"role": "user", "content": example["instruction"]}]
        assert pair["chosen"] == [{"role": "assistant", "content": example["response"]}]
        assert pair["rejected"] == [{"role": "assistant", "content": failure["response"]}]
        assert failure["instruction_id"] == pair["instruction_id"]
        assert pair["chosen"] != pair["rejected"]
    possible = {row["instruction_id"] for row in failed.values() if row["response"].strip()}
    assert {pair["instruction_id"] for pair in pairs} == possible & by_instruction.keys()
    again = export(run, "dpo", tmp_path / "again.jsonl")
    assert again.files[0].read_bytes() == done.files[0].read_bytes()


def test_tasks_carry_tests_and_measured_pass_rate(run: Path, examples: list[dict[str, Any]], tmp_path: Path):
    """Each task has the tests that its reference passed, and the share of sampled responses that passed."""
    done = export(run, "rl", tmp_path / "tasks.parquet", proof="any")
    tasks = pq.read_table(done.files[0]).to_pylist()
    assert [task["tests"] for task in tasks] == [row["tests"] for row in examples]
    assert [task["pass_rate"] for task in tasks] == [row["pass_rate"] for row in examples]
    assert all(0 < task["pass_rate"] <= 1 and "assert" in task["tests"] for task in tasks)
    assert [task["reference"] for task in tasks] == [row["response"] for row in examples]


def test_tasks_are_made_of_examples_with_split_proof(examples: list[dict[str, Any]], run: Path, tmp_path: Path) -> None:
    """By default; a data set of an earlier version has none, and all formats take or leave examples when told so."""
    mixed, earlier = tmp_path / "mixed", tmp_path / "earlier"
    proofs = ["split" if number % 2 else "shared" for number in range(len(examples))]
    names = [name for name in examples[0] if name != "proof"]
    for folder, rows in (
        (mixed, [row | {"proof": proof} for row, proof in zip(examples, proofs, strict=True)]),
        (earlier, [{name: row[name] for name in names} for row in examples]),
    ):
        (folder / "data").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "train.parquet")
    done = export(mixed, "rl", tmp_path / "split.jsonl")
    assert done.rows == proofs.count("split") > 0
    assert {row["proof"] for row in read(done.files[0])} == {"split"}
    assert done.notes == [
        f"{proofs.count('shared')} of {len(proofs)} examples with tests have no split proof and were left out"
    ]
    every = export(mixed, "rl", tmp_path / "any.jsonl", proof="any")
    assert [row["proof"] for row in read(every.files[0])] == proofs
    assert export(mixed, "trl", tmp_path / "sft.jsonl").rows == len(proofs)
    assert export(mixed, "trl", tmp_path / "sft-split.jsonl", proof="split").rows == proofs.count("split")
    with pytest.raises(ExportError, match=rf"none of its {len(proofs)} examples with tests has split .* --proof any"):
        export(earlier, "rl", tmp_path / "none.jsonl")
    every = export(earlier, "rl", tmp_path / "earlier.jsonl", proof="any")
    assert {row["proof"] for row in read(every.files[0])} == {"shared"}


def test_trl_reads_examples_and_puts_loss_on_the_answers(run: Path, tiny_base: Path, tmp_path: Path):
    """`datasets` loads the file and TRL's SFTTrainer, with its defaults, masks the instruction and nothing else."""
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from selfcodealign.models.chat import open_chat
    from selfcodealign.training.trainers import quiet

    export(run, "trl", tmp_path / "sft.jsonl")
    chat = open_chat(AutoTokenizer.from_pretrained(tiny_base), "plain")
    with quiet():
        data: Any = load_dataset("json", data_files=str(tmp_path / "sft.jsonl"), split="train", cache_dir=str(tmp_path))
        arguments = SFTConfig(str(tmp_path / "o"), use_cpu=True, bf16=False, report_to="none", max_length=None)
        trainer: Any = SFTTrainer(str(tiny_base), args=arguments, train_dataset=data, processing_class=chat.tokenizer)
    for row, source in zip(trainer.train_dataset, read(tmp_path / "sft.jsonl"), strict=True):
        answer = [label for label in row["labels"] if label != -100]
        assert chat.tokenizer.decode(answer) == source["completion"][0]["content"] + "<|end|>"


def test_trl_reads_preference_pairs(run: Path, tiny_base: Path, tmp_path: Path):
    """TRL's DPOTrainer prepares the pairs: the same prompt, the two answers with their end."""
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from selfcodealign.models.chat import open_chat
    from selfcodealign.training.trainers import quiet

    export(run, "dpo", tmp_path / "pairs.parquet")
    tokenizer = open_chat(AutoTokenizer.from_pretrained(tiny_base), "plain").tokenizer
    with quiet():
        data: Any = load_dataset(
            "parquet", data_files=str(tmp_path / "pairs.parquet"), split="train", cache_dir=str(tmp_path)
        )
        arguments = DPOConfig(str(tmp_path / "o"), use_cpu=True, bf16=False, report_to="none", max_length=None)
        trainer: Any = DPOTrainer(str(tiny_base), args=arguments, train_dataset=data, processing_class=tokenizer)
    for row, source in zip(trainer.train_dataset, data, strict=True):
        for side in ("chosen", "rejected"):
            assert tokenizer.decode(row[f"{side}_ids"]) == source[side][0]["content"] + "<|end|>"
        assert tokenizer.decode(row["prompt_ids"]).endswith("### Response\n")


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """Run the first Python of docs/export.md and return its definitions; the other asks a service."""
    page = (ROOT / "docs" / "export.md").read_text("utf-8")
    block, _ = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/export.md", "exec"), names)
    return names


def test_documented_reward_is_the_verdict_of_the_tests(run: Path, documented: dict[str, Any], tmp_path: Path):
    """Each task's reference earns 1; another task's answer, prose and a loop without end earn 0."""
    tasks = pq.read_table(export(run, "rl", tmp_path / "tasks.parquet", proof="any").files[0]).to_pylist()[:3]
    answers = [task["reference"] for task in tasks]
    wrong = [answers[-1], "I would rather not.", "```python\nwhile True: pass\n```"]
    rewarded = asyncio.run(
        documented["reward_tests"](
            [[{"role": "assistant", "content": answer}] for answer in answers + wrong],
            [task["tests"] for task in tasks] * 2,
            instruction_id=["?"] * 6,
        )
    )
    assert rewarded == [1.0] * 3 + [0.0] * 3


def test_grpo_takes_a_step_on_the_tasks(run: Path, documented: dict[str, Any], tmp_path: Path):
    """TRL's GRPOTrainer samples responses of the embedded model, gets rewards from the sandbox, and takes a step."""
    from transformers import AutoTokenizer
    from trl import GRPOConfig

    from selfcodealign.models.chat import open_chat
    from selfcodealign.models.revisions import find_source
    from selfcodealign.training.trainers import quiet
    from selfcodealign.training.weights import load_model

    rewarded: list[float] = []
    reward_tests = documented["reward_tests"]

    async def watch(completions: list[Any], **columns: Any) -> list[float | None]:
        rewards = await reward_tests(completions, **columns)
        rewarded.extend(rewards)
        # Answers of 16 tokens all fail; without a difference there is nothing to learn from.
        return [reward + len(completion[0]["content"]) for reward, completion in zip(rewards, completions, strict=True)]

    export(run, "rl", tmp_path / "tasks.parquet", proof="any")
    base = tmp_path / "base"
    embedded = find_source("embedded", None).location
    with quiet():
        load_model(embedded, TrainSettings(), "cpu", packing=True)[0].save_pretrained(base)
        open_chat(AutoTokenizer.from_pretrained(embedded), "plain").tokenizer.save_pretrained(base)
        settings = GRPOConfig(
            str(tmp_path / "out"),
            max_steps=1,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=16,
            learning_rate=1e-3,
            use_cpu=True,
            bf16=False,
            report_to="none",
            save_strategy="no",
        )
        documented["reward_tests"] = watch
        try:
            trainer = documented["prepare"](str(base), str(tmp_path / "tasks.parquet"), settings)
        finally:
            documented["reward_tests"] = reward_tests
        before = trainer.model.lm_head.weight.detach().clone()
        trainer.train()
    assert rewarded == [0.0] * 4
    assert not torch.equal(before, trainer.model.lm_head.weight)


def test_llama_factory_folder_is_described_as_its_reader_wants(run: Path, examples: list, tmp_path: Path):
    """dataset_info.json names the file and the columns; every column it names is in the rows."""
    done = export(run, "llama-factory", tmp_path / "lf")
    assert [file.name for file in done.files] == ["train.jsonl", "dataset_info.json"]
    (told,) = json.loads((tmp_path / "lf" / "dataset_info.json").read_text()).values()
    assert told["formatting"] == "alpaca"
    rows = read(tmp_path / "lf" / told["file_name"])
    assert len(rows) == len(examples)
    assert all(set(row) == {*told["columns"].values(), "license", "origin"} for row in rows)


def test_axolotl_folder_holds_its_configuration(run: Path, tmp_path: Path):
    """axolotl.yaml points at the file and trains on the assistant's turns and their end."""
    import yaml

    export(run, "axolotl", tmp_path / "ax")
    (told,) = yaml.safe_load((tmp_path / "ax" / "axolotl.yaml").read_text())["datasets"]
    assert (told["type"], told["roles_to_train"], told["train_on_eos"]) == ("chat_template", ["assistant"], "turn")
    assert all(told["field_messages"] in row for row in read(tmp_path / "ax" / told["path"]))


def test_parquet_and_jsonl_hold_the_same(run: Path, tmp_path: Path):
    """Both kinds of file, where both exist, give the same rows."""
    for to in ("trl", "dpo", "rl"):
        export(run, to, tmp_path / "x.jsonl", overwrite=True, proof="any")
        export(run, to, tmp_path / "x.parquet", overwrite=True, proof="any")
        assert pq.read_table(tmp_path / "x.parquet").to_pylist() == read(tmp_path / "x.jsonl")


def test_licence_and_origin_stay_on_the_rows(run: Path, examples: list[dict[str, Any]], tmp_path: Path):
    """In all formats that allow further columns; the data set of an earlier version calls the licence `licence`."""
    earlier = tmp_path / "earlier" / "data"
    earlier.mkdir(parents=True)
    (file,) = (run / "dataset" / "data").glob("*.parquet")
    table = pq.read_table(file)
    names = {"license": "licence", "seed_code": "seed"}
    pq.write_table(
        table.rename_columns([names.get(name, name) for name in table.column_names]), earlier / "train.parquet"
    )
    for to in set(FORMATS) - {"openai", "dpo"}:
        for number, source in enumerate((run, earlier.parent)):
            rows = read(export(source, to, tmp_path / f"{to}-{number}.jsonl", proof="any").files[0])
            assert [row["license"] for row in rows] == [row["license"] for row in examples]
            assert [row["origin"] for row in rows] == [row["origin"] for row in examples]
    for row in read(export(run, "dpo", tmp_path / "pairs.jsonl").files[0]):
        assert (row["license"], row["origin"]) == ("unknown", "source")


def test_an_existing_export_is_replaced_only_when_told_so(run: Path, tmp_path: Path):
    """A file, and a folder with files in it; an empty folder is no loss."""
    (tmp_path / "folder").mkdir()
    for out in (tmp_path / "x.jsonl", tmp_path / "folder"):
        export(run, "axolotl", out)
        with pytest.raises(ExportError, match="exists: give --overwrite to replace it"):
            export(run, "axolotl", out)
        assert export(run, "axolotl", out, overwrite=True).rows


def test_overwrite_replaces_the_folder_of_an_export_only(run: Path, tmp_path: Path):
    """Files of the other format leave it; a folder with anything else in it stays as it is."""
    export(run, "llama-factory", tmp_path / "ex")
    export(run, "axolotl", tmp_path / "ex", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "ex").iterdir()) == ["axolotl.yaml", "train.jsonl"]
    (tmp_path / "ex" / "notes.txt").write_text("mine")
    before = (tmp_path / "ex" / "train.jsonl").read_bytes()
    with pytest.raises(ExportError, match=r"holds notes\.txt, which no export wrote: choose another --out"):
        export(run, "trl", tmp_path / "ex", overwrite=True)
    assert (tmp_path / "ex" / "train.jsonl").read_bytes() == before


def test_a_data_set_folder_serves_for_all_but_pairs(run: Path, tmp_path: Path):
    """A data-set folder lacks only the responses, which dpo needs."""
    for to in FORMATS:
        if to != "dpo":
            assert export(run / "dataset", to, tmp_path / f"{to}.jsonl", proof="any").rows > 0
    with pytest.raises(ExportError, match="made from a run folder"):
        export(run / "dataset", "dpo", tmp_path / "x.jsonl")


def test_what_cannot_be_written_is_said(run: Path, tmp_path: Path):
    """Unknown format, wrong kind of file, no run, no data set, a folder that cannot be made."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for source, to, out, words in [
        (run, "lama-factory", tmp_path / "x", 'did you mean "llama-factory"'),
        (run, "openai", tmp_path / "x.parquet", "openai is written as .jsonl"),
        (run, "trl", tmp_path / "x.csv", ".jsonl or .parquet"),
        (tmp_path / "none", "trl", tmp_path / "x", "no run folder"),
        (tmp_path / "empty", "trl", tmp_path / "x", "the data set is not written yet"),
        (run, "trl", tmp_path / "file" / "x.jsonl", "cannot make the folder"),
    ]:
        with pytest.raises(ExportError, match=words):
            export(source, to, out)
