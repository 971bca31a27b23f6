"""TRL's GRPOTrainer on prompts that are rendered already, in planned order, with rewards from the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import Sampler
from trl import GRPOTrainer

from selfcodealign.models.chat import Chat
from selfcodealign.settings import GrpoSettings
from selfcodealign.training.batching import draw_rows
from selfcodealign.training.rewards import SandboxReward

#: In the log of a step, before the status of a verdict: how many answers had it.
VERDICTS = "verdicts/"


class TaskOrder(Sampler[int]):
    """The tasks of all steps in sequence, as TRL's trainer reads them: a batch is given once for each forward pass that
    uses its answers, and each task in it once for each answer."""

    def __init__(self, tasks: int, settings: GrpoSettings, passes: int) -> None:
        self.tasks, self.settings = tasks, settings
        self.repeats = passes * settings.updates
        self.rounds = -(-settings.steps // settings.updates)

    def __len__(self) -> int:
        return self.rounds * self.repeats * self.settings.prompts * self.settings.samples

    def __iter__(self) -> Iterator[int]:
        drawn = draw_rows(self.tasks, self.settings.seed)
        for _ in range(self.rounds):
            chosen = list(islice(drawn, self.settings.prompts))
            for _ in range(self.repeats):
                for task in chosen:
                    yield from [task] * self.settings.samples


class VerdictTrainer(GRPOTrainer):
    """GRPOTrainer with prompts that are rendered already, in planned order, and rewards from the sandbox."""

    def __init__(self, *args: Any, order: TaskOrder, judging: SandboxReward, chat: Chat, **kwargs: Any) -> None:
        self._order, self._judging, self._chat = order, judging, chat
        super().__init__(*args, **kwargs)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return self._chat.tokenize(prompts), None, {}

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        return self._order

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: `report` writes it once, with the result."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        counts = self._judging.take_verdicts()
        super().log(logs | {f"{VERDICTS}{status}": count for status, count in counts.items()}, start_time)
