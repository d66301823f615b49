"""Text for terminals, logs and pipes. Their encoding may lack characters, and control characters would act on them."""

from __future__ import annotations

import codecs

from autokd.errors import printable

PLAINLY = "autokd.plainly"
"""The name of `_plainly` as the `errors` of streams and of `str.encode`."""

_PLAIN = {"±": "+-", "–": "-", "—": "-", "…": "...", "²": "^2", "×": "x", "→": "->", "•": "*", "≤": "<=", "≥": ">="}
_PLAIN |= {"‘": "'", "’": "'", "“": '"', "”": '"', "─": "-", "━": "-", "│": "|", "╸": "-", "╺": "-"}


def writable(text: str, encoding: str) -> str:
    """The text, where each character that the encoding lacks is replaced by similar ones, or by a question mark.

    Control characters, which would move a terminal's cursor or change its colour, are written as escapes like `\\x1b`.
    """
    return printable(text).encode(encoding, PLAINLY).decode(encoding, "surrogateescape")


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is not text is written as it is
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _PLAIN.get(character, "?"), error.start + 1  # no letter is replaced by another one, which would change names


codecs.register_error(PLAINLY, _plainly)
