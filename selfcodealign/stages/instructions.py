"""Concepts → instruction: a new task with drawn properties (or, without concepts, a task from the seed itself)."""

from __future__ import annotations

from random import Random

from selfcodealign.generation.few_shot_file import FewShotFile, lay_out_properties
from selfcodealign.generation.question import Question
from selfcodealign.models import Model, Sampling
from selfcodealign.rows import Concepts, Dropped, Instruction, digest, seed_of
from selfcodealign.settings import ConceptSettings, FewShotSettings, InstructionSettings
from selfcodealign.stages.concepts import cut_snippet

LANGUAGE = "Python"


class InstructionWriter:
    """Asks `per_seed` times for a task, each time with its own draw of category and difficulty."""

    def __init__(
        self,
        model: Model,
        few_shot: FewShotFile,
        settings: InstructionSettings,
        concepts: ConceptSettings,
        few: FewShotSettings,
        random_seed: int,
    ) -> None:
        self._settings = settings
        self._concepts = concepts
        self._random_seed = random_seed
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
        stage = "instructions" if concepts.enabled else "instructions-from-seed"
        self._question = Question(
            model, few_shot, stage, ("instruction",), settings.examples, few.draws, sampling, random_seed
        )
        self.digest = digest(settings.result_digest(), self._question.digest)

    async def __call__(self, row: Concepts) -> list[Instruction | Dropped]:
        return [await self._write(row, number) for number in range(self._settings.per_seed)]

    async def _write(self, row: Concepts, number: int) -> Instruction | Dropped:
        instruction_id = digest(row.id, self.digest, number)
        category, difficulty, concepts = self._draw_properties(instruction_id, row.concepts)
        drawn = row.fields() | {"category": category, "language": LANGUAGE, "difficulty": difficulty}
        if self._concepts.enabled:
            shown = {"properties": lay_out_properties(category, LANGUAGE, difficulty, concepts)}
        else:
            shown = {"snippet": cut_snippet(row.seed, self._concepts)}
        answer = await self._question.ask(self._question.lay_out(instruction_id, shown), instruction_id)
        if answer.problem:
            return Dropped(parent=row.id, reason=answer.problem, detail=answer.detail, row=drawn)
        return Instruction(**drawn, instruction_id=instruction_id, instruction=answer.sections["instruction"])

    def _draw_properties(self, instruction_id: str, concepts: list[str]) -> tuple[str, str, list[str]]:
        """Category, difficulty and the concepts to show; a category listed twice is drawn twice as often."""
        random = Random(seed_of(digest(self._random_seed, instruction_id), "properties"))
        category, difficulty = random.choice(self._settings.categories), random.choice(self._settings.difficulties)
        most = self._settings.concepts_shown
        shown = concepts if most is None or len(concepts) <= most else random.sample(concepts, most)
        return category, difficulty, shown
