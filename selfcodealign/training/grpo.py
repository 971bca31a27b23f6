"""Group-relative policy optimization on verdicts, from tasks to model folder; the loop is TRL's GRPOTrainer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from selfcodealign.errors import TrainingError
from selfcodealign.sandbox import Status
from selfcodealign.settings import ExecutionSettings, GrpoSettings
from selfcodealign.training.batching import split_step
from selfcodealign.training.events import Note, OnProgress, TrainResult
from selfcodealign.training.job import (
    Job,
    Opened,
    claim,
    describe_split,
    finish,
    history,
    open_job,
    open_model,
    refuse_several_devices,
    run_to_end,
)
from selfcodealign.training.rewards import Answer, SandboxReward
from selfcodealign.training.sampling import VERDICTS, TaskOrder, VerdictTrainer
from selfcodealign.training.tasks import Prompt, Tasks, load_tasks, prove_prompts, render_prompts
from selfcodealign.training.trainers import TellSteps, choose_optimizer, quiet, settle_callbacks, shared_arguments
from selfcodealign.training.weights import choose_adapters

#: What is told of each step: name → TRL's.
FIGURES = {"reward": "reward", "kl": "kl", "length": "completions/mean_length", "cut": "completions/clipped_ratio"}


def train_on_verdicts(
    dataset: str | Path,
    model: str,
    out: Path,
    settings: GrpoSettings,
    execution: ExecutionSettings,
    on_progress: OnProgress,
    *,
    fresh: bool,
) -> TrainResult:
    """Train on verdicts in this process. Raises the same errors as `training.train_grpo`."""
    with quiet():
        job = open_job(model, out, settings, on_progress)
        refuse_several_devices(job)
        tasks = load_tasks(dataset, settings.proof)
        limits = {f"execution.{name}": value for name, value in _deciding(execution).items()}
        done = claim(job, tasks.digest, limits, fresh=fresh)
        if done is not None:
            return done
        with SandboxReward(execution, settings.proof) as judging:
            opened = open_model(job, packing=False, longest=settings.max_prompt_tokens + settings.max_tokens)
            prompts, dropped = _prepare(tasks, opened, settings)
            _check_references(prompts[: settings.proof_rows], judging, job.tell)
            job.tell(Note(_tell_tasks(prompts, dropped, settings)))
            proof = prove_prompts(prompts, opened.chat, settings.proof_rows)
            job.tell(proof)
            trainer, micro_batch = _assemble(job, opened, prompts, judging, settings)
            per_epoch = len(prompts) * settings.updates / settings.prompts
            telling = TellSteps(per_epoch, lambda step, logs: _count_tokens(logs, settings), job.tell, FIGURES)
            trainer.add_callback(telling)
            run_to_end(job, trainer, every=settings.updates)
        result = _sum_up(trainer, prompts, dropped, settings)
        about = _describe(tasks, result, settings, execution) | {
            "split": describe_split(job, trainer, micro_batch, settings.prompts * settings.samples // micro_batch, 1)
        }
        return finish(job, trainer, opened, telling, proof, result, about)


def _deciding(execution: ExecutionSettings) -> dict[str, Any]:
    """The limits that decide a verdict here."""
    return {name: getattr(execution, name) for name in ("seconds", "memory_mib", "flake_reruns")}


def _prepare(tasks: Tasks, opened: Opened, settings: GrpoSettings) -> tuple[list[Prompt], dict[str, int]]:
    """Render the prompts. Raises `TrainingError` if answers leave no room for them, or a step takes more tasks."""
    room = min(settings.max_prompt_tokens, opened.longest - settings.max_tokens)
    if room < 1:
        raise TrainingError(
            f"grpo.max_tokens = {settings.max_tokens} leaves no room for a prompt in the model's {opened.longest} "
            "tokens: lower it"
        )
    prompts, dropped = render_prompts(tasks.rows, opened.chat, room)
    if len(prompts) < settings.prompts:
        raise TrainingError(
            f"{len(prompts)} tasks are fewer than the {settings.prompts} of a step: set grpo.prompts = {len(prompts)}"
        )
    return prompts, tasks.dropped | dropped


def _check_references(prompts: Sequence[Prompt], judging: SandboxReward, tell: Any) -> None:
    """Judge the own answers of a few tasks: if none gets a reward, no answer would. Raises `TrainingError`."""
    own = [Answer(one.task.reference, one.task.tests) for one in prompts if one.task.reference]
    if not own:
        return
    statuses = judging.judge(own)
    passed = statuses.count(Status.PASSED)
    if not passed:
        told = ", ".join(f"{count} {status}" for status, count in Counter(statuses).items())
        raise TrainingError(
            f"none of {len(own)} own answers of the tasks gets a reward ({told}): give each task tests that its answer "
            "passes, or set grpo.proof = any"
        )
    tell(Note(f"{passed} of {len(own)} own answers of the tasks get the reward"))


def _tell_tasks(prompts: Sequence[Prompt], dropped: Mapping[str, int], settings: GrpoSettings) -> str:
    text = (
        f"{len(prompts)} tasks; {settings.steps} steps of {settings.prompts} tasks × {settings.samples} answers of at "
        f"most {settings.max_tokens} tokens"
    )
    return text + (f"; left out: {', '.join(f'{n} {reason}' for reason, n in dropped.items())}" if dropped else "")


def _assemble(
    job: Job, opened: Opened, prompts: Sequence[Prompt], judging: SandboxReward, settings: GrpoSettings
) -> tuple[VerdictTrainer, int]:
    """Return the trainer, and the answers of a forward pass."""
    from datasets import Dataset

    chat, answers = opened.chat, settings.prompts * settings.samples
    mean = sum(one.tokens for one in prompts) / len(prompts) + settings.max_tokens / 2
    micro_batch = split_step(answers, settings.micro_batch, mean, job.device, "grpo")
    passes = answers // micro_batch
    tests = [one.task.tests for one in prompts]

    def sandbox(
        completions: list[str], completion_ids: list[list[int]], task: list[int], **_: Any
    ) -> list[float | None]:
        ended = [ids[-1] in chat.end_ids for ids in completion_ids]
        return judging.reward(
            [Answer(text, tests[number], end) for text, number, end in zip(completions, task, ended, strict=True)]
        )

    opened.network.generation_config.eos_token_id = sorted(chat.end_ids)
    every = -(-settings.checkpoint_steps // settings.updates) * settings.updates
    trainer = VerdictTrainer(
        model=opened.network,
        reward_funcs=sandbox,
        args=GRPOConfig(
            num_train_epochs=1,
            max_steps=settings.steps,
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=passes,
            steps_per_generation=passes,
            num_generations=settings.samples,
            num_iterations=settings.updates,
            max_completion_length=settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            beta=settings.beta,
            loss_type=settings.loss,
            epsilon=settings.clip,
            epsilon_high=settings.clip_high,
            disable_dropout=True,
            save_steps=every,
            **shared_arguments(settings, job.checkpoints, job.device, mixed=job.mixed),
        ),
        train_dataset=Dataset.from_list([{"prompt": one.text, "task": i} for i, one in enumerate(prompts)]),
        processing_class=chat.tokenizer,
        peft_config=choose_adapters(settings),
        order=TaskOrder(len(prompts), settings, passes),
        judging=judging,
        chat=chat,
    )
    trainer.optimizer_cls_and_kwargs = choose_optimizer(settings)
    settle_callbacks(trainer, job.checkpoints)
    return trainer, micro_batch


def _count_tokens(logs: Mapping[str, float], settings: GrpoSettings) -> tuple[float, float]:
    """The tokens of the answers sampled in a step; a step on earlier answers samples none."""
    tokens = logs.get(FIGURES["length"], 0.0) * settings.prompts * settings.samples
    return tokens, tokens


def _sum_up(
    trainer: VerdictTrainer, prompts: Sequence[Prompt], dropped: dict[str, int], settings: GrpoSettings
) -> dict[str, Any]:
    reasons: Counter[str] = Counter()
    for entry in trainer.state.log_history:
        for key, count in entry.items():
            if key.startswith(VERDICTS):
                reasons[key.removeprefix(VERDICTS)] += int(count)
    told = [step for step in history(trainer, FIGURES) if "reward" in step]
    tokens = round(sum(step["length"] for step in told) * settings.prompts * settings.samples)
    tenth = math.ceil(len(told) / 10)
    figures = {
        f"{which}_{name}": sum(step[name] for step in part) / len(part)
        for which, part in (("first", told[:tenth]), ("last", told[-tenth:]))
        for name in FIGURES
        if all(name in step for step in part)
    }
    return {
        "rows": len(prompts),
        "dropped": dropped,
        "tokens": tokens,
        "loss_tokens": tokens,
        "figures": figures,
        "reasons": dict(reasons.most_common()),
    }


def _describe(
    tasks: Tasks, result: Mapping[str, Any], settings: GrpoSettings, execution: ExecutionSettings
) -> dict[str, Any]:
    figures, reasons = result["figures"], result["reasons"]
    told = {
        "Answers": f"{sum(reasons.values()):,} sampled, {result['tokens']:,} tokens",
        "Steps": f"{settings.steps} of {settings.prompts} tasks × {settings.samples} answers",
        "Reward": f"{figures['first_reward']:.1%} → {figures['last_reward']:.1%} (first and last tenth of the steps)",
        "Verdicts": ", ".join(f"{count:,} {status}" for status, count in reasons.items()),
        "Mean length": f"{figures['first_length']:.0f} → {figures['last_length']:.0f} tokens",
    }
    if "last_kl" in figures:
        told["KL"] = f"{figures['first_kl']:.4f} → {figures['last_kl']:.4f} per token"
    return {
        "dataset": tasks.source,
        "dataset_digest": tasks.digest,
        "figures": told,
        "execution": execution.model_dump(mode="json"),
        "reasons": reasons,
    }
