"""What every kind of seed asks of a source file: its text, and a drop of the whole file."""

from __future__ import annotations

import codecs
import io
import tokenize

from selfcodealign.rows import Dropped, SourceFile

_SLOW_CODECS = ("punycode", "idna")  # of host names; their time grows with the square of a text


def decode_source(content: bytes | str) -> str:
    """Return a source file's text with plain line ends; bytes are read by their coding line (PEP 263), else as UTF-8.

    Raises `UnicodeError` or `SyntaxError` (unknown coding) when that cannot be done.
    """
    if isinstance(content, bytes):
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        if codecs.lookup(encoding).name in _SLOW_CODECS:
            raise UnicodeError(f"no file is written in {encoding}")
        try:
            content = content.decode(encoding)
        except LookupError as error:  # a codec that makes no text: zlib, hex, rot13
            raise UnicodeError(str(error)) from None
    content.encode("utf-8")  # a lone surrogate cannot be stored
    return content.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def drop_file(file: SourceFile, reason: str, detail: str, **known: object) -> Dropped:
    """Drop a whole file, with the fields that its seeds would have; `known` are further ones."""
    row = {
        "source_id": file.id,
        "origin": file.origin,
        "source_path": file.path,
        "commit": file.commit,
        "licence": file.licence,
        "repository": file.repository,
    }
    return Dropped(parent=file.id, reason=reason, detail=detail, row=row | known)
