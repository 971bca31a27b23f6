"""Every setting of a run, section by section: its default, its bounds, and what it does."""

from __future__ import annotations

import warnings
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from selfcodealign.errors import RenamedWarning
from selfcodealign.rows import digest

Probability = Field(ge=0.0, le=1.0)


class Section(BaseModel):
    """Settings of one part; frozen, unknown keys refused.

    Fields made by `free` do not change which rows come out (speed, paths, keys), so changing them keeps finished
    work; every other field is part of the section's digest. Fields made by `renamed` accept their earlier name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _accept_earlier_names(cls, values: Any) -> Any:
        """Take settings given under their earlier names, and warn about each with a `RenamedWarning`."""
        if not isinstance(values, dict):
            return values
        for earlier, name in cls.earlier_names().items():
            if earlier in values and name not in values:
                message = (
                    f'the setting "{earlier}" is now "{name}": the earlier name will be refused in the next release'
                )
                warnings.warn(message, RenamedWarning, stacklevel=2)
        return cls.with_current_names(values)

    @classmethod
    def earlier_names(cls) -> dict[str, str]:
        """The present name of each setting by its earlier one."""
        return {earlier: name for name in cls.model_fields if (earlier := cls._metadata(name).get("earlier_name"))}

    @classmethod
    def with_current_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The same values with earlier names replaced; an earlier name beside the present one stays, to be refused."""
        earlier_names = cls.earlier_names()
        return {
            name if (name := earlier_names.get(key)) and name not in values else key: value
            for key, value in values.items()
        }

    @classmethod
    def _metadata(cls, name: str) -> dict[str, Any]:
        extra = cls.model_fields[name].json_schema_extra
        return extra if isinstance(extra, dict) else {}

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON values."""
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if not self._metadata(name).get("free")}

    def result_digest(self, **retired: Any) -> str:
        """Names the settings that decide the result: equal digests, interchangeable rows.

        A renamed setting keeps its earlier name in the digest, and `retired` are settings that are no more, with the
        value that a row's making has now: so row ids and random draws stay the same across releases.
        """
        values = {self._metadata(name).get("id_name", name): value for name, value in self.deciding().items()}
        return digest(*sorted((values | retired).items()))


def free(default: Any, **constraints: Any) -> Any:
    """A setting that does not change the rows of a run."""
    return Field(default, json_schema_extra={"free": True}, **constraints)


def renamed(earlier_name: str, default: Any, **constraints: Any) -> Any:
    """A setting with a new name: the earlier one is accepted for one release.

    `id_name` is the name under which row ids know this setting; it stays the earlier one for good, so that ids and
    random draws stay the same across releases.
    """
    names: Any = {"earlier_name": earlier_name, "id_name": earlier_name}
    return Field(default, json_schema_extra=names, **constraints)


class ModelSettings(Section):
    """Which base model writes, and where it runs."""

    name: str = Field("embedded", description='"embedded", a local folder, a hub name, or the name a server uses')
    revision: str | None = Field(None, description="hub revision; a commit hash makes a run repeatable")
    urls: list[str] = free([], description="OpenAI-compatible servers holding this model; several share the load")
    serve: Literal["vllm"] | None = free(None, description="start a server for the model and stop it afterwards")
    serve_args: list[str] = free([], description="further arguments for the server that is started")
    api_key_env: str = free("OPENAI_API_KEY", description="environment variable that holds the servers' key")
    device: str = free("auto", description="local models: auto, cpu, cuda, cuda:1")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = free("auto")
    batch_size: int = free(64, ge=1, description="local models: rows decoded together")
    threads: int | None = free(None, ge=1, description="local models on a CPU; default: 1 for small ones, else all")
    concurrency: int = free(256, ge=1, description="servers: requests under way at once")
    request_seconds: float = free(600.0, gt=0, description="servers: time-out of one request")
    retry_seconds: float = free(300.0, ge=0, description="servers: how long to go on trying before the run stops")


class SeedSettings(Section):
    """Where seeds come from and what a function must be to serve as one."""

    sources: list[str] = Field(
        default=["stdlib"],
        min_length=1,
        description='"stdlib", "package:NAME", "git:PATH", "hub:NAME", or a path: .py, folder, .jsonl(.gz), .parquet',
    )
    code_column: str = Field("content", description="column of a JSONL / Parquet / hub source that holds the code")
    path_column: str | None = Field(None, description="column with the file's path, when there is one")
    licence_column: str | None = Field(None, description="column with the file's licence, when there is one")
    split: str = Field("train", description="split of a hub source")
    licence: str | None = Field(None, description="SPDX expression of the sources, when they do not say it themselves")
    max_lines: int = Field(150, ge=2, description="longest function, in lines")
    min_arguments: int = Field(1, ge=0, description="fewest arguments")
    max_file_kib: int = Field(1024, ge=1, description="larger files are dropped unread")
    limit: int | None = Field(None, ge=1, description="at most this many seeds, drawn uniformly by their ids")


class NearDedupSettings(Section):
    """Seeds that are near copies of others are dropped (MinHash over token n-grams)."""

    enabled: bool = True
    jaccard: float = Field(0.5, gt=0.0, le=1.0)
    permutations: int = Field(250, ge=16)
    ngram: int = Field(5, ge=1)


class JudgeSettings(Section):
    """The base model as a yes/no judge of a seed's docstring, greedy, few-shot."""

    examples: int = Field(6, ge=2)
    max_tokens: int = Field(5, ge=1)


