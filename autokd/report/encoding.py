"""Text for terminals, logs and pipes: their encoding may lack characters, and some characters would command them."""

from __future__ import annotations

import codecs

from autokd.errors import printable

PLAINLY = "autokd.plainly"
"""The name under which streams and `str.encode` find `_plainly`, as `errors`."""

_PLAIN = {"±": "+-", "–": "-", "—": "-", "…": "...", "²": "^2", "×": "x", "→": "->", "•": "*", "≤": "<=", "≥": ">="}
_PLAIN |= {"‘": "'", "’": "'", "“": '"', "”": '"', "─": "-", "━": "-", "│": "|", "╸": "-", "╺": "-"}


def writable(text: str, encoding: str) -> str:
    """The text with each character that the encoding lacks as others that say the same, or as a question mark.

    Control characters, which would move a terminal's cursor or colour it, are written as escapes, `\\x1b`.
    """
    return printable(text).encode(encoding, PLAINLY).decode(encoding, "surrogateescape")


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that was no text: written as it was
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _PLAIN.get(character, "?"), error.start + 1  # no letter is replaced by another: names would be others


codecs.register_error(PLAINLY, _plainly)
