"""What AutoKD raises where a user is mistaken: one line with what was given, what would work, and the next step."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote

START_OVER = "start over in a new folder (`--fresh`, or another `run=` from Python)"
OTHER_FOLDER = "give another folder (`--run`, or `run=` from Python)"
"""Advice for whoever searches from the command line and from Python alike."""

LONGEST_MESSAGE = 1_000
"""Characters of a message; what is cut out is from its middle, so that the place and the advice stay."""

_LONGEST_SAID = 300
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal's cursor, colours it or turns text round; a line break and a tab are no such characters."""

FOREIGN = (Exception, SystemExit)
"""What code that a user names may end with. `sys.exit` in it is to cost one student, and not to end a search unsaid."""

_PORT = r"\d{0,5}(?:[/?#][^\s@]*|['\"),;\]]*)(?:\s|$)"
_PASSWORDS = (
    # Of the user, up to the last @ before another URL: it may hold spaces, slashes and an @ of its own.
    re.compile(rf"([a-z][\w+.-]*://[^\s:/?#]*(?::|%3A))(?!{_PORT})(?:(?!://).)*(?=@)", re.IGNORECASE | re.DOTALL),
    # Where the port belongs, if it is none.
    re.compile(rf"([a-z][\w+.-]*://[^\s/?#]*:)(?!{_PORT}|[\da-f]*\]|\*\*\*)[^\s/?#'\"]+", re.IGNORECASE),
)
_SETTING = re.compile(r"([\w%.+-]+)=([^&;\s\"'})\],]+)")
_SECRET = re.compile(
    r"passw|pwd|secret|credential|odbc_connect|(access|account|api|auth|private)_?(key|token)|^token$", re.IGNORECASE
)


class AutoKDError(Exception):
    """A message meant for the user as it stands; the command line prints it as one line, with no traceback.

    It does not repeat a password in a URL, control characters that a user wrote, or the middle of what is long.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(shortened(without_secrets(message), LONGEST_MESSAGE)))


class InputError(AutoKDError, ValueError):
    """What the user gave cannot be used; the command line exits with 2. It is a `ValueError`, too."""


class NoFrontError(AutoKDError):
    """The search ran but could not give a front; the command line exits with 1."""


class InfeasibleError(AutoKDError):
    """One student cannot be built or trained on this task; its trial is recorded, and the search goes on."""


class ObjectiveError(AutoKDError):
    """An objective gave no number for one student; its trial is recorded so, and the search goes on."""


class LateError(AutoKDError):
    """Code that a study names took longer than it may; one student's trial is recorded so, and the search goes on."""


class UnmeasuredError(AutoKDError):
    """A latency could not be measured, for the machine that measures was lost; one student's trial is recorded so."""


def without_secrets(text: str) -> str:
    """A text as it may be printed and kept: of URLs, and of settings such as `password=`, the secrets are left out."""
    for password in _PASSWORDS:
        text = password.sub(r"\1***", text)
    return _SETTING.sub(lambda found: f"{found[1]}=***" if _holds_secret(*found.groups()) else found[0], text)


def is_secret(setting: str) -> bool:
    """Whether the value of a setting of that name, as a URL may write it, is a secret."""
    return _SECRET.search(unquote(setting)) is not None


def _holds_secret(setting: str, value: str) -> bool:
    return is_secret(setting) or any(is_secret(part) for part in re.findall(r"(\w+)\s*=", unquote(value)))


def gone(run: Path) -> InputError:
    """What is raised where a run folder is not where it was."""
    return InputError(f"{run} was renamed or deleted while it was used; put it back, and the same command goes on")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint to append to a message: `; did you mean 'resnet'?`, or nothing where no known name is close."""
    match = get_close_matches(name, list(known), n=1)
    return f"; did you mean '{match[0]}'?" if match else ""


def said(error: BaseException, *, first_line: bool = False) -> str:
    """What an error says, in one line of at most 300 characters; its type's name where it says nothing.

    An error whose text cannot be had, because `__str__` raises, says nothing. Secrets in it are left out.

    Args:
        error: of any code.
        first_line: whether the other lines of its text are left out, instead of joined to the first.
    """
    try:
        text = str(error).strip()
    except (Exception, SystemExit):
        text = ""
    lines = without_secrets(shortened(text, 10 * _LONGEST_SAID)).splitlines()
    line = " ".join(" ".join(lines[:1] if first_line else lines).split()) or type(error).__name__
    return printable(shortened(line, _LONGEST_SAID).encode("utf-8", "backslashreplace").decode())


def named(error: BaseException, *, first_line: bool = False) -> str:
    """The name of an error's type and what it says, see `said`, as `ValueError: no such shape`."""
    name, text = printable(shortened(type(error).__name__, _LONGEST_SAID)), said(error, first_line=first_line)
    return name if text == name else f"{name}: {text}"


def printable(text: str) -> str:
    """The text with each control character as its escape, `\\x1b`; line breaks and tabs stay."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning and its end where it has more than `limit` characters."""
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 5]} ... {text[-end:]}"
