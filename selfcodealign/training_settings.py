"""The settings of training: supervised ([train]), on pairs of answers ([dpo]) and on verdicts ([grpo])."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from selfcodealign.sections import Section, free, renamed

_FULL = "full: all weights; lora: adapters; qlora: adapters on a 4-bit base"
_TEMPLATE = "plain: this package's format; model: the model's own; auto: the model's own where it has one, else plain"
_MODEL = "the model to begin with; default: RUN/tuned, what the stage train made"


class TuningSettings(Section):
    """What all ways of training share."""

    #: The name of the section, for messages.
    section: ClassVar[str]

    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="learning rate after the warm-up")
    max_grad_norm: float = Field(
        1.0, ge=0.0, description="gradient norm above which gradients are clipped; 0: none is clipped"
    )
    weight_decay: float = Field(0.0, ge=0.0, description="weight decay")
    precision: Literal["auto", "float32", "mixed", "bfloat16"] = Field(
        "auto",
        description="mixed: float32 weights, bfloat16 arithmetic; auto: mixed if the device supports it, else float32",
    )
    lora_rank: int = Field(32, ge=1, description="rank of the adapters")
    lora_alpha: int = Field(64, ge=1, description="scale of the adapters: alpha / rank")
    micro_batch: int | None = free(
        None, ge=1, description="rows per forward pass and device; default: chosen from their lengths"
    )
    attention: str | None = free(
        None, description='e.g. "flash_attention_2"; default: row by row on a CPU, else transformers\' choice'
    )
    gradient_checkpointing: bool | None = free(None, description="save memory for more time; default: true on a GPU")
    device: Literal["auto", "cpu", "cuda"] = free("auto", description="auto: a GPU if there is one")
    report_to: list[Literal["trackio", "wandb", "tensorboard"]] = free(
        [], description="experiment trackers that also log each step"
    )


class TrainSettings(TuningSettings):
    """Fine-tuning; the defaults are the published settings. A step is `batch` rows on any number of devices."""

    section = "train"

    model: str | None = Field(None, description="the model to tune; default: the recipe's model")
    mix: list[str] = Field(
        default=[],
        description="further data sets to train on together with the examples: run folders, data-set folders, .jsonl "
        'or .parquet files, "hub:NAME"; "PATH@5000" draws 5000 rows of it',
    )
    weights: Literal["full", "lora", "qlora"] = renamed("method", "full", description=_FULL)
    epochs: int = Field(2, ge=1, description="passes over the data set")
    max_steps: int | None = Field(
        None, ge=1, description="stop after this many steps; the learning-rate schedule ends there"
    )
    learning_rate: float = Field(1e-5, gt=0.0, description="peak learning rate")
    warmup: float = Field(0.05, ge=0.0, lt=1.0, description="share of the steps over which the learning rate rises")
    optimizer: Literal["adafactor", "adamw"] = Field("adafactor", description="optimizer")
    batch: int = Field(64, ge=1, description="rows per step, over all devices")
    max_tokens: int = Field(1280, ge=8, description="drop and count longer rows; none is cut")
    bad_rows: Literal["refuse", "drop"] = Field(
        "refuse", description="what to do with rows whose loss mask cannot be proven"
    )
    chat_template: Literal["plain", "model"] = Field(
        "plain", description="plain: this package's format; model: the model's own template"
    )
    seed: int = Field(0, ge=0, description="seed of the row order and of the adapters' initial weights")
    packing: bool = free(
        True, description="concatenate the rows of a pass without padding; rows do not attend to each other"
    )
    processes: int = free(1, ge=1, description="devices to train on; accelerate starts one process for each")
    parallel: Literal["ddp", "fsdp2", "zero3"] = free(
        "ddp", description="how several devices share the model: replicated (ddp) or sharded (fsdp2, zero3)"
    )
    checkpoint_steps: int | None = free(None, ge=1, description="steps between checkpoints; default: one epoch")
    proof_rows: int = free(3, ge=1, description="rows whose loss tokens are shown before the first step")


class DpoSettings(TuningSettings):
    """Direct preference optimization on pairs of a passing and a failing answer; a step is `batch` pairs.

    The defaults are those of Zephyr (Tunstall et al., 2023) with the beta of the DPO paper (Rafailov et al., 2023).
    """

    section = "dpo"

    chat_template: Literal["auto", "plain", "model"] = Field("auto", description=_TEMPLATE)
    model: str | None = Field(None, description=_MODEL)
    weights: Literal["full", "lora", "qlora"] = Field("full", description=_FULL)
    beta: float = Field(0.1, gt=0.0, description="how closely the model is held to the one it began as; ipo: tau")
    loss: Literal["sigmoid", "ipo", "hinge", "apo_zero"] = Field(
        "sigmoid", description="loss of a pair; sigmoid: the published DPO"
    )
    label_smoothing: float = Field(
        0.0, ge=0.0, lt=0.5, description="share of pairs that are taken to be the wrong way round; for loss = sigmoid"
    )
    epochs: int = Field(1, ge=1, description="passes over the pairs")
    max_steps: int | None = Field(
        None, ge=1, description="stop after this many steps; the learning-rate schedule ends there"
    )
    learning_rate: float = Field(5e-7, gt=0.0, description="peak learning rate")
    warmup: float = Field(0.1, ge=0.0, lt=1.0, description="share of the steps over which the learning rate rises")
    optimizer: Literal["adafactor", "adamw"] = Field("adamw", description="optimizer")
    batch: int = Field(32, ge=1, description="pairs per step")
    max_tokens: int = Field(1280, ge=8, description="drop and count pairs with a longer answer and prompt")
    bad_rows: Literal["refuse", "drop"] = Field(
        "refuse", description="what to do with pairs whose tokens cannot be proven to be those of a chat"
    )
    seed: int = Field(0, ge=0, description="seed of the order of pairs and of the adapters' initial weights")
    checkpoint_steps: int | None = free(None, ge=1, description="steps between checkpoints; default: one epoch")
    proof_rows: int = free(2, ge=1, description="pairs whose compared tokens are shown before the first step")


class GrpoSettings(TuningSettings):
    """Group-relative policy optimization: answers are sampled, run against their task's tests, and rewarded.

    A step is `prompts` × `samples` answers. Learning rate and beta are those of DeepSeekMath (Shao et al., 2024).
    """

    section = "grpo"

    chat_template: Literal["auto", "plain", "model"] = Field("auto", description=_TEMPLATE)
    model: str | None = Field(None, description=_MODEL)
    weights: Literal["full", "lora", "qlora"] = Field("full", description=_FULL)
    proof: Literal["split", "any"] = Field(
        "split",
        description="split: only tasks whose own answer passed in a process apart from its tests, and reward only "
        "answers that pass so; any: all tasks, and reward every pass",
    )
    steps: int = Field(100, ge=1, description="optimizer steps")
    prompts: int = Field(8, ge=1, description="tasks per step")
    samples: int = Field(8, ge=2, description="answers per task; their rewards are compared with each other")
    temperature: float = Field(1.0, gt=0.0, description="sampling temperature")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="nucleus sampling; 1: all tokens")
    max_tokens: int = Field(512, ge=1, description="most tokens of an answer; a longer one is cut and gets no reward")
    max_prompt_tokens: int = Field(1024, ge=1, description="drop and count tasks with a longer prompt")
    beta: float = Field(0.04, ge=0.0, description="weight of the divergence (KL) from the model it began as; 0: none")
    loss: Literal["grpo", "dapo", "dr_grpo"] = Field(
        "grpo", description="mean over the tokens of each answer (grpo), of all answers (dapo), or of a fixed number"
    )
    clip: float = Field(0.2, gt=0.0, description="the ratio of probabilities is clipped to 1 ± this")
    clip_high: float | None = Field(None, gt=0.0, description="1 + this is the upper bound instead; default: clip")
    updates: int = Field(1, ge=1, description="optimizer steps on the same sampled answers")
    learning_rate: float = Field(1e-6, gt=0.0, description="peak learning rate")
    schedule: Literal["linear", "cosine", "constant"] = Field("constant", description="learning rate after the warm-up")
    warmup: float = Field(0.0, ge=0.0, lt=1.0, description="share of the steps over which the learning rate rises")
    optimizer: Literal["adafactor", "adamw"] = Field("adamw", description="optimizer")
    seed: int = Field(0, ge=0, description="seed of the order of tasks, of the samples and of the adapters")
    checkpoint_steps: int = free(25, ge=1, description="steps between checkpoints, in whole rounds of `updates`")
    proof_rows: int = free(
        3, ge=1, description="tasks whose own answers are judged, and whose prompts are shown, before the first step"
    )


#: The section of each way of training.
METHODS: dict[str, type[TuningSettings]] = {"sft": TrainSettings, "dpo": DpoSettings, "grpo": GrpoSettings}
