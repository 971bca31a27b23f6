"""SandboxFusion's `POST /run_code`: a script in, what `python FILE` would do out, so that its clients can ask here.

Fields and their meaning follow bytedance/SandboxFusion, `sandbox/server/sandbox_api.py` and `sandbox/runners/types.py`.
Python only. Times and memory are bounded by those of this service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from selfcodealign.judging.wire import RequestError, bound_limits, check_fields, read_files, write_files
from selfcodealign.sandbox import Limits, Program, Status, Verdict
from selfcodealign.sandbox.isolation.scratch_files import MOST_BYTES

_FIELDS: dict[str, tuple[type, ...]] = {
    "code": (str,),
    "language": (str,),
    "stdin": (str,),
    "compile_timeout": (int, float),
    "run_timeout": (int, float),
    "memory_limit_MB": (int, float),
    "files": (dict,),
    "fetch_files": (list,),
}
#: As its own service does when a request says nothing.
_RUN_SECONDS = 10
#: Of stdout, and of stderr. A program that writes more is ended, so that no output is cut off in silence.
_MOST_OUTPUT_KIB = 4096


class Unsupported(Exception):
    """A request that SandboxFusion can serve and this service cannot."""


def read_script(body: Mapping[str, Any], own: Limits) -> Program:
    """Return the script of a request. Raises `RequestError`, or `Unsupported`, which is answered as a SandboxError."""
    check_fields(body, _FIELDS, "the request")
    code, language = body.get("code"), body.get("language")
    if not isinstance(code, str) or not isinstance(language, str):
        raise RequestError('the request has to be {"code": "…", "language": "python", …}')
    if language != "python":
        raise Unsupported(f'language "{language[:40]}" is not supported: this service runs python only')
    wanted: dict[str, Any] = {"seconds": body.get("run_timeout") or _RUN_SECONDS}
    memory = body.get("memory_limit_MB")
    if memory is not None and memory > 0:
        wanted["memory_mib"] = memory
    limits = bound_limits(wanted, own)
    limits = replace(limits, output_kib=min(limits.output_kib, _MOST_OUTPUT_KIB))
    try:
        return Program(
            code,
            kind="script",
            stdin=body.get("stdin") or "",
            limits=limits,
            keep_output_kib=limits.output_kib,
            as_command=True,
            files=read_files(body.get("files") or {}),
            fetch=tuple(body.get("fetch_files") or ()),
        )
    except ValueError as error:
        raise Unsupported(str(error)) from None


def write_result(program: Program, verdict: Verdict) -> dict[str, Any]:
    """Return the answer to a request."""
    if verdict.status is Status.NOT_JUDGED:
        return write_failure(verdict.message)
    timed_out = verdict.status is Status.TIMEOUT
    status = _exit_status(verdict)
    result = {
        "status": "TimeLimitExceeded" if timed_out else "Finished",
        "execution_time": verdict.seconds,
        "return_code": None if timed_out else status,
        "stdout": verdict.output,
        "stderr": _errors(verdict),
    }
    missing = [name for name in program.fetch if name not in verdict.files]
    return _answer(
        "Success" if not timed_out and status == 0 else "Failed",
        f"not fetched: {', '.join(missing)} (no regular file, or beyond {MOST_BYTES >> 20} MiB)" if missing else "",
        run_result=result,
        files=write_files(verdict.files),
    )


def write_failure(message: str) -> dict[str, Any]:
    """Return the answer to a request whose script was not run."""
    return _answer("SandboxError", message)


def _answer(status: str, message: str, **more: Any) -> dict[str, Any]:
    names = ("compile_result", "run_result", "executor_pod_name")
    return {"status": status, "message": message, **dict.fromkeys(names), "files": {}, **more}


def _exit_status(verdict: Verdict) -> int:
    if verdict.status in (Status.PASSED, Status.NO_CODE):  # an empty script does nothing
        return 0
    return verdict.exit_code or 1


def _errors(verdict: Verdict) -> str:
    """What the script wrote, and why the sandbox ended it, or what its syntax lacks."""
    by_itself = verdict.status in (Status.PASSED, Status.NO_CODE) or verdict.error_type in ("Exit", "SystemExit")
    told = verdict.message in verdict.stderr if verdict.message else bool(verdict.stderr)  # by a traceback
    if by_itself or told:
        return verdict.stderr
    place = f'  File "<response>", line {verdict.line}\n' if verdict.line and not verdict.stderr else ""
    said = ": ".join(part for part in (verdict.error_type, verdict.message) if part)
    return f"{verdict.stderr}{place}{said}\n"
