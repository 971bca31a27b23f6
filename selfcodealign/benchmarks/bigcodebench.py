"""BigCodeBench (Zhuo et al. 2024, arXiv 2406.15877): functions that use many libraries, judged by `unittest` classes.

Two formats are read: the hub's (`complete_prompt`, `instruct_prompt`, `code_prompt`) and that of the annotation
repository (`prompt`, `instruction`, `prompt_wo_doc`). As in the official runner with its default "calibrated", an
answer runs after the task's imports and an empty function of the task's name, in one module with its tests.

Tasks are not judged where a library that they import is missing, and where their own solution fails (it needs the
network, a program or data that the sandbox does not have, or another version of a library).
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Benchmark, Grade, Problem, not_judged
from selfcodealign.benchmarks.answers import complete
from selfcodealign.benchmarks.assertions import imported_modules
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields
from selfcodealign.benchmarks.programs import judge_program, read_grades
from selfcodealign.errors import BenchmarkError

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: CPU time of an answer with its tests: the slowest of the benchmark's own solutions need some 30 s.
SECONDS = 60.0
#: Wall time of one that waits: the official limit for all. Some tests wait for programs that sleep for a minute.
WAITS = 240.0
#: Wall time of one program in the sandbox, per answer: for the case that the judge cannot enforce its own limits.
_PROGRAM_SECONDS = 600.0
#: The distributions of the modules that have another name.
PACKAGES = {
    "Crypto": "pycryptodome",
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "faker": "Faker",
    "flask_login": "Flask-Login",
    "flask_mail": "Flask-Mail",
    "flask_restful": "Flask-RESTful",
    "flask_wtf": "Flask-WTF",
    "mpl_toolkits": "matplotlib",
    "requests_mock": "requests-mock",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "wtforms": "WTForms",
    "yaml": "PyYAML",
}
#: The tasks of BigCodeBench-Hard, by number.
_HARD = (
    "13 15 17 19 34 37 82 89 92 93 99 100 101 108 120 123 124 129 139 147 161 162 177 184 187 199 208 211 214 227 239 "
    "241 267 273 274 287 302 308 310 313 324 326 341 346 360 367 368 374 399 401 409 417 418 424 443 445 454 458 461 "
    "477 486 492 501 502 503 509 511 513 526 528 530 532 553 560 567 574 579 582 583 587 590 592 593 594 618 636 637 "
    "654 655 657 678 720 723 752 760 763 765 771 777 785 800 826 845 854 857 865 870 879 897 906 914 915 916 917 928 "
    "942 945 952 955 963 964 969 971 985 988 990 998 999 1003 1004 1006 1008 1012 1013 1015 1019 1020 1022 1039 1040 "
    "1042 1053 1057 1077 1085 1124 1129 1137 "
)
HARD = frozenset(f"BigCodeBench/{number}" for number in _HARD.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTestProblem(Problem):
    """A task judged by the class `TestCases` that `tests` defines.

    `start` is the code that runs before an answer, `modules` are the modules that it and the tests import, `libraries`
    the top-level ones, with those of the reference.
    """

    tests: str
    start: str
    modules: tuple[str, ...]
    libraries: tuple[str, ...]


class BigCodeBench(Benchmark[UnitTestProblem]):
    """`hard` keeps the 148 tasks of BigCodeBench-Hard, whichever file they come from."""

    answers_per_program = 8
    begins_program = True
    #: Half of the tasks import some of these; together they take longer to import than most tests to run.
    warm = ("numpy", "pandas", "matplotlib.pyplot", "scipy.stats", "sklearn.linear_model", "seaborn")

    def __init__(self, hard: bool) -> None:
        self.hard = hard
        self.name = "bigcodebench-hard" if hard else "bigcodebench"
        versions = {"511677826dea45fb1e81393f475f1bf1": "bigcodebench-annotation, 1140 tasks"}
        self.source = Source(hub=f"bigcode/{self.name}", split="v0.1.4", versions=versions)
        self.scores = (self.name,)

    def problems(self, rows: Sequence[Row]) -> list[UnitTestProblem]:
        # The texts of some tasks have escapes that Python warns of.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            every = [self._read(row) for row in rows]
        found = [problem for problem in every if not self.hard or problem.task_id in HARD]
        if not found:
            raise BenchmarkError(f"this is no problem file of {self.name}: it has none of the {len(HARD)} hard tasks")
        return found

    def _read(self, row: Row) -> UnitTestProblem:
        check_fields(self.name, row, ("task_id", "entry_point", "canonical_solution", "test"))
        names = ("complete_prompt", "instruct_prompt", "code_prompt")
        if "prompt_wo_doc" in row:
            names = ("prompt", "instruction", "prompt_wo_doc")
        check_fields(self.name, row, names)
        prompt, instruction, start = (row[name] for name in names)
        reference = f"{prompt}\n{row['canonical_solution']}"
        return UnitTestProblem(
            task_id=row["task_id"],
            prompt=prompt,
            instruction=instruction,
            entry_point=row["entry_point"],
            reference=reference,
            tests=row["test"],
            start=f"{start}\n    pass\n",
            modules=tuple(dict.fromkeys(_modules(f"{start}\n    pass\n{row['test']}"))),
            libraries=imported_modules(f"{reference}\n{row['test']}"),
        )

    def join(self, problem: UnitTestProblem, code: str) -> str:
        return complete(problem.prompt, code)

    def program(self, problem: UnitTestProblem, codes: Sequence[str]) -> Program:
        from selfcodealign.sandbox import Limits, Program

        if _missing(problem):
            return Program(response="pass", tests="pass", kind="check", limits=Limits(), mutation_testing=False)
        data = {
            "tests": problem.tests,
            "reference": problem.start + problem.reference,
            "modules": problem.modules,
            "answers": [problem.start + code for code in codes],
            "seconds": SECONDS,
            "waits": WAITS,
        }
        return judge_program("unit tests", data, _PROGRAM_SECONDS * (len(codes) + 1))

    def outcomes(self, problem: UnitTestProblem, verdict: Verdict, count: int) -> list[Grade]:
        if missing := _missing(problem):
            packages = " ".join(dict.fromkeys(PACKAGES.get(name, name) for name in missing))
            named = "library" if len(missing) == 1 else "libraries"
            reason = f"{named} not installed here: {', '.join(missing)} (pip install {packages})"
            return [not_judged(reason)] * count
        return read_grades(self.name, verdict, count)


def _missing(problem: UnitTestProblem) -> list[str]:
    """Return the libraries that a task requires and this interpreter, which also runs the answers, lacks."""
    return [name for name in problem.libraries if find_spec(name) is None]


def _modules(code: str) -> list[str]:
    """Return the modules that code imports, with their packages' names, in order."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found
