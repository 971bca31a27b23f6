"""ClassEval (Du et al. 2023, arXiv 2308.01861): a whole class from its skeleton, judged by unit tests.

Two scores: `classeval` requires every test class to pass ("class success"), `classeval-methods` is the share of test
classes that pass (ClassEval reports the mean over all test classes of all tasks; here each task has the same weight).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Benchmark, Grade, Problem, not_judged
from selfcodealign.benchmarks.assertions import fence, imported_modules, limit_cpu, missing_library
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: CPU time limit of one test class. ClassEval allows five seconds by the clock, which the reference of task 35 exceeds.
SECONDS = 25.0
#: Each test class runs in a process of its own: one that never ends, or ends its process, loses only itself.
_RUN = """
def __judge__():
    import io, math, os, random, resource, signal, time, unittest
    state = random.getstate()
    def run(name):
        random.setstate(state)  # a fork draws a new seed, and some tests pass for most seeds only
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil({seconds}),) * 2)
        found = globals().get(name)
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(found) if found else unittest.TestSuite()
        result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
        wrong = [text.strip().splitlines()[-1][:300] for _, text in result.errors + result.failures]
        __record__([name, result.testsRun, len(wrong), wrong[:1]])
    for name in {classes!r}:
        pid = os.fork()
        if pid == 0:
            try:
                run(name)
            finally:
                os._exit(0)
        clock, started = ((~pid) << 3) | 2, time.monotonic()
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            waited = time.monotonic() - started
            if waited > 2 * {seconds} and time.clock_gettime(clock) < 0.02 * waited:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)
        if os.waitpid(pid, 0)[1] in (signal.SIGXCPU, signal.SIGKILL):
            __record__([name, 0, 0, ["took too long"]])
    # Else the sandbox would run them once more, because it has not seen them run here.
    for name, value in [*globals().items()]:
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            del globals()[name]
__judge__()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassProblem(Problem):
    """A task judged by the `unittest` classes that `tests` defines; `imports` are the skeleton's imports."""

    tests: str
    imports: str
    test_classes: tuple[str, ...]
    libraries: tuple[str, ...]


class ClassEval(Benchmark[ClassProblem]):
    """The class is generated in one go ("holistic generation")."""

    name = "classeval"
    source = Source(hub="FudanSELab/ClassEval", versions={"5a4551d2fbfd1dcaa31134872faa4280": "ClassEval"})
    scores = ("classeval", "classeval-methods")

    def problems(self, rows: Sequence[Row]) -> list[ClassProblem]:
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> ClassProblem:
        fields = ("task_id", "skeleton", "test", "solution_code", "import_statement", "class_name", "test_classes")
        check_fields(self.name, row, fields)
        imports = "\n".join(row["import_statement"])
        return ClassProblem(
            task_id=row["task_id"],
            prompt="",
            instruction=(
                f"Please complete the class {row['class_name']} in the following code.\n"
                f"```python\n{row['skeleton'].strip()}\n```"
            ),
            entry_point=row["class_name"],
            reference=row["solution_code"],
            tests=row["test"],
            imports=imports,
            test_classes=tuple(name.strip() for name in row["test_classes"]),
            libraries=imported_modules(f"{imports}\n{row['test']}"),
        )

    def join(self, problem: ClassProblem, code: str) -> str:
        return f"{problem.imports}\n{code}"

    def program(self, problem: ClassProblem, codes: Sequence[str]) -> Program:
        from selfcodealign.sandbox import Program

        (code,) = codes
        tests = f"{problem.tests}\n{_RUN.format(classes=problem.test_classes, seconds=SECONDS)}"
        limits = limit_cpu((SECONDS + 1) * len(problem.test_classes) + 5)
        return Program(response=fence(code), tests=fence(tests), kind="check", limits=limits, mutation_testing=False)

    def outcomes(self, problem: ClassProblem, verdict: Verdict, count: int) -> list[Grade]:
        found = {record[0]: record[1:] for record in verdict.records if isinstance(record, list) and len(record) == 4}
        passed = [name for name, (run, wrong, _) in found.items() if run and not wrong]
        share = len(passed) / len(problem.test_classes)
        whole = verdict.passed and share == 1.0
        reason = "" if whole else missing_library(problem.libraries)
        if verdict.status == "not_judged" or reason:
            return [not_judged(reason or verdict.message)]
        wrong = [text for _, _, texts in found.values() for text in texts]
        failed = "timeout" if "took too long" in wrong else "failed"
        status = "passed" if whole else failed if verdict.passed else str(verdict.status)
        detail = "" if whole else verdict.message or (wrong[0] if wrong else f"{share:.0%} of the test classes pass")
        values = {"classeval": float(whole), "classeval-methods": share}
        return [Grade(status=status, values=values, detail=detail, seconds=verdict.seconds)]
