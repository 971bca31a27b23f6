"""EvoEval (Xia et al. 2024, arXiv 2403.19114): seven sets derived from HumanEval.

Five sets store their calls as source text of arguments; `verbose` and `concise` reword HumanEval+ and use its inputs.
The reference is `prompt + "\\n" + canonical_solution`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfcodealign.benchmarks.answers import complete
from selfcodealign.benchmarks.differential import CallProblem, DifferentialBenchmark
from selfcodealign.benchmarks.humaneval import ask
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields

# md5 of each set's file, v0.1.0.
SETS = {
    "difficult": "5888868439a2392c01bbcf078c7ee810",
    "creative": "90d893e36f0394828dbc9e25e2fbd6b5",
    "subtle": "e19fe547d76cb2e2d590198f61c9af08",
    "combine": "0136ba257467478eab47e317105c67a9",
    "tool_use": "f391a4d8acd67353fb1187047892a3a6",
    "verbose": "3053e0b07d6d511856b2bee6c9fdea9d",
    "concise": "0f4ac48f140b270a9160da84ec951002",
}
_RELEASE = "https://github.com/evo-eval/evoeval_release/releases/download/v0.1.0/EvoEval_{}.jsonl.gz"


class EvoEval(DifferentialBenchmark[CallProblem]):
    """One of the seven sets. `verbose` and `concise` have extra inputs, hence a second score, as EvoEval reports it."""

    begins_program = True

    def __init__(self, subset: str) -> None:
        self.subset = subset
        self.name = f"evoeval-{subset.replace('_', '-')}"
        self.source = Source(url=_RELEASE.format(subset), versions={SETS[subset]: f"EvoEval {subset} v0.1.0"})
        self.scores = (self.name, f"{self.name}+") if subset in ("verbose", "concise") else (self.name,)

    def problems(self, rows: Sequence[Row]) -> list[CallProblem]:
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> CallProblem:
        check_fields(self.name, row, ("task_id", "prompt", "entry_point", "canonical_solution"))
        written = "inputs" in row
        if not written:
            check_fields(self.name, row, ("base_input",))
        calls = {"base": row["inputs" if written else "base_input"]}
        if f"{self.name}+" in self.scores:
            check_fields(self.name, row, ("plus_input",))
            calls["plus"] = row["plus_input"]
        return CallProblem(
            task_id=row["task_id"],
            prompt=row["prompt"],
            instruction=ask(row["prompt"]),
            entry_point=row["entry_point"],
            reference=f"{row['prompt']}\n{row['canonical_solution']}",
            suites=calls,
            shown=calls,
            rule="evoeval",
            oracle=f"{self.subset}/{row['task_id'].rpartition('/')[2]}",
            atol=row.get("atol", 0),
            written=written,
        )

    def values(self, passed: Mapping[str, bool]) -> Mapping[str, bool]:
        return {self.name: passed["base"]} | ({f"{self.name}+": all(passed.values())} if "plus" in passed else {})

    def join(self, problem: CallProblem, code: str) -> str:
        return complete(problem.prompt, code)
