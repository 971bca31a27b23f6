"""Example → monologues about it: reasoning about a call of its code, accepted by running the call.

As SemCoder does (arXiv 2406.01006): forward from a call to its value, backward from a value to a call that returns it.
The call is one of the example's tests (`assert f(1) == 2`), the value is what the call returns in the sandbox. The
examples themselves pass through with `keep_examples`. Reasons of drops, each of a part of an example:

    no_call                              no test is such a call with literal arguments and a literal value
    unreadable_output, wrong_output      forward: the stated value is no literal, or not what the call returned
    unreadable_input, wrong_input        backward: no call of the function with literals, or it returns something else
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfcodealign.baseline_settings import MonologueSettings
from selfcodealign.fences import extract_python
from selfcodealign.generation.question import Question
from selfcodealign.markdown import fence
from selfcodealign.models import Sampling
from selfcodealign.rows import Dropped, Example, digest, grow
from selfcodealign.sandbox import Program
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Monologue(Example):
    """An example, or reasoning about a `call` of its code that returns `value`.

    `direction` is "forward" or "backward", and empty for the example itself, which has no call and no value.
    """

    id_field: ClassVar[str] = "monologue_id"
    monologue_id: str
    direction: str
    call: str
    value: str
    monologue: str


@dataclass(frozen=True)
class _Case:
    """A program, a call of its function, and the literal that the call returned."""

    program: str
    function: str
    call: str
    value: Any


class Monologist:
    """Asks for reasoning about the calls of one example, in both directions, until one of the samples is right."""

    def __init__(self, context: Context) -> None:
        self._settings = settings = context.recipe.monologues
        self._forward, self._backward = ask_forward(context), ask_backward(context)
        self._sandbox = context.sandbox
        self._digest = digest(
            settings.result_digest(),
            context.recipe.execution.result_digest(),
            self._forward.digest,
            self._backward.digest,
        )

    async def __call__(self, row: Example) -> Sequence[Monologue | Dropped]:
        found: list[Monologue | Dropped] = []
        if self._settings.keep_examples:
            found.append(self._grow(row, "", "", "", ""))
        program = extract_python(row.response)
        cases: list[_Case] = []
        for function, call in find_calls(program, extract_python(row.tests)):
            if len(cases) == self._settings.calls:
                break
            returned = await self._run(program, call)
            if returned is not None:
                cases.append(_Case(program, function, call, returned[0]))
        if not cases:
            found.append(Dropped(parent=row.id, reason="no_call", detail="", row=row.fields()))
        for case in cases:
            found += await self._reason(row, case, self._forward)
            found += await self._reason(row, case, self._backward)
        return found

    async def _reason(self, row: Example, case: _Case, question: Question) -> list[Monologue | Dropped]:
        """What became of the samples about one call in one direction."""
        direction, found = question.stage, list[Monologue | Dropped]()
        row_id = digest(row.id, direction, case.call)
        shown = {"program": case.program, **_shown(case, direction)}
        prompt = question.lay_out(row_id, shown, row.seed_id)
        for sample in range(self._settings.samples):
            answer = await question.ask(prompt, row_id, sample)
            problem = (answer.problem, answer.detail) if answer.problem else None
            call, value = case.call, repr(case.value)
            if problem is None and direction == "forward":
                problem = _judge_output(answer.sections["value"], case)
            elif problem is None:
                call = answer.sections["call"].strip()
                problem = await self._judge_input(call, case)
            if problem is None:
                found.append(self._grow(row, direction, call, value, answer.sections[direction]))
                break
            written = row.fields() | {"direction": direction, "call": call, "value": value, "monologue": answer.text}
            found.append(Dropped(parent=row.id, reason=problem[0], detail=problem[1], row=written))
            if answer.problem == "prompt_too_long":
                break
        return found

    async def _judge_input(self, call: str, case: _Case) -> tuple[str, str] | None:
        if _read_call(call, {case.function}) is None:
            return "unreadable_input", call
        returned = await self._run(case.program, call)
        if returned is not None and _same(returned[0], case.value):
            return None
        return "wrong_input", f"{call} returns {returned[0]!r}" if returned else f"{call} returns no literal"

    async def _run(self, program: str, call: str) -> tuple[Any] | None:
        """What a call returns, if it ends and returns a literal."""
        verdict = await self._sandbox.run(Program(fence(program, "python"), f"__record__(repr({call}))", kind="check"))
        if not verdict.passed or not verdict.records:
            return None
        return _read_literal(str(verdict.records[-1]))

    def _grow(self, row: Example, direction: str, call: str, value: str, monologue: str) -> Monologue:
        own = {"direction": direction, "call": call, "value": value, "monologue": monologue}
        grown = grow(row, Monologue, monologue_id=digest(row.id, self._digest, direction, call, monologue), **own)
        if not direction:
            return grown
        user, assistant = _messages(extract_python(row.response), grown)
        return replace(grown, user=user, assistant=assistant)


def find_calls(program: str, tests: str) -> Iterator[tuple[str, str]]:
    """Function and text of the calls in tests of the form `assert f(1) == 2`, each once."""
    try:
        defined = {node.name for node in ast.parse(program).body if isinstance(node, ast.FunctionDef)}
        asserts = [node.test for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Assert)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    known: set[str] = set()
    for test in asserts:
        if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
            continue
        text = ast.unparse(test.left)
        function = _read_call(text, defined)
        if function is not None and text not in known:
            known.add(text)
            yield function, text


def _read_call(text: str, functions: set[str]) -> str | None:
    """The function that a text calls with literals alone, one of `functions`; None for any other text."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in functions):
            return None
        for argument in (*call.args, *(keyword.value for keyword in call.keywords if keyword.arg)):
            ast.literal_eval(argument)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return call.func.id if all(keyword.arg for keyword in call.keywords) else None


