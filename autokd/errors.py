"""The errors of AutoKD. A message is one line that says what was given, what would work, and the next step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote

START_OVER = "start over in a new folder (`--fresh`, or another `run=` from Python)"
OTHER_FOLDER = "give another folder (`--run`, or `run=` from Python)"
"""Advice for users of the command line and of Python."""

LONGEST_MESSAGE = 1_000
"""The most characters of a message. A longer one is cut in the middle, so that the place and the advice stay."""

_LONGEST_SAID = 300
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move a terminal's cursor, change its colour or reverse text. Line breaks and tabs are allowed."""

FOREIGN = (Exception, SystemExit)
"""Exceptions that code of a user may raise. A `sys.exit` there must fail one student only, and not end the search."""

_PORT = r"\d{0,5}(?:[/?#][^\s@]*|['\"),;\]]*)(?:\s|$)"
_PASSWORDS = (
    # The password of a user, up to the last @ before another URL: it may contain spaces, slashes and an @.
    re.compile(rf"([a-z][\w+.-]*://[^\s:/?#]*(?::|%3A))(?!{_PORT})(?:(?!://).)*(?=@)", re.IGNORECASE | re.DOTALL),
    # A password in the place of the port.
    re.compile(rf"([a-z][\w+.-]*://[^\s/?#]*:)(?!{_PORT}|[\da-f]*\]|\*\*\*)[^\s/?#'\"]+", re.IGNORECASE),
)
_SETTING = re.compile(r"([\w%.+-]+)=([^&;\s\"'})\],]+)")
_SECRET = re.compile(
    r"passw|pwd|secret|credential|odbc_connect|(access|account|api|auth|private)_?(key|token)|^token$", re.IGNORECASE
)


class AutoKDError(Exception):
    """An error whose message is written for the user. The command line prints it as one line, without a traceback.

    The message leaves out passwords in URLs, escapes control characters, and is cut in the middle if it is too long.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(shortened(without_secrets(message), LONGEST_MESSAGE)))


class InputError(AutoKDError, ValueError):
    """Something that the user gave cannot be used. The command line exits with 2. It is a `ValueError`, too."""


class NoFrontError(AutoKDError):
    """The search ran, but there is no front, because no student can be used. The command line exits with 1."""


class InfeasibleError(AutoKDError):
    """One student cannot be built or trained on this task. Its trial is recorded, and the search goes on."""


class UnlistedError(AutoKDError):
    """A table has no such student, or no such value of it. The student counts as infeasible, and the search goes on."""


class ObjectiveError(AutoKDError):
    """An objective returned no number for one student. Its trial records this, and the search goes on."""


class LateError(AutoKDError):
    """Code that a study names took longer than allowed. The student's trial records this, and the search goes on."""


class UnmeasuredError(AutoKDError):
    """A latency could not be measured, because the machine that measures was lost. The student's trial records this."""


def without_secrets(text: str) -> str:
    """A text that may be printed and kept: the secrets in URLs and in settings such as `password=` are left out."""
    for password in _PASSWORDS:
        text = password.sub(r"\1***", text)
    return _SETTING.sub(lambda found: f"{found[1]}=***" if _holds_secret(*found.groups()) else found[0], text)


def is_secret(setting: str) -> bool:
    """Whether the value of a setting with this name is a secret; the name may be written as in a URL."""
    return _SECRET.search(unquote(setting)) is not None


def _holds_secret(setting: str, value: str) -> bool:
    return is_secret(setting) or any(is_secret(part) for part in re.findall(r"(\w+)\s*=", unquote(value)))


def gone(run: Path) -> InputError:
    """The error for a run folder that was moved away while it was used."""
    return InputError(f"{run} was renamed or deleted while it was used; put it back, and the same command goes on")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint to append to a message: `; did you mean 'resnet'?`, or "" if no known name is close."""
    match = get_close_matches(name, list(known), n=1)
    return f"; did you mean '{match[0]}'?" if match else ""


def listed(names: Sequence[str], *, most: int = 12) -> str:
    """Names as a part of a sentence, like "a, b and c"; of more than `most` names the first, and how many follow."""
    shown = [*names] if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1:,} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def said(error: BaseException, *, first_line: bool = False) -> str:
    """The message of an error in one line of at most 300 characters, or the name of its type if it has no message.

    An error has no message if its `__str__` raises. Secrets in the message are left out.

    Args:
        error: an error of any code.
        first_line: whether to leave out all lines of the message but the first, instead of joining them.
    """
    try:
        text = str(error).strip()
    except (Exception, SystemExit):
        text = ""
    lines = without_secrets(shortened(text, 10 * _LONGEST_SAID)).splitlines()
    line = " ".join(" ".join(lines[:1] if first_line else lines).split()) or type(error).__name__
    return printable(shortened(line, _LONGEST_SAID).encode("utf-8", "backslashreplace").decode())


def named(error: BaseException, *, first_line: bool = False) -> str:
    """The type and the message of an error, like `ValueError: no such shape`; see `said`."""
    name, text = printable(shortened(type(error).__name__, _LONGEST_SAID)), said(error, first_line=first_line)
    return name if text == name else f"{name}: {text}"


def printable(text: str) -> str:
    """The text with an escape like `\\x1b` in place of each control character; line breaks and tabs stay."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning and its end if it has more than `limit` characters."""
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 5]} ... {text[-end:]}"
