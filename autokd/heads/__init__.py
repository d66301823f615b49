"""What the answers of a network mean: classes, labels, values, or classes at positions, one head or several.

An answer to a batch is one tensor of shape (rows, width), in which each head owns the columns that follow those of the
head before. `together` takes them apart, and each kind of head has a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import pydantic

from autokd.errors import InputError, said
from autokd.heads.classes import Classes
from autokd.heads.labels import Labels
from autokd.heads.own import Own, blind_answer, right_answers
from autokd.heads.positions import Positions
from autokd.heads.together import (
    Heads,
    apart,
    blind_scores,
    by_head,
    flat,
    hard_losses,
    known_rows,
    scores,
    soft_losses,
    width,
)
from autokd.heads.values import Values
from autokd.heads.weights import Weighing, weighing
from autokd.types import Head, Task

__all__ = [
    "Classes",
    "Heads",
    "Labels",
    "Own",
    "Positions",
    "Values",
    "Weighing",
    "apart",
    "blind_answer",
    "blind_scores",
    "by_head",
    "flat",
    "hard_losses",
    "head_of",
    "heads_of",
    "known_rows",
    "right_answers",
    "scores",
    "soft_losses",
    "weighing",
    "width",
]

KINDS: Mapping[str, Callable[..., Head]] = {
    "classes": Classes,
    "labels": Labels,
    "values": Values,
    "positions": Positions,
}
"""The kinds of heads, by the word for them in a study and in files."""


def heads_of(task: Task) -> Heads:
    """The heads of a task; a task without any has one, which uses the task's own loss and score."""
    given: object = getattr(task, "heads", None)  # of a task that somebody wrote earlier this may be anything
    return given if isinstance(given, Mapping) else {"": Own(task)}


def head_of(plain: Mapping[str, Any]) -> Head:
    """The head that `Head.plain` wrote.

    Raises:
        InputError: there is no such kind, or its settings are not those of this kind.
    """
    settings = dict(plain)
    kind = settings.pop("kind", None)
    make = KINDS.get(str(kind))
    if make is None:
        raise InputError(f"a head of kind '{kind}' is not known; the kinds are {', '.join(KINDS)}")
    try:
        make(**settings)  # refuses settings that there are not, which pydantic would ignore
        adapter: pydantic.TypeAdapter[Head] = pydantic.TypeAdapter(cast(Any, make))
        return adapter.validate_python(settings)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"a head of kind '{kind}' cannot be made: {where or 'settings'}: {first['msg'].lower()}"
        ) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"a head of kind '{kind}' cannot be made: {said(error)}") from None
