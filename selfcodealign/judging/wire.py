"""Programs and verdicts as JSON: what the service and its client send each other.

What a model may have caused (no text where an answer should be) is a verdict with a reason. What only the caller can
have caused (an unknown field, a limit that is no number) is a `RequestError`.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, get_args, get_type_hints

from selfcodealign.errors import did_you_mean
from selfcodealign.judging.rows import VERDICT_FIELDS, join_tests
from selfcodealign.sandbox import Limits, Program, Status, Verdict
from selfcodealign.sandbox.isolation.scratch_files import MOST_BYTES

#: Counts changes of requests and answers that an older client or server does not understand.
API = 1
#: Where the server and its client look for the token.
TOKEN_VARIABLE = "SELFCODEALIGN_SANDBOX_TOKEN"

KINDS = get_args(get_type_hints(Program)["kind"])
#: Fields of a verdict in an answer: those of `execute`'s rows, and what a `Verdict` has besides.
ANSWER_FIELDS = (*VERDICT_FIELDS, "mutation_score", "assertions", "exit_code", "records", "stderr")
_FIELDS: dict[str, tuple[type, ...]] = {
    "response": (object,),
    "tests": (object,),
    "id": (str, int),
    "kind": (str,),
    "entry_point": (str,),
    "stdin": (str,),
    "limits": (dict,),
    "mutation_testing": (bool,),
    "split": (bool,),
    "keep_output_kib": (int,),
    "as_command": (bool,),
    "files": (dict,),
    "fetch": (list,),
}
#: An integer in the place of minus infinity.
_LEAST = -(2**63)
#: A program with less has no time to begin.
_LEAST_SECONDS = 0.01
_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


class RequestError(Exception):
    """A request that the caller has to change; the message says what is expected, in one line."""


def parse_request(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body. Raises `RequestError`, whatever the bytes are."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise RequestError("the body's JSON is nested too deeply") from None
    except ValueError as error:
        raise RequestError(f"the body is no JSON in UTF-8: {str(error).splitlines()[0][:100]}") from None
    if not isinstance(value, dict):
        raise RequestError("the body has to be a JSON object")
    return value


def check_fields(value: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], what: str) -> None:
    """Raise `RequestError` for a field that is unknown or of another type; null stands for a field left out."""
    for name, one in value.items():
        if name not in known:
            shown = ascii(name[:40]).strip("'")
            raise RequestError(f'{what} has no field "{shown}"{did_you_mean(name[:40], known)}')
        right = isinstance(one, known[name]) and not (isinstance(one, bool) and bool not in known[name])
        if one is not None and object not in known[name] and not right:
            raise RequestError(f'"{name}" has to be {" or ".join(_WORDS[kind] for kind in known[name])}')


def read_batch(body: Mapping[str, Any], own: Limits) -> tuple[list[Any], list[Program | Verdict], Limits]:
    """Return the ids and programs of a request to `/judge`, and the limits that hold for those without their own.

    A program without texts is a verdict. Raises `RequestError`.
    """
    check_fields(body, {"programs": (list,), "limits": (dict,)}, "the request")
    programs = body.get("programs")
    if programs is None:
        raise RequestError('the request has to be {"programs": [{"response": "…", "tests": "…"}, …]}')
    limits = bound_limits(body.get("limits") or {}, own)
    ids = [one.get("id") if isinstance(one, dict) else None for one in programs]
    return ids, [_read_program(one, limits) for one in programs], limits


def _read_program(value: Any, limits: Limits) -> Program | Verdict:
    if not isinstance(value, dict):
        return Verdict(Status.NO_CODE, message='a program has to be an object with the texts "response" and "tests"')
    check_fields(value, _FIELDS, "a program")
    response, tests = value.get("response"), join_tests(value.get("tests"))
    if not isinstance(response, str) or not isinstance(tests, str):
        return Verdict(Status.NO_CODE, message='the program has no text in "response" (and "tests")')
    kind = value.get("kind") or "tests"
    if kind not in KINDS:
        raise RequestError(f'"kind" has to be one of {", ".join(KINDS)}')
    keep = value.get("keep_output_kib")
    if keep is not None and keep < 1:
        raise RequestError('"keep_output_kib" has to be at least 1')
    try:
        return Program(
            response,
            tests,
            kind,
            value.get("entry_point"),
            value.get("stdin") or "",
            bound_limits(value.get("limits") or {}, limits),
            value.get("mutation_testing"),
            value.get("split"),
            min(keep or 8, limits.output_kib),
            bool(value.get("as_command")),
            read_files(value.get("files") or {}),
            tuple(value.get("fetch") or ()),
        )
    except ValueError as error:
        raise RequestError(str(error)) from None


def read_files(files: Mapping[str, Any]) -> dict[str, bytes]:
    """Return files that a request has in base64; null stands for none. Raises `RequestError`, or `ValueError` for files
    that are too large together."""
    found = {}
    for name, data in files.items():
        if data is None:
            continue
        try:
            found[name] = b64decode(data, validate=True)
        except (TypeError, ValueError):
            raise RequestError('"files" has to be an object of file names with their content in base64') from None
    if sum(map(len, found.values())) > MOST_BYTES:
        raise ValueError(f"the files have more than {MOST_BYTES >> 20} MiB together")
    return found


def write_files(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return files in base64."""
    return {name: b64encode(data).decode() for name, data in files.items()}


def bound_limits(wanted: Mapping[str, Any], own: Limits) -> Limits:
    """Return `own` with the limits that are wanted, each at most what it is in `own`. Raises `RequestError`."""
    changed: dict[str, Any] = {}
    check_fields(wanted, dict.fromkeys(Limits.__slots__, (object,)), '"limits"')
    for name, value in wanted.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RequestError(f'"{name}" in "limits" has to be a number')
        most = getattr(own, name)
        if most is None:  # no limit on CPU time here: the clock's is its bound
            most = own.seconds
        if "seconds" in name:
            changed[name] = _LEAST_SECONDS if 0 < value < _LEAST_SECONDS else min(value, most)
        else:
            changed[name] = int(max(min(value, most), _LEAST))
    try:
        return replace(own, **changed)
    except ValueError as error:
        raise RequestError(f'"limits": {error}') from None


def write_program(program: Program) -> dict[str, Any]:
    """Return the fields of a program that differ from the defaults, for a request."""
    written = {}
    for one in fields(Program):
        value = getattr(program, one.name)
        if one.default is MISSING or value != one.default:
            written[one.name] = value
    written["files"] = write_files(program.files)
    if program.limits is not None:
        wanted = {name: getattr(program.limits, name) for name in Limits.__slots__}
        # JSON has no infinity; without a limit, the service's own holds.
        written["limits"] = {name: None if value == math.inf else value for name, value in wanted.items()}
    return written


def write_verdict(verdict: Verdict, name: Any = None) -> dict[str, Any]:
    """Return a verdict for an answer, with the id of its program if it has one."""
    given = {} if name is None else {"id": name}
    found = {"files": write_files(verdict.files)} if verdict.files else {}
    return given | {field: getattr(verdict, field) for field in ANSWER_FIELDS} | found


def read_verdict(value: Mapping[str, Any]) -> Verdict:
    """Return the verdict of an answer. Raises `ValueError`, `TypeError` or `KeyError` when it is none."""
    given = {field: value[field] for field in ANSWER_FIELDS}
    return Verdict(**given | {"status": Status(given["status"]), "files": read_files(value.get("files") or {})})


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")
