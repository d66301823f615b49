"""The value of an objective as a number."""

from __future__ import annotations

from numbers import Real
from typing import Any

from autokd.errors import ObjectiveError
from autokd.types import Objective


def measured(objective: Objective, *given: Any) -> float:
    """The value of an objective as a float; it may return a tensor or an array of one number.

    Raises:
        ObjectiveError: it returns something else, such as None or a text.
    """
    value = objective.measure(*given, **objective.settings)
    try:
        number = value.item() if hasattr(value, "item") else value  # tensors, arrays and their scalars
    except (TypeError, ValueError, RuntimeError):  # it has more than one number
        number = value
    if not isinstance(number, Real):
        shown = repr(number) if number is None or isinstance(number, str) else f"a {type(number).__name__}"
        raise ObjectiveError(f"objective '{objective.name}' returned {shown}; it must return one number")
    return float(number)
