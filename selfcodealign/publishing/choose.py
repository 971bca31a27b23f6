"""Whether a path is a run with a data set or a tuned model, and so what goes to the hub."""

from __future__ import annotations

from pathlib import Path

from selfcodealign.dataset.authors import AUTHORS_FILE
from selfcodealign.errors import PublishError
from selfcodealign.publishing.dataset import pack_dataset
from selfcodealign.publishing.model import pack_model
from selfcodealign.publishing.parcel import Parcel


def pack(path: Path, repository: str, *, licence: str = "", report: bool = False) -> Parcel:
    """What would go to `repository`: of a run or of a data set's folder the data set, of a model's folder the model.

    `licence` takes the place of the one in the card, `report` adds the page about the work. Raises `PublishError` for
    what is neither, is not finished, or must not be seen by others.
    """
    if not path.is_dir():
        raise PublishError(f"there is no folder {path}")
    if (path / "run.json").is_file() or (path / AUTHORS_FILE).is_file():
        return pack_dataset(path, repository, licence=licence, report=report)
    if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
        return pack_model(path, repository, licence=licence, report=report)
    raise PublishError(
        f"{path} is neither a run (run.json) nor a model's folder (config.json): name one, such as RUN or RUN/tuned"
    )
