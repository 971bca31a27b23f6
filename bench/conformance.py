"""Ask other ways of deciding about the conformance suite, beside ours: `python bench/conformance.py`.

    python bench/conformance.py --evalplus ENVIRONMENT

Every way decides inside the sandbox of this machine: its own script is run as a program, with the row on standard
input and a word that the row's program does not know, behind which its decision is printed. No program of the suite
runs bare.

filter    the published filter (StarCoder2-Instruct, SelfCodeAlign): response and tests in one file, exit status 0
evalplus  EvalPlus' `untrusted_check`, of a virtual environment with `evalplus` of this Python: the text is executed in
          a process, and any exception fails
pytest    response and tests in one file, pytest's exit status 0
ours      the sandbox's verdict
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from selfcodealign.judging.conformance.own import LIMITS, Judged
from selfcodealign.judging.conformance.suite import KINDS, MAY_PASS, ConformanceProgram, load_suite
from selfcodealign.sandbox import Limits, Program, Sandbox, probe_walls

#: The other ways need time for a process, and for their libraries.
WIDER = Limits(seconds=60, cpu_seconds=6, memory_mib=2048, processes=40, open_files=128, output_kib=2048)
SECONDS = 30
_BEGIN = """
import json, os, subprocess, sys
asked = json.load(sys.stdin)
with open("test_program.py", "w") as file:
    file.write(asked["program"])
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
def run(*words):
    try:
        done = subprocess.run([sys.executable, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=asked["seconds"])
    except subprocess.TimeoutExpired:
        return "timeout"
    return done.returncode
"""
_END = """
print("\\n" + asked["word"], decision, flush=True)
os._exit(0)
"""
FILTER = _BEGIN + 'decision = run("test_program.py") == 0' + _END
PYTEST = _BEGIN + 'decision = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_program.py") == 0' + _END
EVALPLUS = (
    _BEGIN
    + """
sys.path.insert(0, asked["packages"])
import psutil, types
psutil.virtual_memory = lambda: types.SimpleNamespace(total=1 << 30)  # it would read /proc, which is not there
from evalplus.eval import PASS, untrusted_check
code = asked["program"] + "\\n\\ndef reached_the_end():\\n    return True\\n"
out = os.dup(1)
status, _ = untrusted_check(
    "humaneval", code, [[]], "reached_the_end", [True], 0, [1.0], True, asked["seconds"], 1.0)
decision = status == PASS
os.dup2(out, 1)
"""
    + _END
)
Decide = Callable[[ConformanceProgram], Awaitable[bool]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evalplus", type=Path, help="a virtual environment with evalplus, readable for all users")
    parser.add_argument("--only", nargs="*", default=(), help="ids of programs")
    parser.add_argument("--verbose", action="store_true", help="name the programs that a way decides wrongly")
    options = parser.parse_args()
    missing = [probe.wall for probe in probe_walls() if not probe.held]
    if missing:
        raise SystemExit(f"no program is run: walls missing: {', '.join(missing)}")
    asyncio.run(compare(options))


async def compare(options: argparse.Namespace) -> None:
    programs = [one for one in load_suite() if not options.only or one.id in options.only]
    packages = next(options.evalplus.glob("lib/python*/site-packages"), None) if options.evalplus else None
    if options.evalplus and packages is None:
        raise SystemExit(f"{options.evalplus} is no virtual environment")
    ways: dict[str, tuple[str, tuple[str, ...]]] = {"filter": (FILTER, ()), "pytest": (PYTEST, ())}
    if packages:
        ways["evalplus"] = (EVALPLUS, (str(packages),))
    counts: dict[str, Counter[str]] = {}
    for name, (script, readable) in ways.items():
        async with Sandbox(limits=WIDER, warm=(), split=False, readable=readable) as sandbox:
            counts[name] = await ask(name, programs, other(script, sandbox, str(packages)), options.verbose)
    async with Sandbox(limits=LIMITS, warm=("numpy",)) as sandbox:
        counts["ours"] = await ask("ours", programs, ours(sandbox), options.verbose)
    print(f"{'kind':10}{'programs':>10}" + "".join(f"{name:>10}" for name in counts))
    for kind in KINDS:
        total = sum(one.kind == kind for one in programs)
        print(f"{kind:10}{total:10}" + "".join(f"{counts[name][kind]:10}" for name in counts))
    print("honest: refused; all others: passed")


async def ask(name: str, programs: list[ConformanceProgram], decide: Decide, verbose: bool) -> Counter[str]:
    """Count the wrong decisions of one way by kind."""
    began = time.monotonic()
    decisions = await asyncio.gather(*map(decide, programs))
    wrong = [one for one, passed in zip(programs, decisions, strict=True) if passed is not (one.kind == MAY_PASS)]
    print(f"{name}: {len(wrong)} of {len(programs)} wrong, {time.monotonic() - began:.0f} s", flush=True)
    if verbose:
        print("  " + " ".join(one.id for one in wrong), flush=True)
    return Counter(one.kind for one in wrong)


def other(script: str, sandbox: Sandbox, packages: str) -> Decide:
    """Another way: its script says the secret word and True."""

    async def decide(program: ConformanceProgram) -> bool:
        word = secrets.token_hex(16)
        asked = {"program": program.row()["program"], "seconds": SECONDS, "word": word, "packages": packages}
        verdict = await sandbox.run(Program(script, kind="script", stdin=json.dumps(asked), keep_output_kib=64))
        if f"{word} " not in verdict.output and program.kind == MAY_PASS:
            print(f"{program.id}: the way itself failed: {verdict.status} {verdict.message} {verdict.output[-300:]}")
        return f"{word} True" in verdict.output

    return decide


def ours(sandbox: Sandbox) -> Decide:
    """The sandbox's own verdict."""

    async def decide(program: ConformanceProgram) -> bool:
        verdict = await sandbox.run(Program(program.response, program.tests))
        judged = Judged(program, verdict, 0.0)
        return verdict.passed and not judged.fault

    return decide


if __name__ == "__main__":
    main()
