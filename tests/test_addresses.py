"""Addresses lose their secrets, and nothing else."""

from __future__ import annotations

import pytest

from selfcodealign.addresses import REMOVED, hide_address, hide_arguments, hide_in, hide_secrets, is_incomplete
from selfcodealign.errors import ModelError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("https://u:p@host/v1?key=k#f", "https://host/v1"),
        ("https://token@host", "https://host"),
        ("https://u:p/a?b@host:8000/v1", "https://host:8000/v1"),
        ("https://u:p@q@host/v1", "https://host/v1"),
        ("https://host/@scope/name", "https://host/@scope/name"),
        ("https://host/v1?mail=a@b.c", "https://host/v1"),
        ("http://[::1]:8000/v1?k=1", "http://[::1]:8000/v1"),
        ('got "http://u:p@h/v1?k=1", not (https://u:p@h?k=1).', 'got "http://h/v1", not (https://h).'),
        ("git:https://u:p@host/r.git", "git:https://host/r.git"),
        ("there is no https:/u:p@host", "there is no https:/host"),
        ("git:/home/me@work/what?", "git:/home/me@work/what?"),
        ("http//u:p@host:8000/v1?key=k", "http//host:8000/v1"),
        ("http://http//u:p@host/v1?key=k", "http://http//host/v1"),
        ("got (x//u:p@host/v1?key=k)", "got (x//host/v1)"),
        ("http//host/v1?key=k", "http//host/v1"),
        ("https://host:8000/@scope/name", "https://host:8000/@scope/name"),
        ("git@host:owner/name", "git@host:owner/name"),
        ("what? a@b, 3 // 4 @ 5", "what? a@b, 3 // 4 @ 5"),
    ],
)
def test_user_password_and_query_go(text: str, shown: str) -> None:
    """In an address, in a sentence, behind a prefix; with characters that should have been quoted."""
    assert hide_secrets(text) == shown
    assert hide_secrets(shown) == shown
    assert hide_secrets(hide_secrets(text, REMOVED), REMOVED) == hide_secrets(text, REMOVED)
    assert str(ModelError(text)) == shown


def test_what_was_removed_can_be_seen() -> None:
    """The mark says where; a plain address and a mark without address are complete."""
    assert hide_secrets("https://u:p@host/v1?k=1", REMOVED) == "https://***@host/v1?***"
    for address in ("https://u:p@host/v1", "https://host?k=1", "u:p@host:80"):
        assert is_incomplete(hide_address(address, REMOVED))
        assert not is_incomplete(hide_address(address))
    assert not is_incomplete("***")
    assert hide_address("u:p@host:8000/v1") == "host:8000/v1"
    assert hide_in({"a": ["http://u:p@h", 1, None], "b": {"c": "http://h"}}) == {"a": ["http://h", 1, None]} | {
        "b": {"c": "http://h"}
    }
    assert hide_arguments(["--port", "1", "--api-key", "k", "--token=t"])[2:] == ["--api-key", "***", "--token=***"]
