"""Time and money that a run has spent, and what both come to for one verified example."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from pydantic import ValidationError

from selfcodealign.errors import RunFolderError
from selfcodealign.files import read_text
from selfcodealign.models.named import MODELS
from selfcodealign.models.prices import cost, tell_unpriced
from selfcodealign.report.asked import AskedAccount
from selfcodealign.report.facts.types import Spending
from selfcodealign.run_folder.folder import ASKING_SECONDS, RunFolder
from selfcodealign.settings import PriceSettings


def read_spending(folder: RunFolder, asked: AskedAccount, warnings: list[str]) -> Spending:
    """What was spent in all runs of the folder; why something has no price is said in `warnings`."""
    seconds = float(sum(folder.facts().get(ASKING_SECONDS, {}).values()))
    each = 1 / asked.verified if asked.verified else None
    time = Spending(seconds, seconds * each if each else None)
    prices = _read_prices(folder, warnings)
    if not prices.known:
        return time
    if prices.of_tokens and not prices.all_models and (others := sorted(_other_models(folder, asked))):
        warnings.append(f"there is no cost: {tell_unpriced(others)}")
        return time
    total = asked.total
    money = cost(prices, total.prompt_tokens, total.cached_tokens, total.completion_tokens, seconds / 3600)
    return Spending(seconds, time.seconds_per_example, money, money * each if each else None, prices.currency or "")


def _read_prices(folder: RunFolder, warnings: list[str]) -> PriceSettings:
    """The prices of the recipe that lies in the folder; its other settings are not looked at."""
    path = folder.path / "recipe.toml"
    if not path.is_file():
        return PriceSettings()
    try:
        return PriceSettings(**tomllib.loads(read_text(path, error=RunFolderError)).get("prices", {}))
    except (RunFolderError, tomllib.TOMLDecodeError, ValidationError, TypeError) as error:
        warnings.append(f"there is no cost: the prices in {path} cannot be read ({str(error).splitlines()[0]})")
        return PriceSettings()


def _other_models(folder: RunFolder, asked: AskedAccount) -> Iterator[str]:
    """The models besides [model] that a stage with requests has asked."""
    stages = {stage.name: stage for stage in folder.stages()}
    for name in folder.facts().get(MODELS, {}):
        for stage, usage in asked.stages.items():
            if usage.requests and stage in stages and f"models.{name}.name" in stages[stage].decided_by:
                yield name
                break
