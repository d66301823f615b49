"""Readings: how raw rows become the input of a network. Each reading is plain data, and is rebuilt from plain data.

`pixels` reads arrays of numbers, such as images, `columns` reads the rows of a table, and `texts` reads texts, of which
`tokens` makes numbers; `trained_tokens`, `tokenizer_files` and `trimmed_tokens` give tokenizers. `own` calls `code` of
a user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pydantic
from torch import Tensor

from autokd.errors import InputError, named
from autokd.readings.columns import Column, Columns
from autokd.readings.own import Own
from autokd.readings.pixels import Pixels
from autokd.readings.texts import Texts
from autokd.types import Reading, Task

__all__ = ["Column", "Columns", "Own", "Pixels", "Texts", "raw_rows", "reading_of"]

_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Reading]] = {
    "pixels": Pixels.of_plain,
    "columns": Columns.of_plain,
    "texts": Texts.of_plain,
    "own": Own.of_plain,
}


def raw_rows(task: Task, rows: Tensor) -> tuple[Reading | None, Any]:
    """The reading of a task, and these rows before it; None and None if the task has no reading of these kinds.

    A task that somebody wrote may have other attributes of the same names.
    """
    reading, raw = getattr(task, "reading", None), getattr(task, "raw", None)
    kinds = Pixels | Columns | Texts | Own
    return (reading, raw(rows)) if isinstance(reading, kinds) and callable(raw) else (None, None)


def reading_of(plain: Mapping[str, Any]) -> Reading:
    """The reading whose method `plain` gave these data.

    Raises:
        InputError: the data are not those of a reading.
    """
    try:
        return _KINDS[plain["kind"]](plain)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"these data describe no reading of raw rows: {where}: {first['msg'].lower()}") from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"these data describe no reading of raw rows ({named(error)}); give what a reading's `plain()` returns"
        ) from None
