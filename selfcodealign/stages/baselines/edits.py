"""Commit → an edit that is verified: tests pass on the code after the commit and fail on the code before.

The base model sees the commit and writes a request for the change, with tests. Task and answer are the commit's: the
request with the code before, and the code after. Reasons of drops:

    no_commit, no_code_before    the seed is none, or the commit begins the file
    code_does_not_run            the code after fails by itself: it needs its repository, say; the model is not asked
    only_code, repeated, prompt_markup, echo    the request is none (see `find_fault`)
    failed, error, weak_tests …  the tests' verdict on the code after, any status but "passed"
    passes_before                the tests pass on the code before as well
    before_STATUS                on the code before they end in a way that tells nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from selfcodealign.baseline_settings import EditSettings
from selfcodealign.fences import read_tests
from selfcodealign.generation.echo import find_echo
from selfcodealign.generation.question import Answer, Question
from selfcodealign.generation.tasks import find_fault
from selfcodealign.judging.stored import STORED_VERDICT, verdict_fields
from selfcodealign.models import Sampling
from selfcodealign.rows import Dropped, Response, Seed, digest, grow, without_concepts
from selfcodealign.sandbox import Program, Status, Verdict
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.commits import ask_for_change, fence_file, language_of, refuse_other_kinds
from selfcodealign.stages.context import Context
from selfcodealign.stages.siblings import unmeasured

#: How the tests may end on the code before, where it is what the request wants changed.
_FAILS = (Status.FAILED, Status.ERROR, Status.TIMEOUT, Status.MEMORY, Status.CRASHED)


class EditWriter:
    """Asks for requests with tests, one after the other, until the two runs of one tell the two versions apart."""

    def __init__(self, context: Context) -> None:
        self._settings = context.recipe.edits
        self._question = ask_for_edits(context)
        self._sandbox = context.sandbox
        self._digest = digest(
            self._settings.result_digest(), context.recipe.execution.result_digest(), self._question.digest
        )

    async def __call__(self, seed: Seed) -> Sequence[Response | Dropped]:
        if problem := await self._find_useless(seed):
            return [Dropped(parent=seed.id, reason=problem[0], detail=problem[1], row=seed.fields())]
        prompt = self._question.lay_out(seed.id, show(seed), seed.id)
        found: list[Response | Dropped] = []
        for sample in range(self._settings.samples):
            found.append(await self._sample(seed, prompt, sample))
            if isinstance(found[-1], Response) or found[-1].reason == "prompt_too_long":
                break
        return found

    async def _find_useless(self, seed: Seed) -> tuple[str, str] | None:
        """Why nothing is asked about a commit, as (reason, detail)."""
        if seed.kind != "commits":
            return "no_commit", seed.kind
        if not seed.old_code.strip():
            return "no_code_before", ""
        verdict = await self._sandbox.run(Program(fence_file(seed, seed.seed), "pass", kind="check"))
        return None if verdict.passed else ("code_does_not_run", _tell(verdict))

    async def _sample(self, seed: Seed, prompt: str, sample: int) -> Response | Dropped:
        answer = await self._question.ask(prompt, seed.id, sample)
        row = self._grow(seed, answer, sample)
        if problem := self._find_fault(answer, seed):
            return Dropped(parent=seed.id, reason=problem[0], detail=problem[1], row=row.fields())
        after = await self._sandbox.run(Program(row.response, row.tests))
        row = replace(row, **verdict_fields(after))
        if not after.passed:
            return Dropped(parent=seed.id, reason=str(after.status), detail=_tell(after), row=row.fields())
        before = await self._sandbox.run(
            Program(fence_file(seed, seed.old_code), row.tests, mutation_testing=False, split=False)
        )
        if before.status in _FAILS:
            return row
        reason = "passes_before" if before.passed else f"before_{before.status}"
        return Dropped(parent=seed.id, reason=reason, detail=_tell(before), row=row.fields())

    def _find_fault(self, answer: Answer, seed: Seed) -> tuple[str, str] | None:
        """Why a text is no request, as (reason, detail)."""
        if answer.problem:
            return answer.problem, answer.detail
        request = answer.sections["instruction"]
        if fault := find_fault(request):
            return fault
        lifted = find_echo(request, self._question.draw(seed.id, seed.id), ("instruction",))
        return ("echo", lifted) if lifted else None

    def _grow(self, seed: Seed, answer: Answer, sample: int) -> Response:
        """The row of one answer before it is run; an answer that was not read has neither task nor tests."""
        request, written = (answer.sections.get(tag, "") for tag in ("instruction", "tests"))
        tests = read_tests(written)
        instruction_id = digest(seed.id, self._digest, sample)
        own: dict[str, Any] = {
            "instruction_id": instruction_id,
            "category": "",
            "language": language_of(seed),
            "difficulty": "",
            "instruction": ask_for_change(seed, request) if request else "",
            "response_id": digest(instruction_id, "response"),
            "sample": sample,
            "completion": answer.text,
            "response": fence_file(seed, seed.seed),
            "tests": tests.text,
            "repairs": ", ".join(dict.fromkeys((*answer.repairs, *tests.repairs))),
        }
        return grow(without_concepts(seed, "commit"), Response, **own, **STORED_VERDICT, **unmeasured())


def show(seed: Seed) -> dict[str, str]:
    """What a prompt shows of a commit."""
    before, after = (fence_file(seed, code) for code in (seed.old_code, seed.seed))
    return {"before": before, "after": after, "subject": seed.commit_message}


def _tell(verdict: Verdict) -> str:
    return " ".join(part for part in (verdict.error_type, verdict.message) if part)


def ask_for_edits(context: Context) -> Question:
    """The question about a commit."""
    settings = context.recipe.edits
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
    return context.question("edits", ("instruction", "tests"), settings.examples, sampling)


def _check(context: Context) -> list[Any]:
    return [
        *refuse_other_kinds(context, "edits"),
        *context.check_examples("edits", context.recipe.edits.examples),
    ]


def _asks(context: Context) -> list[Asked]:
    settings = context.recipe.edits
    return [Asked("edits", settings.examples, settings.max_tokens, most=settings.samples, typical=settings.samples)]


EDITS = Each(
    name="edits",
    takes=Seed,
    gives=Response,
    settings=EditSettings,
    columns=("instruction", "status", "mutation_score", "commit_message", "origin"),
    needs=("model", "sandbox"),
    check=_check,
    decided_by=lambda context: {**context.deciding("edits", "execution"), **context.asking("edits")},
    build=EditWriter,
    prefix=lambda context: ask_for_edits(context).by_draw(),
    rows_at_once=lambda context: context.model_of("edits").concurrency + 2 * context.cores,
    asks=_asks,
)
