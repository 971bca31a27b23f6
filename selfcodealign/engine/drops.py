"""Say while a stage runs that it drops most of its rows, why that is likely, and how to look at some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from selfcodealign.rows import Dropped, Row

#: After so many rows, a stage that has dropped more than this share of them is told of.
LEAST_ROWS, MOST_DROPPED = 20, 0.8
_STRONGER = "a stronger model writes fewer of them"
#: What a reason that is most frequent likely means, and what a person may do.
MEANINGS = {
    "judged_no": "a weak model says no to nearly everything: use a stronger one, or run --without judge",
    "truncated": "answers do not end before the limit: raise the stage's max_tokens or use a stronger model",
    "looping": f"the model repeats itself; {_STRONGER}",
    "unparsed": f"the model leaves the format of the worked examples; {_STRONGER}",
    "prompt_too_long": "prompts exceed the model's context: fewer worked examples, or shorter ones (few_shot.file)",
    "echo": f"the model copies the worked examples; {_STRONGER}, or write examples nearer to your seeds",
    "copied": f"the model copies the worked examples; {_STRONGER}, or write examples nearer to your seeds",
    "not_concepts": f"the model writes code or sentences instead of concepts; {_STRONGER}",
    "failed": f"the answers fail their own tests; {_STRONGER}",
    "error": "the answers raise errors: see whether a library is missing, or whether the model is too weak",
    "timeout": "the answers take too long: raise execution.seconds, or look for endless loops",
    "near_instruction": "the instructions resemble each other: more or other seeds give more kinds of tasks",
}


class DropWatch:
    """Counts the rows of a stage of the run in `path`, and tells of the drops once.

    Rows that were finished before a run was `resumed` do not count: the settings may be better now.
    """

    def __init__(self, path: Path, stage: str, *, resumed: bool = False) -> None:
        self._path, self._stage = path, stage
        self._since = " since the run was resumed" if resumed else ""
        self._rows = self._kept = 0
        self._reasons: Counter[str] = Counter()
        self._told = False

    def add(self, outcome: Sequence[Row | Dropped]) -> str:
        """Count the outcome of a row that entered; return the line to say, "" where there is nothing to say.

        A row of which anything was kept counts as kept, such as an instruction with one verified response of ten.
        """
        reasons = [one.reason for one in outcome if isinstance(one, Dropped)]
        self._rows += 1
        self._kept += len(reasons) < len(outcome)
        self._reasons.update(reasons)
        if (
            self._told
            or not self._reasons
            or self._rows < LEAST_ROWS
            or self._rows - self._kept <= MOST_DROPPED * self._rows
        ):
            return ""
        self._told = True
        ((reason, number),) = self._reasons.most_common(1)
        meaning = f": {MEANINGS[reason]}" if reason in MEANINGS else ""
        spoilt = self._rows - self._kept
        return (
            f"{self._stage}: nothing was kept of {spoilt} of the first {self._rows} rows{self._since}, mostly "
            f"{reason} ({number}){meaning}. Some of them: selfcodealign show {quote(str(self._path))} --stage "
            f"{self._stage} --reason {reason} --sample 3"
        )