def _read_literal(text: str) -> tuple[Any] | None:
    try:
        return (ast.literal_eval(text.strip()),)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def _judge_output(text: str, case: _Case) -> tuple[str, str] | None:
    stated = _read_literal(text)
    if stated is None:
        return "unreadable_output", text
    return None if _same(stated[0], case.value) else ("wrong_output", f"{stated[0]!r}, and it is {case.value!r}")


def _same(one: Any, other: Any) -> bool:
    """Whether two literals are equal and, unlike 1, 1.0 and True, written alike; sets may be in any order."""
    return type(one) is type(other) and one == other and (isinstance(one, set | dict) or repr(one) == repr(other))


def _shown(case: _Case, direction: str) -> dict[str, str]:
    return {"call": case.call} if direction == "forward" else {"value": repr(case.value)}


def _messages(program: str, row: Monologue) -> tuple[str, str]:
    """The messages that a model is tuned on: the task of one direction, and reasoning with its end."""
    code, call, value = fence(program, "python"), row.call, row.value
    if row.direction == "forward":
        user = f"{code}\n\nFollow the call `{call}` step by step. Which value does it return?"
        return user, f"{row.monologue}\n\nThe call returns:\n\n{fence(value, 'python')}"
    function = call.partition("(")[0]
    user = f"{code}\n\nFind a call of `{function}` that returns this value, reasoning back from it:\n\n"
    user += fence(value, "python")
    return user, f"{row.monologue}\n\nSuch a call is:\n\n{fence(call, 'python')}"


def ask_forward(context: Context) -> Question:
    """The question about what a call returns."""
    return _ask(context, "forward", ("forward", "value"))


def ask_backward(context: Context) -> Question:
    """The question about a call that returns a value."""
    return _ask(context, "backward", ("backward", "call"))


def _ask(context: Context, kind: str, wanted: tuple[str, ...]) -> Question:
    settings = context.recipe.monologues
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
    return context.question(kind, wanted, settings.examples, sampling, stage="monologues")


def _check(context: Context) -> Iterator[str]:
    for kind in ("forward", "backward"):
        yield from context.check_examples(kind, context.recipe.monologues.examples, "monologues")


def _decided_by(context: Context) -> dict[str, Any]:
    asking = {**context.asking("forward", "monologues"), **context.asking("backward", "monologues")}
    return {**context.deciding("monologues", "execution"), **asking}


def _asks(context: Context) -> list[Asked]:
    one = context.recipe.monologues
    return [
        Asked(kind, one.examples, one.max_tokens, prompts=one.calls, most=one.samples, typical=one.samples)
        for kind in ("forward", "backward")
    ]


MONOLOGUES = Each(
    name="monologues",
    takes=Example,
    gives=Monologue,
    settings=MonologueSettings,
    columns=("call", "value", "direction", "monologue", "mutation_score"),
    needs=("model", "sandbox"),
    check=_check,
    decided_by=_decided_by,
    build=Monologist,
    rows_at_once=lambda context: context.model_of("monologues").concurrency + 2 * context.cores,
    asks=_asks,
)