class FewShotSettings(Section):
    """The worked examples of every prompt."""

    file: str = Field("python", description='"python", "tiny", or a path to a file of your own')
    draws: int = Field(
        64, ge=0, description="distinct ordered draws per stage, so a server can reuse them; 0: a new draw per request"
    )


class ConceptSettings(Section):
    """Seed → concepts."""

    examples: int = Field(8, ge=1)
    temperature: float = Field(0.7, ge=0.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(256, ge=1)
    max_concepts: int = Field(12, ge=1, description="more than this many are cut off")
    snippet_lines: int | None = Field(None, ge=2, description="show at most this many lines of the seed")
    snippet_characters: int | None = Field(None, ge=40, description="show at most this many characters of the seed")
    snippet_docstrings: bool = Field(True, description="false: show the seed's code without its docstrings")


class InstructionSettings(Section):
    """Concepts → instruction."""

    examples: int = Field(8, ge=1)
    per_seed: int = Field(1, ge=1, description="instructions written from each seed")
    temperature: float = Field(0.7, ge=0.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(768, ge=1)
    categories: list[Literal["function", "class", "program"]] = Field(
        default=["function", "function", "class", "program"], min_length=1, description="drawn from uniformly"
    )
    difficulties: list[Literal["easy", "medium", "hard"]] = Field(default=["easy", "medium", "hard"], min_length=1)
    concepts_shown: int | None = Field(None, ge=1, description="at most this many of the concepts, drawn at random")


class ResponseSettings(Section):
    """Instruction → responses with tests, each executed as it arrives."""

    examples: int = Field(1, ge=1)
    samples: int = Field(10, ge=1, description="most answers sampled for one instruction")
    stop_after_passes: int = Field(
        1, ge=0, description="stop sampling an instruction after this many verified answers; 0: always draw all"
    )
    temperature: float = Field(0.7, ge=0.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(1536, ge=1)


class ExecutionSettings(Section):
    """The sandbox in which every answer meets its tests."""

    sandbox: Literal["auto", "namespaces", "landlock", "unsafe"] = free("auto")
    workers: int | None = free(None, ge=1, description="programs run at once; default: one per core")
    warm: list[str] = free(["numpy", "pandas"], description="libraries loaded once and shared by all programs")
    seconds: float = Field(10.0, gt=0)
    memory_mib: int = Field(4096, ge=64)
    mutation_testing: bool = renamed(
        "strength", True, description="run the tests against mutants of the answer; tests that kill none are weak"
    )
    flake_reruns: int = Field(0, ge=0, description="repeat passing programs under other hash seeds")


class SelectionSettings(Section):
    """Which verified answers become the data set."""

    max_instruction_words: int = Field(200, ge=1)
    min_mutation_score: float = renamed(
        "min_test_strength", 0.0, ge=0.0, le=1.0, description="share of mutants that the tests must kill"
    )
    unfinished_words: list[str] = ["todo", "fixme", "your code here", "notimplemented"]
    same_names: bool = Field(True, description="keep one answer per set of names it defines")
    jaccard: float = Field(0.7, gt=0.0, le=1.0)
    permutations: int = Field(250, ge=16)
    ngram: int = Field(5, ge=1)
    near_dedup: list[Literal["instruction", "response", "code"]] = ["instruction", "response", "code"]
    decontaminate: list[str] = Field(
        default=[],
        description="benchmarks (.jsonl, .jsonl.gz, .json, .parquet, hub:NAME): rows and seeds with their texts go",
    )


class TrainSettings(Section):
    """Fine-tuning; the defaults are the published ones. A step is `batch` rows on any number of devices."""

    model: str | None = Field(None, description="what is tuned, when it is not the recipe's model")
    method: Literal["full", "lora", "qlora"] = "full"
    epochs: int = Field(2, ge=1)
    max_steps: int | None = Field(None, ge=1, description="stop after this many steps; the schedule is laid out for it")
    learning_rate: float = Field(1e-5, gt=0.0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.05, ge=0.0, lt=1.0, description="share of the steps over which the rate rises")
    optimizer: Literal["adafactor", "adamw"] = "adafactor"
    weight_decay: float = Field(0.0, ge=0.0)
    max_grad_norm: float = Field(1.0, gt=0.0)
    batch: int = Field(64, ge=1, description="rows per step over all devices together")
    max_tokens: int = Field(1280, ge=8, description="longer rows are left out and counted, never cut")
    bad_rows: Literal["refuse", "drop"] = Field("refuse", description="rows that fail the proof of masking")
    chat_template: Literal["plain", "model"] = Field("plain", description="our format, or the model's own template")
    precision: Literal["auto", "float32", "mixed", "bfloat16"] = Field(
        "auto", description="mixed: float32 weights, bfloat16 arithmetic; auto: mixed where the device has it"
    )
    lora_rank: int = Field(32, ge=1)
    lora_alpha: int = Field(64, ge=1)
    seed: int = Field(0, ge=0, description="order of the rows, and the adapters' first weights")
    micro_batch: int | None = free(None, ge=1, description="rows per forward pass and device; default: by their length")
    packing: bool = free(True, description="rows of a pass behind one another without padding, none seeing another")
    attention: str | None = free(
        None, description='e.g. "flash_attention_2"; default: row by row on a CPU, else what transformers picks'
    )
    gradient_checkpointing: bool | None = free(None, description="less memory, more time; default: on a GPU")
    device: Literal["auto", "cpu", "cuda"] = free("auto")
    processes: int = free(1, ge=1, description="devices to train on, started here with accelerate")
    parallel: Literal["ddp", "fsdp2", "zero3"] = free("ddp", description="how several devices share the model")
    checkpoint_steps: int | None = free(None, ge=1, description="default: at the end of each epoch")
    proof_rows: int = free(3, ge=1, description="rows whose loss tokens are shown before the first step")
    report_to: list[Literal["trackio", "wandb", "tensorboard"]] = free([], description="where steps are logged as well")


class EvaluateSettings(Section):
    """Which benchmarks the base and the tuned model meet, and how they are asked."""

    benchmarks: list[str] = Field(default=["tiny-eval"], min_length=1, description="names, as `evaluate` knows them")
    problems: dict[str, str] = Field(default={}, description="benchmark = file, instead of fetching its problems")
    base_modes: list[Literal["completion", "few-shot", "chat"]] = Field(
        default=["chat", "few-shot"], min_length=1, description="how the base model is asked; the tuned one: chat"
    )
    samples: int = Field(1, ge=1, description="answers per task; more than one needs a temperature")
    temperature: float = Field(0.0, ge=0.0, description="0: greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(1024, ge=1)
    k: list[int] = Field(default=[1], min_length=1, description="which pass@k")
    few_shot: str = Field("python", description="whose worked example few-shot prompts show")
    limit: int | None = Field(None, ge=1, description="evaluate only this many tasks of each benchmark")


#: From source code to a data set.
DATA_JOURNEY = ("seeds", "near_dedup", "concepts", "instructions", "responses", "selection", "dataset")


class Recipe(Section):
    """A whole run: its stages, and a section for each. `random_seed` changes every draw at once."""

    journey: list[str] = Field(
        default=list(DATA_JOURNEY), description="the stages of the run in order; one of your own: file.py:NAME"
    )
    own: dict[str, dict[str, Any]] = Field(
        default={}, description="[own.NAME]: the section of a stage of your own that is called NAME"
    )
    random_seed: int = 0
    flush_seconds: float = free(10.0, gt=0, description="finished rows are on disk at most this long after")
    model: ModelSettings = ModelSettings()
    seeds: SeedSettings = SeedSettings()
    near_dedup: NearDedupSettings = NearDedupSettings()
    judge: JudgeSettings = JudgeSettings()
    few_shot: FewShotSettings = FewShotSettings()
    concepts: ConceptSettings = ConceptSettings()
    instructions: InstructionSettings = InstructionSettings()
    responses: ResponseSettings = ResponseSettings()
    execution: ExecutionSettings = ExecutionSettings()
    selection: SelectionSettings = SelectionSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if self.model.urls and self.model.serve:
            raise ValueError("model.urls and model.serve exclude each other: name servers or have one started")
        if self.model.name == "embedded" and (self.model.serve is None) and self.model.urls:
            raise ValueError('model.urls needs model.name: the name the servers use, or "" to take the one they hold')
        return self
