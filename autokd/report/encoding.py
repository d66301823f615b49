"""Text for terminals, logs and pipes whose encoding lacks characters that AutoKD writes."""

from __future__ import annotations

import codecs

PLAINLY = "autokd.plainly"
"""The name under which streams and `str.encode` find `_plainly`, as `errors`."""

_PLAIN = {"±": "+-", "–": "-", "—": "-", "…": "...", "²": "^2", "×": "x", "→": "->", "•": "*", "≤": "<=", "≥": ">="}
_PLAIN |= {"‘": "'", "’": "'", "“": '"', "”": '"', "─": "-", "━": "-", "│": "|", "╸": "-", "╺": "-"}


def writable(text: str, encoding: str) -> str:
    """The text with each character that the encoding lacks as others that say the same, or as a question mark."""
    return text.encode(encoding, PLAINLY).decode(encoding, "surrogateescape")


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that was no text: written as it was
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _PLAIN.get(character, "?"), error.start + 1  # no letter is replaced by another: names would be others


codecs.register_error(PLAINLY, _plainly)
