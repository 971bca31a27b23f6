"""The filters of selection that need no more than the row: what an answer, or its task, is like by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from selfcodealign.generation.echo import Echo
from selfcodealign.generation.tasks import find_fault
from selfcodealign.judging.stored import NOT_RUN
from selfcodealign.rows import Response
from selfcodealign.sandbox import Status
from selfcodealign.settings import SelectionSettings
from selfcodealign.stages.marked import NO_LABELS, Labels
from selfcodealign.stages.messages import Messages


@dataclass
class Faults:
    """Finds the fault of a row that no label keeps."""

    settings: SelectionSettings
    echo: Echo | None
    messages: Messages
    labels: Labels = NO_LABELS

    def find(self, row: Response) -> tuple[str, str] | None:
        """Reason and detail, or None for a row without a fault."""
        if self.labels.keep_answer(row):
            return None
        prose = "\n".join(self.messages.prose(row).values())
        text = f"{row.response}\n{row.tests}\n{prose}".lower()
        for word in self.settings.unfinished_words:
            if word.lower() in text:
                return "unfinished", word
        if not self.labels.keep_task(row) and (fault := self._find_in_task(row)):
            return fault
        if self.echo and (lifted := self.echo.find(f"{row.response}\n{prose}", own=row.instruction)):
            return "echo", lifted
        may_have_proof = row.status in (Status.PASSED, NOT_RUN)
        if self.settings.proof == "split" and row.proof != "split" and may_have_proof:
            return "no_split_proof", "never run" if row.status == NOT_RUN else row.proof
        if not math.isnan(row.mutation_score) and row.mutation_score < self.settings.min_mutation_score:
            return "weak_tests", f"{row.mutation_score:.2f} of the mutants killed"
        return None

    def _find_in_task(self, row: Response) -> tuple[str, str] | None:
        words = len(row.instruction.split())
        if words > self.settings.max_instruction_words:
            return "long_instruction", f"{words} words"
        if fault := find_fault(row.instruction):
            return fault
        if self.echo and (lifted := self.echo.find(row.instruction)):
            return "echo", lifted
        return None
