"""ClassEval (Du et al. 2023, arXiv 2308.01861): a whole class from its skeleton, judged by unit tests.

Two scores: `classeval` requires every test class to pass ("class success"), `classeval-methods` is the share of test
classes that pass (ClassEval reports the mean over all test classes of all tasks; here each task has the same weight).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Benchmark, Grade, Problem, not_judged
from selfcodealign.benchmarks.assertions import fence, imported_modules, missing_library
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: ClassEval allows each test class five seconds.
SECONDS = 5.0
_RUN = """
def __judge__():
    import io, unittest
    for name in {classes!r}:
        found = globals().get(name)
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(found) if found else unittest.TestSuite()
        result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
        wrong = [text.strip().splitlines()[-1][:300] for _, text in result.errors + result.failures]
        __record__([name, result.testsRun, len(wrong), wrong[:1]])
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
        from selfcodealign.sandbox import Limits, Program

        (code,) = codes
        tests = f"{problem.tests}\n{_RUN.format(classes=problem.test_classes)}"
        limits = Limits(seconds=SECONDS * len(problem.test_classes) + 5)
        return Program(response=fence(code), tests=fence(tests), kind="check", limits=limits, mutation_testing=False)

    def outcomes(self, problem: ClassProblem, verdict: Verdict, count: int) -> list[Grade]:
        found = {record[0]: record[1:] for record in verdict.records if isinstance(record, list) and len(record) == 4}
        passed = [name for name, (run, wrong, _) in found.items() if run and not wrong]
        share = len(passed) / len(problem.test_classes)
        whole = verdict.passed and share == 1.0
        reason = "" if whole else missing_library(problem.libraries)
        if verdict.status == "not_judged" or reason:
            return [not_judged(reason or verdict.message)]
        status = "passed" if whole else "failed" if verdict.passed else str(verdict.status)
        wrong = [text for _, count_wrong, texts in found.values() if count_wrong for text in texts]
        detail = "" if whole else verdict.message or (wrong[0] if wrong else f"{share:.0%} of the test classes pass")
        values = {"classeval": float(whole), "classeval-methods": share}
        return [Grade(status=status, values=values, detail=detail, seconds=verdict.seconds)]
