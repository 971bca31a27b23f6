"""The reward of known answers: right, wrong, cut, and hostile ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from selfcodealign.errors import SandboxError
from selfcodealign.sandbox import Program, Status, Verdict
from selfcodealign.sandbox.on_demand import MOST_UNJUDGED
from selfcodealign.settings import ExecutionSettings
from selfcodealign.training.rewards import SHARED_PROOF, UNFINISHED, Answer, SandboxReward

TESTS = "assert double(2) == 4\nassert double(5) == 10\n"
RIGHT = "```python\ndef double(x):\n    return 2 * x\n```"
#: Equal to whatever it is compared with: passes beside its tests, and proves nothing.
EQUAL = "class Any(int):\n    def __eq__(self, other):\n        return True\n\n\ndef double(x):\n    return Any()\n"
#: Takes the assertions out of the judge's hands.
QUIET = "import builtins\n\nbuiltins.AssertionError = Exception\n\n\ndef double(x):\n    return 1\n"
EXECUTION = ExecutionSettings(seconds=2.0, workers=2, warm=[])


@pytest.fixture(scope="module")
def judging() -> Iterator[SandboxReward]:
    with SandboxReward(EXECUTION) as one:
        yield one


@pytest.mark.parametrize(
    ("text", "status", "reward"),
    [
        (RIGHT, "passed", 1.0),
        (f"It doubles.\n\n{RIGHT}\n\nThat is all.", "passed", 1.0),
        ("```python\ndef double(x):\n    return x + 2\n```", "failed", 0.0),
        ("```python\ndef double(x):\n    raise ValueError(x)\n```", "error", 0.0),
        ("```python\ndef double(x):\n    while True:\n        pass\n```", "timeout", 0.0),
        ("I cannot do that.", "no_code", 0.0),
        ("", "no_code", 0.0),
        ("```python\nimport os\nos._exit(0)\n```", "error", 0.0),
        ("```python\nimport sys\nsys.exit(0)\n```", "error", 0.0),
        (f"```python\n{QUIET}```", None, 0.0),
        (f"```python\n{EQUAL}```", None, 0.0),
        ("```python\nimport socket\nsocket.create_connection(('1.1.1.1', 80))\ndef double(x):\n    return 2 * x\n```",
         None, 0.0),
    ],
    ids=[
        "right", "with words", "wrong", "raises", "does not end", "no code", "empty", "exits", "exits at the end",
        "changes the judge", "equal to anything", "reaches out",
    ],
)  # fmt: skip
def test_only_a_solution_is_rewarded(judging: SandboxReward, text: str, status: str | None, reward: float) -> None:
    """1.0 for code that passes apart from its tests, 0.0 for everything else, with the reason counted."""
    judging.take_verdicts()
    assert judging.reward([Answer(text, TESTS)]) == [reward]
    (counted,) = judging.take_verdicts().items()
    assert counted[1] == 1
    assert counted[0] != "passed" or reward
    if status is not None:
        assert counted[0] == status


def test_an_answer_equal_to_anything_passes_only_beside_its_tests(judging: SandboxReward) -> None:
    """What split execution is for: in one process it would have the reward."""
    answer = Answer(f"```python\n{EQUAL}```", TESTS)
    assert judging.judge([answer]) != ["passed"]
    with SandboxReward(EXECUTION, "any") as lenient:
        assert lenient.judge([answer, Answer(RIGHT, TESTS)])[1] == "passed"


def test_an_answer_without_an_end_is_not_run(judging: SandboxReward) -> None:
    """A model has to stop by itself: a cut answer has no reward, even if its code is right."""
    judging.take_verdicts()
    answers = [Answer(RIGHT, TESTS, finished=False), Answer(RIGHT, TESTS)]
    assert judging.reward(answers) == [0.0, 1.0]
    assert judging.take_verdicts() == {UNFINISHED: 1, "passed": 1}
    assert judging.take_verdicts() == {}


def _stand_in(judging: SandboxReward, monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> list[Program]:
    """Let the sandbox give this verdict; return the programs that it was given."""
    ran: list[Program] = []

    async def run(program: Program) -> Verdict:
        ran.append(program)
        return verdict

    monkeypatch.setattr(judging._sandbox._sandbox, "run", run)
    return ran


def test_equal_answers_run_once(judging: SandboxReward, monkeypatch: pytest.MonkeyPatch) -> None:
    """A converged model samples the same answer again and again; the same text for other tests is another program."""
    ran = _stand_in(judging, monkeypatch, Verdict(Status.PASSED, proof="split"))
    answers = [Answer(RIGHT, TESTS), Answer(RIGHT, "assert double(1) == 2\n"), Answer(RIGHT, TESTS)]
    assert judging.reward(answers) == [1.0, 1.0, 1.0]
    assert sorted(program.tests for program in ran) == sorted({one.tests for one in answers})


def test_a_pass_beside_the_tests_has_no_reward_where_split_proof_is_asked_for(
    judging: SandboxReward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted by itself, so that a person sees when tests cannot be run apart."""
    judging.take_verdicts()
    _stand_in(judging, monkeypatch, Verdict(Status.PASSED, proof="shared"))
    assert judging.reward([Answer(RIGHT, TESTS)]) == [0.0]
    assert judging.take_verdicts() == {SHARED_PROOF: 1}


def test_a_broken_sandbox_is_no_reward_of_zero(judging: SandboxReward, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer that cannot be judged has no reward at all; many in a row end the training with an error."""
    _stand_in(judging, monkeypatch, Verdict(Status.NOT_JUDGED, message="the worker died"))
    assert judging.reward([Answer(RIGHT, TESTS)]) == [None]
    with pytest.raises(SandboxError, match="could not judge the last"):
        judging.reward([Answer(f"{RIGHT}\n{number}", TESTS) for number in range(MOST_UNJUDGED)])


def test_nothing_is_left_when_it_ends() -> None:
    """The thread of the sandbox ends with the training."""
    with SandboxReward(EXECUTION) as one:
        assert one.judge([Answer(RIGHT, TESTS)]) == ["passed"]
        assert one._thread in threading.enumerate()
    assert one._thread not in threading.enumerate()
