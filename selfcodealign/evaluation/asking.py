"""Samples answers from a model: benchmark prompts in the model's format, greedy or sampled, appended to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfcodealign.benchmarks import Benchmark, Mode, Problem, Prompt
from selfcodealign.errors import ModelError
from selfcodealign.evaluation.grading import run_workers
from selfcodealign.evaluation.samples import Sample, SampleFile, answered, continued
from selfcodealign.evaluation.seams import join_continuation, strip_open_end
from selfcodealign.generation.draws import draw_examples
from selfcodealign.generation.few_shot_file import FewShotFile
from selfcodealign.generation.prompts import lay_out, stop_strings
from selfcodealign.models import Model, Sampling, Unanswered
from selfcodealign.progress import Progress
from selfcodealign.rows import digest, seed_of
from selfcodealign.settings import EvaluateSettings

#: Renders (instruction, beginning of the answer) as the text that a chat model continues.
ChatFormat = Callable[[str, str], str]
_STAGE, _WANTED = "responses", ("response", "tests")


def plain_chat(instruction: str, response_prefix: str) -> str:
    """The project's own chat format, for models whose tokenizer has no template."""
    from selfcodealign.models.chat import write_prompt

    return write_prompt(instruction) + response_prefix


def open_chat_format(name: str, revision: str | None = None) -> tuple[ChatFormat, str]:
    """Return the chat format of a model (its tokenizer's template, or the plain format) and a description of it.

    `name` is "embedded", a folder or a hub name. The plain format is used for a server whose model's tokenizer is not
    available here.
    """
    from selfcodealign.models.revisions import ask_hub, find_commit, locate_folder

    folder = locate_folder(name) if name else None
    if not name:
        return plain_chat, "plain format (no tokenizer named)"
    try:
        from transformers import AutoTokenizer

        if folder is None and find_commit(name, revision) is None:
            ask_hub(name, revision)
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder or name), revision=None if folder else revision)
    except (ImportError, OSError, ValueError, ModelError):
        return plain_chat, f"plain format (no tokenizer of {name} here)"
    if not tokenizer.chat_template:
        return plain_chat, "plain format (the tokenizer has no chat template)"
    begins = tokenizer.bos_token if tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id] else None

    def render(instruction: str, response_prefix: str) -> str:
        messages = [{"role": "user", "content": instruction}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        # The engine prepends the begin token to every prompt; a second one would change the prompt.
        return (text.removeprefix(begins) if begins else text) + response_prefix

    return render, "chat template of its tokenizer"


@dataclass(frozen=True, kw_only=True)
class Asking:
    """The prompting of one model: its mode, chat format, worked example and sampling."""

    model: Model
    mode: Mode
    chat: ChatFormat
    few_shot: FewShotFile | None
    settings: EvaluateSettings

    def lay_out(self, benchmark: Benchmark[Any], problem: Problem, mode: Mode | None = None) -> Prompt:
        """Return the whole text that the model continues, the beginning of its answer, and the stop strings.

        `mode` replaces the mode of the model.
        """
        mode = mode or self.mode
        if mode == "completion-unstripped":
            return benchmark.prompt(problem, "completion")
        prompt = benchmark.prompt(problem, mode)
        if mode == "chat":
            return Prompt(self.chat(prompt.text, prompt.response_prefix), prompt.response_prefix, prompt.stop)
        if mode == "few-shot":
            assert self.few_shot is not None
            # The layout of the pipeline's prompt for responses; the answer stops where the tests would begin.
            pool = self.few_shot.pool(_STAGE, 1)
            examples = draw_examples(pool, 1, _STAGE, digest("evaluate", problem.task_id), 64)
            introduction = self.few_shot.introductions[_STAGE]
            text = lay_out(introduction, examples, {"instruction": prompt.text}, _WANTED)
            return Prompt(text, "", ("</response>", *stop_strings(_WANTED)))
        return replace(prompt, text=strip_open_end(prompt.text)) if benchmark.begins_program else prompt

    def header(self, benchmark: Benchmark[Any], problems: Sequence[Problem]) -> dict[str, Any]:
        """Return the settings that decide the answers, for the header of their file."""
        identity = self.model.identity()
        return {"model": identity["name"], "revision": identity["revision"], **self.choices(benchmark, problems)}

    def choices(self, benchmark: Benchmark[Any], problems: Sequence[Problem]) -> dict[str, Any]:
        """Return the part of the header that is known before the model is opened."""
        settings = self.settings
        return {
            "benchmark": benchmark.name,
            "mode": self.mode,
            "prompts": digest(*(self.lay_out(benchmark, problem) for problem in problems[:3])),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
        }

    async def answer(self, benchmark: Benchmark[Any], problem: Problem, number: int) -> Sample:
        """Sample answer `number` to a task. Raises `ModelError`; a prompt that cannot be answered gives an empty answer
        whose `finish_reason` says why and whose `detail` has the model's message."""
        prompt = self.lay_out(benchmark, problem)
        settings = self.settings
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, prompt.stop)
        seed = seed_of(digest(benchmark.name, problem.task_id), f"evaluate {number}")
        try:
            completion = await self.model.complete(prompt.text, sampling, seed=seed)
        except Unanswered as error:
            return replace(continued(problem, number, "", "", error.reason), detail=str(error))
        text = prompt.response_prefix + completion.text
        if self.mode in ("few-shot", "chat"):
            return answered(benchmark, problem, number, text, completion.finish_reason)
        solution = join_continuation(benchmark, problem, prompt.text, text)
        return continued(problem, number, text, solution, completion.finish_reason)


async def sample_answers(
    asking: Asking,
    benchmark: Benchmark[Any],
    problems: Sequence[Problem],
    file: SampleFile,
    progress: Progress,
    task: str,
) -> list[Sample]:
    """Return all answers of one model to one benchmark; sample only those that `file` does not hold.

    `progress` is told of them as `task`.

    Raises `ModelError` when the engine fails; the answers sampled before are in the file.
    """
    settings = asking.settings
    wanted = [(problem, number) for problem in problems for number in range(settings.samples)]
    todo = iter([(problem, number) for problem, number in wanted if (problem.task_id, number) not in file.done])
    progress.start(task, len(wanted), "answers")
    progress.skip(task, sum((problem.task_id, number) in file.done for problem, number in wanted))

    async def take() -> None:
        for problem, number in todo:
            file.append([await asking.answer(benchmark, problem, number)])
            progress.advance(task)

    await run_workers(min(asking.model.concurrency, len(wanted)), take)
    progress.finish(task, f"{len(wanted)} answers")
    return [file.done[problem.task_id, number] for problem, number in wanted]
