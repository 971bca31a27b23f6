"""Addresses of people and machines in a seed: e-mail and public IP addresses in comments, docstrings and strings.

A row is never changed, so a seed with such an address is dropped, also where it names the author of a docstring.
Addresses that documentation may use (RFC 2606, RFC 5737), those of machines that answer nobody, and well-known
resolvers are nobody's.
"""

from __future__ import annotations

import ipaddress
import re

from selfcodealign.curation.rules.code import Code, Problem

_EMAIL = re.compile(r"(?<![\w.+/:@-])[A-Za-z0-9][\w.+-]*@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,})(?![\w@(\[])")
_NOBODY = re.compile(
    r"(?i)(?:.*\.)?(?:example|test|invalid|localhost|local|internal)|(?:.*\.)?example\d?\.[a-z]+"
    r"|(?:domain|email|mail|host|server|company|foo|bar|spam|eggs|yourdomain|mydomain|somewhere|abc|xyz)\.[a-z]{2,3}"
    r"|(?:.*\.)?noreply\.[a-z.]+"
)
#: Local parts that name a service or a message, and no person.
_SERVICES = re.compile(
    r"(?i)(?:[\d.]+|git|svn|hg|no-?reply|user\d?|username|me|you|foo|bar|name|someone|anonymous|root)@.*"
)
_IP = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")
#: Resolvers, and numbers that count: versions and sections look like addresses.
_COMMON_IPS = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "1.2.3.4", "5.6.7.8"}
_LEAST_FIRST = 20  # below, four numbers are a version or a section more often than an address


def find_address(code: Code) -> Problem | None:
    """The first address of a person or a machine."""
    if "@" in code.text:
        for found in _EMAIL.finditer(code.text):
            if found[1].split(".")[-2].isdecimal() or _NOBODY.fullmatch(found[1]) or _SERVICES.fullmatch(found[0]):
                continue
            if code.prose_at(found.start(), found.end()):
                return Problem("personal_data", code.line_of(found.start()), found[0])
    for found in _IP.finditer(code.text):
        if _is_public(found[0]) and code.prose_at(found.start(), found.end()):
            return Problem("personal_data", code.line_of(found.start()), found[0])
    return None


def _is_public(text: str) -> bool:
    if text in _COMMON_IPS:
        return False
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and int(text.partition(".")[0]) >= _LEAST_FIRST
