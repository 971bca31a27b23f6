"""Errors about missing packages name a command that works, however the package was installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import installation
from selfcodealign.errors import MissingExtra
from selfcodealign.installation import install_extra, install_packages
from tests.support.places import ROOT

METADATA = """Metadata-Version: 2.4
Name: selfcodealign
Version: 9.9
Requires-Dist: numpy
Requires-Dist: torch==2.13.0; extra == "local"
Requires-Dist: transformers; extra == "local"
Requires-Dist: datasets; extra == "hub"
Requires-Dist: selfcodealign[hub,local]; extra == "train"
Requires-Dist: trl; extra == "train"
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the metadata that an installer would, with this `direct_url.json`, in front of the real ones."""

    def write(origin: dict[str, Any] | None) -> None:
        folder = tmp_path / "site" / "selfcodealign-9.9.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(METADATA)
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.setattr(sys, "executable", "/env/bin/python")
        monkeypatch.setattr("shutil.which", lambda name: "/env/bin/pip" if name == "pip" else None)
        monkeypatch.setattr(installation, "find_spec", lambda name: name)

    return write


@pytest.mark.parametrize("inside", [True, False])
def test_a_checkout_is_named_by_its_path(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    """An editable install: `.` in the checkout, the whole path elsewhere, blanks in it quoted."""
    checkout = tmp_path / "my code"
    checkout.mkdir()
    install({"url": checkout.as_uri(), "dir_info": {"editable": True}})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(checkout if inside else tmp_path / "elsewhere")
    named = "." if inside else str(checkout)
    assert install_extra("train") == f"pip install -e '{named}[train]'"
    assert str(MissingExtra("training", "train")).endswith(f": pip install -e '{named}[train]'")


def test_a_wheel_is_named_by_its_file(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that is still there; where it was removed, the installed package is named, which pip adds to."""
    wheel = tmp_path / "dist" / "selfcodealign-9.9-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    install({"url": wheel.as_uri(), "archive_info": {}})
    monkeypatch.chdir(tmp_path)
    assert install_extra("hub") == "pip install './dist/selfcodealign-9.9-py3-none-any.whl[hub]'"
    wheel.unlink()
    assert install_extra("hub") == "pip install 'selfcodealign[hub]'"


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (None, "pip install 'selfcodealign[hub]'"),
        (
            {"url": "https://git.test/sca.git", "vcs_info": {"vcs": "git", "commit_id": "abc1"}},
            "pip install 'selfcodealign[hub] @ git+https://git.test/sca.git@abc1'",
        ),
        (
            {"url": "https://host.test/selfcodealign-9.9.whl", "archive_info": {}},
            "pip install 'selfcodealign[hub] @ https://host.test/selfcodealign-9.9.whl'",
        ),
    ],
)
def test_indexes_repositories_and_addresses(install: Any, origin: Any, said: str) -> None:
    """The package comes from the place that it came from before."""
    install(origin)
    assert install_extra("hub") == said


def test_a_checkout_that_is_only_on_the_path(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed: the checkout around the module is named."""
    install(None)
    monkeypatch.setattr(installation, "_distribution", lambda: None)
    monkeypatch.chdir(ROOT)
    assert install_extra("hub") == "pip install -e '.[hub]'"


def test_the_environment_that_is_not_activated_is_named(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain `pip` would install elsewhere; uv serves an environment that has no pip."""
    install(None)
    monkeypatch.setattr("shutil.which", {"pip": "/usr/bin/pip", "uv": "/usr/bin/uv"}.get)
    assert install_packages("bitsandbytes") == "/env/bin/python -m pip install bitsandbytes"
    monkeypatch.setattr(installation, "find_spec", lambda name: None if name == "pip" else name)
    assert install_packages("bitsandbytes") == "uv pip install --python /env/bin/python bitsandbytes"


@pytest.mark.parametrize(("extra", "named"), [("local", True), ("train", True), ("hub", False)])
def test_a_machine_without_a_gpu_is_told_of_the_build_without_cuda(
    install: Any, monkeypatch: pytest.MonkeyPatch, extra: str, named: bool
) -> None:
    """Only where torch is missing and the extra, or one that it includes, brings it."""
    install(None)
    monkeypatch.setattr(installation, "find_spec", lambda name: None if name == "torch" else name)
    monkeypatch.setattr("os.path.exists", lambda path: False)
    build = "first pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu)"
    assert (build in install_extra(extra)) == named
    monkeypatch.setattr("os.path.exists", lambda path: path == "/dev/nvidiactl")
    assert build not in install_extra(extra)
