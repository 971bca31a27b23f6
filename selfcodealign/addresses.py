"""Addresses without the secrets in them: user, password, query and fragment never reach a file, a log or an error.

Errors, the run folder and the progress display pass every text through here, so that no caller has to think of it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

#: Stands in recipe.toml for what was removed, so that a resumed run can say which setting to give again.
REMOVED = "***"
# `https:/` is what pathlib makes of an address. `git:/home/me` is a path.
# `http//` is a slip of the finger.
_ADDRESS = re.compile(r"""((?:[A-Za-z][A-Za-z0-9+.-]*:/|\b(?:https?|ssh|ftps?):|\bhttps?/)/)([^\s"'<>`]+)""")
# `//user:password@host` behind anything, also behind what looks like a host.
_WITH_PASSWORD = re.compile(r"""(//)([^\s"'<>`/:@]*:[^\s"'<>`/]*@[^\s"'<>`]*)""")
_ENDS_SENTENCE = re.compile(r"[)\].,;:}]*$")
#: Shorter user names, passwords and values of queries are parts of ordinary words.
SECRET_CHARACTERS = 4
_NAMES_SECRET = re.compile(r"--?[\w-]*(?:key|token|password|secret)[\w-]*", re.IGNORECASE)


def hide_secrets(text: str, mark: str = "") -> str:
    """Remove user, password, query and fragment from all addresses in a text; `mark` takes their place.

    >>> hide_secrets("cannot reach https://me:pass@host:8000/v1?key=abc: refused")
    'cannot reach https://host:8000/v1: refused'
    >>> hide_secrets("http://me:pass@host/v1", REMOVED)
    'http://***@host/v1'
    """
    for pattern in (_ADDRESS, _WITH_PASSWORD):
        text = pattern.sub(lambda found: found[1] + _strip(found[2], mark), text)
    return text


def secrets_of(address: str) -> set[str]:
    """Return what `hide_address` removes, whole and in parts: user, password, values of the query, the Basic header.

    >>> sorted(secrets_of("http://bob:pass%21@host/v1?key=abcd&n=1"))
    ['Ym9iOnBhc3Mh', 'abcd', 'bob:pass!', 'bob:pass%21', 'key=abcd&n=1', 'pass!', 'pass%21']
    """
    rest = address.partition("//")[2] or address
    start = re.split(r"[?#]", rest, maxsplit=1)[0]
    user = start.rpartition("@")[0]
    queries = re.split(r"[?#]", rest)[1:]
    found = {user, *user.split(":", 1), *queries}
    found |= {value for query in queries for part in query.split("&") for value in part.split("=", 1)[1:]}
    found |= {unquote(one) for one in found} | {unquote_plus(one) for one in found}
    if user:
        found.add(b64encode(unquote(user).encode()).decode())
    return {one for one in found if len(one) >= SECRET_CHARACTERS}


def mask(text: str, secrets: Iterable[str]) -> str:
    """Put `REMOVED` in the place of these texts, longer ones first: a password may be a part of the key."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, REMOVED)
    return text


def hide_address(address: str, mark: str = "") -> str:
    """`hide_secrets` for one address, which may lack its scheme.

    >>> hide_address("me:pass@host:8000")
    'host:8000'
    """
    return hide_secrets(address, mark) if "://" in address else hide_secrets(f"x://{address}", mark)[4:]


def hide_in(value: Any, mark: str = "") -> Any:
    """`hide_secrets` for all texts of a JSON value, names in mappings excepted."""
    if isinstance(value, str):
        return hide_secrets(value, mark)
    if isinstance(value, Mapping):
        return {key: hide_in(item, mark) for key, item in value.items()}
    return [hide_in(item, mark) for item in value] if isinstance(value, list | tuple) else value


def is_incomplete(text: str) -> bool:
    """Return whether `REMOVED` stands for a part of this address.

    >>> is_incomplete("http://***@host/v1"), is_incomplete("***")
    (True, False)
    """
    return f"//{REMOVED}@" in text or text.startswith(f"{REMOVED}@") or text.endswith(f"?{REMOVED}")


def hide_arguments(words: list[str], mark: str = REMOVED) -> list[str]:
    """Remove the values of options such as `--api-key` from a program's arguments.

    >>> hide_arguments(["--api-key", "abc", "--hf-token=def", "--max-model-len", "4096"])
    ['--api-key', '***', '--hf-token=***', '--max-model-len', '4096']
    """
    shown = []
    secret = False
    for word in words:
        name, equals, _ = word.partition("=")
        named = _NAMES_SECRET.fullmatch(name) is not None
        shown.append(mark if secret else f"{name}={mark}" if named and equals else hide_secrets(word, mark))
        secret = named and not equals
    return shown


def _strip(rest: str, mark: str) -> str:
    """An address behind its `//`, without its secrets."""
    end = _ENDS_SENTENCE.search(rest)
    assert end is not None
    rest, end_of_sentence = rest[: end.start()], end[0]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user = authority.rpartition("@")[0]
    if not user and "@" in rest and re.search(r":\d*[^\d\]][^\]]*$", authority):
        user = rest.rpartition("@")[0]  # a password with / ? or # in it, which should have been quoted
    if user:
        rest = rest[len(user) + 1 :]
    kept = re.split(r"[?#]", rest, maxsplit=1)[0]
    gone = rest[len(kept) :]
    kept = re.sub(r"(?<=/)[^/:@]*:[^/@]*@", "", kept)  # behind a part that was taken for the host
    shown_user = REMOVED if user == REMOVED else mark if user else ""  # what is hidden already stays as it is
    shown_query = REMOVED if gone == f"?{REMOVED}" else mark if gone else ""
    return (shown_user and f"{shown_user}@") + kept + (shown_query and f"?{shown_query}") + end_of_sentence


def is_address(text: str) -> bool:
    """Whether a text that should name a path begins as an address does: `https://host`, `ssh:/host`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text) is not None
