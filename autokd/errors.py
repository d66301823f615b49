"""What AutoKD raises at the edge where a user spoke: one line that says what was given, what would do, what next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

START_OVER = "start over in a new folder (`--fresh`, or another `run=` from Python)"
OTHER_FOLDER = "give another folder (`--run`, or `run=` from Python)"
"""Advice for whoever searches from the command line and from Python alike."""

_PASSWORDS = re.compile(r"(://[^:/@\s]*:)[^@\s]+(?=@)|(passw\w*=)[^&\s]+")


class AutoKDError(Exception):
    """A message meant for the user as it stands; the command line prints it as one line, with no traceback.

    A password in a URL, as a user may have written it, is not repeated.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_PASSWORDS.sub(r"\1\2***", message))


class InputError(AutoKDError):
    """What the user gave cannot be used; the command line exits with 2."""


class NoFrontError(AutoKDError):
    """The search ran but could not give a front; the command line exits with 1."""


class InfeasibleError(AutoKDError):
    """One student cannot be built or trained on this task; its trial is recorded, and the search goes on."""


class ObjectiveError(AutoKDError):
    """An objective gave no number for one student; its trial is recorded so, and the search goes on."""


class UnmeasuredError(AutoKDError):
    """A latency could not be measured, for the machine that measures was lost; one student's trial is recorded so."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint to append to a message: `; did you mean 'resnet'?`, or nothing where no known name is close."""
    match = get_close_matches(name, list(known), n=1)
    return f"; did you mean '{match[0]}'?" if match else ""
