"""The code of docs/models.md works."""

from __future__ import annotations

import re

from tests.support.places import ROOT


def test_the_scripted_model_of_the_page():
    """Every Python block runs and its own assertions hold."""
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    found = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert found
    for block in found:
        exec(compile(block, "docs/models.md", "exec"), {})
