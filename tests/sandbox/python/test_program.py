"""Code out of Markdown, and sections out of one text."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox.python.program import extract_code, split_sections


@pytest.mark.parametrize(
    ("markdown", "code"),
    [
        ("x = 1", "x = 1"),
        ("```python\nx = 1\n```", "x = 1"),
        ("Text\n```py\nx = 1\n```\nmore\n```python3\ny = 2\n```\n", "x = 1\n\ny = 2"),
        ("```\nx = 1\n```", "x = 1"),
        ("```\noutput\n```\n```python\nx = 1\n```", "x = 1"),
        ("```bash\nls\n```", ""),
        ("```bash\nls\n```\n```python\nx = 1\n```", "x = 1"),
        ("```python\nx = 1", "x = 1"),
        ("~~~python\nx = 1\n~~~", "x = 1"),
        ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''"),
        ("  ```Python title=a.py\nx = 1\n  ```", "x = 1"),
        ("```{.python}\nx = 1\n```", "x = 1"),
        ("", ""),
        ("```python\n```", ""),
        ("```python\r\nx = 1\r\n```", "x = 1"),
    ],
)
def test_extract_code(markdown: str, code: str) -> None:
    """Python blocks in their order; unmarked ones only when none is marked; a truncated one to its end."""
    assert extract_code(markdown).strip() == code


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("<response>a</response><tests>b</tests>", ("a", "b")),
        ("<response>a</response>\n<tests>b", ("a", "b")),
        ("a<tests>b</tests>", ("a", "b")),
        ("a\n\n## Tests\nb", ("a\n\n", "\nb")),
        ("a\n\n**Tests:**\nb", ("a\n\n", "\nb")),
        ("a\n\n### Unit tests for it\nb", ("a\n\n", "\nb")),
        ("no tests at all", ("no tests at all", "")),
    ],
)
def test_split_sections(text: str, sections: tuple[str, str]) -> None:
    """Tags first, then a heading; otherwise there is no tests section."""
    assert split_sections(text) == sections
