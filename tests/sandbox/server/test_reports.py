"""The report of a program is hostile input: any bytes in it give a verdict, and touch nothing else."""

from __future__ import annotations

import json
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfcodealign.files import json_line
from selfcodealign.judging.execute import add_verdict
from selfcodealign.sandbox import Limits, Status
from selfcodealign.sandbox.server.frames import HEADER
from selfcodealign.sandbox.server.reports import BEGUN, ReportReader, decode_report
from tests.support.judge import Judge

NONCE = b"0123456789abcdef"
# The tests of a program are not held to what a response may not do: they find the secret and write.
FIND = """
import os, struct
def cell(function, is_wanted):
    return next(c.cell_contents for c in function.__closure__ if is_wanted(c.cell_contents))
send = cell(__failed__, lambda value: getattr(value, "__name__", "") == "send")
nonce = cell(send, lambda value: type(value) is bytes and len(value) == 16)
def write(body, size=None):
    os.write(250, nonce + struct.pack("!I", len(body) if size is None else size) + body)
"""
RESPONSE = "def f():\n    return 1\n"
SUMMARY = {"end": True, "sites": 1, "held": 1, "proved": 1, "failures": [], "error": {}, "phase": "end"}
SUMMARY |= {"always_equal": "", "patched": "", "tampering": [], "mutants": []}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
messages = (
    st.dictionaries(st.sampled_from([*SUMMARY, "begun", "unready", "record", "failure", "\udc00"]), values, max_size=4)
    | st.fixed_dictionaries({"failure": st.tuples(st.integers(), st.text(max_size=5) | st.just("\ud800"))})
    | st.builds(lambda name, value: SUMMARY | {name: value}, st.sampled_from(list(SUMMARY)), values)
    | values
)
bodies = st.binary(max_size=40) | messages.map(lambda message: json.dumps(message).encode())


def feed(*chunks: bytes) -> ReportReader:
    reader = ReportReader(NONCE)
    for chunk in chunks:
        reader.take(chunk)
    return reader


def framed(message: object) -> bytes:
    body = json.dumps(message).encode()
    return NONCE + HEADER.pack(len(body)) + body


def test_messages_are_read_in_any_pieces() -> None:
    """A message may come byte by byte, or with the next."""
    data = framed(BEGUN) + framed({"record": [1, "ä", math.inf]})
    whole = feed(data)
    assert whole.messages == [BEGUN, {"record": [1, "ä", math.inf]}]
    assert feed(*(data[n : n + 1] for n in range(len(data)))).messages == whole.messages


def test_what_the_harness_does_not_write_is_broken() -> None:
    """Another secret, a length beyond bounds, no JSON, no object, a second beginning, a first that is none."""
    begun = framed(BEGUN)
    wrongs = [b"x" * 40, NONCE + b"\xff" * 8, NONCE + HEADER.pack(2) + b"[]", NONCE + HEADER.pack(1) + b"\xff", begun]
    for wrong in wrongs:
        assert feed(begun + wrong).broken
    assert feed(framed({"record": 1})).broken
    assert feed(begun + framed({"unready": "the machine is broken"})).broken
    assert not feed(framed({"unready": "no memory"})).broken


def test_bounds_hold() -> None:
    """Numbers without end, containers in containers and floods of messages are no messages."""
    assert decode_report(b'{"record": ' + b"9" * 5000 + b"}") is None
    for deep in (60, 100_000):
        assert decode_report(b'{"record": ' + b"[" * deep + b"]" * deep + b"}") is None
        assert decode_report(b'{"record": ' + b'{"a":' * deep + b"1" + b"}" * (deep + 1)) is None
    assert decode_report(b'{"record": [' + b"[]," * 1000 + b"1]}") is not None
    assert feed(framed(BEGUN), *(framed({"record": 1}) * 1000 for _ in range(101))).broken


@given(bodies)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing is raised, and every text that is read can be written."""
    message = decode_report(body)
    json.dumps(message, ensure_ascii=False).encode()


@given(writes=st.lists(st.tuples(bodies, st.none() | st.integers(0, 2**32 - 1)), min_size=1, max_size=3))
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_program_that_writes_its_own_report_gets_a_verdict(
    writes: list[tuple[bytes, int | None]], walled: Judge
) -> None:
    """With the right secret: one verdict that can be written to a file, not our fault, by a worker that works on."""
    workers = set(walled.sandbox._all)
    tests = "\n".join([FIND, *(f"write({body!r}, {size!r})" for body, size in writes), "assert f() == 2"])
    verdict = walled(RESPONSE, tests, limits=Limits(seconds=2))
    assert verdict.status is not Status.NOT_JUDGED, verdict
    json_line(add_verdict({}, verdict)).encode()
    assert walled(RESPONSE, "assert f() == 1", mutation_testing=False).passed
    assert set(walled.sandbox._all) == workers


def test_bytes_without_the_secret_are_tampering(walled: Judge) -> None:
    """A response that only knows the descriptor."""
    verdict = walled("import os\ndef f():\n    os.write(250, b'x' * 99)\n    return 1\n", "assert f() == 1")
    assert (verdict.status, verdict.error_type) == (Status.TAMPERING, "Tampering")
