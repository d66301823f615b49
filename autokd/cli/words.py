"""Words of the command line that are lengths of time or bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autokd.errors import InputError


def read_seconds(text: str) -> float:
    """Seconds of a length of time such as 90s, 10m, 1.5h; a bare number is seconds.

    Raises:
        InputError: it is not one.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise InputError(f"time limit {text!r}: write a length of time such as 90s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def read_numbers(texts: Sequence[str]) -> dict[str, float]:
    """Numbers by objective, of words such as parameters=20000.

    Raises:
        InputError: one is not such a word.
    """
    numbers = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", value):
            raise InputError(f"{text!r}: write objective=number, as parameters=20000")
        numbers[name.strip()] = float(value)
    return numbers
