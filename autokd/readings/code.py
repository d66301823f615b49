"""Code that makes an array of raw rows, with checks of what it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import FOREIGN, InputError, named

_AT_ONCE = 128
"""How many rows are read in one call."""
_ASKED_TWICE = 8
"""How many rows are read again, to see whether their arrays are the same."""


@dataclass(frozen=True)
class Code:
    """What a reference names: a function from raw rows to an array, or an object with a method `batch` that is one.

    Args:
        reference: the reference, for messages.
        made: the function or the object. If the object has a method `fit`, what this gives for training rows is the
            second argument of `batch`.
        args: keyword arguments of the function.
    """

    reference: str
    made: Any
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether it is fitted on training rows."""
        return callable(getattr(self.made, "fit", None))

    def fitted_on(self, rows: Any) -> Any:
        """What is fitted on these rows, as plain data; None if nothing is.

        Raises:
            InputError: fitting fails, or gives something that JSON does not hold.
        """
        if not self.fits:
            return None
        try:
            state = self.made.fit(rows)
        except FOREIGN as error:
            raise self._problem(f"has a method fit that fails: {named(error)}") from error
        try:
            plain = json.loads(json.dumps(state)) == state
        except (TypeError, ValueError):
            plain = False
        if not plain:
            raise self._problem(
                f"has a method fit that gives a {type(state).__name__}, which is no plain data; give "
                "numbers, texts, true, false, null, lists and mappings, such as array.tolist()"
            )
        return state

    def array(self, rows: Any, state: Any, *, first: int = 0) -> NDArray[Any]:
        """The array of these rows, of uint8 or float32, shape (len(rows), ...).

        Args:
            rows: raw rows.
            state: what `fitted_on` gave.
            first: the number of the first row, for messages.

        Raises:
            InputError: reading fails, or gives something else than an array of finite numbers with one entry a row.
        """
        try:
            given = self._read(rows, state)
        except FOREIGN as error:
            raise self._problem(f"fails {self._where(rows, state, first)}: {named(error)}") from error
        return self._checked(given, rows, first)

    def arrays(self, rows: Any, state: Any) -> Iterator[NDArray[Any]]:
        """The arrays of all rows, some rows at a time.

        Raises:
            InputError: as for `array`, or rows differ in shape or type.
        """
        shape, dtype = tuple[int, ...](), np.dtype(np.float32)
        for start in range(0, len(rows), _AT_ONCE):
            given = self.array(some(rows, slice(start, start + _AT_ONCE)), state, first=start)
            if start and (given.shape[1:], given.dtype) != (shape, dtype):
                raise self._problem(
                    f"gives {_shown(shape)} {dtype} for row 0, but "
                    f"{_shown(given.shape[1:])} {given.dtype} from row {start} on; give all rows one shape and type"
                )
            shape, dtype = given.shape[1:], given.dtype
            yield given

    def refuse_unsteady(self, rows: Any, state: Any) -> None:
        """Refuses code that does not give the same array for a row each time, or beside other rows.

        Raises:
            InputError: names the row.
        """
        rows = some(rows, slice(_ASKED_TWICE))
        together, again = self.array(rows, state), self.array(rows, state)
        if changed := _differing(together, again, exact=True):
            raise self._problem(
                f"gives another array for row {changed[0]} when it is asked again; let it draw "
                "nothing at random without a seed, and keep nothing between calls"
            )
        alone = [self.array(some(rows, slice(i, i + 1)), state, first=i) for i in range(len(together))]
        if any(each.shape[1:] != together.shape[1:] for each in alone) or (
            changed := _differing(together, np.concatenate(alone), exact=False)
        ):
            raise self._problem(
                f"gives another array for row {changed[0] if changed else 0} alone than beside "
                "other rows; read each row by itself"
            )

    def _problem(self, problem: str) -> InputError:
        return InputError(f"reading '{self.reference}' {problem}")

    def _read(self, rows: Any, state: Any) -> Any:
        if not callable(getattr(self.made, "batch", None)):
            return self.made(rows, **self.args)
        return self.made.batch(rows, state) if self.fits else self.made.batch(rows)

    def _where(self, rows: Any, state: Any, first: int) -> str:
        """The first row that cannot be read by itself."""
        for i in range(len(rows)):
            one = some(rows, slice(i, i + 1))
            try:
                self._read(one, state)
            except FOREIGN:
                return f"on row {first + i}{f' ({one[0]})' if isinstance(one, list) else ''}"
        return f"on rows {first} to {first + len(rows) - 1} together, although it reads each alone"

    def _checked(self, given: Any, rows: Any, first: int) -> NDArray[Any]:
        if isinstance(given, Tensor):
            given = (given.float() if given.dtype.is_floating_point else given).detach().cpu().numpy()
        what = "give an array of numbers with one entry a row, all of one shape"
        try:
            array = np.asarray(given)
        except (TypeError, ValueError):
            raise self._problem(f"gives rows of several shapes from row {first} on; {what}") from None
        if array.dtype.kind not in "buif":
            raise self._problem(f"gives {array.dtype} from row {first} on; {what}")
        if array.shape[:1] != (len(rows),):
            raise self._problem(f"gives shape {array.shape} for {len(rows)} rows from row {first} on; {what}")
        if not 2 <= array.ndim <= 4 or 0 in array.shape[1:]:
            raise self._problem(
                f"gives shape {array.shape}; give (rows, features), (rows, height, width) or "
                "(rows, channels, height, width)"
            )
        with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
            array = np.ascontiguousarray(array, dtype=np.uint8 if array.dtype == np.uint8 else np.float32)
        bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if bad.any():
            raise self._problem(
                f"gives NaN or infinity (as float32) for row {first + int(bad.argmax())}; mend the row or the reading"
            )
        return array[:, None] if array.ndim == 3 else array


def code_of(found: Any, args: Mapping[str, Any], *, reference: str) -> Code:
    """The code of a reading, from what its reference names.

    Args:
        found: a class, which is called with `args`; a function of raw rows, which gets `args` with each call; or an
            object with a method `batch`, for which there are no `args`.
        args: keyword arguments.
        reference: the reference, for messages.

    Raises:
        InputError: it is none of these, or the class cannot be called.
    """
    if isinstance(found, type):
        try:
            found, args = found(**args), {}
        except FOREIGN as error:
            raise InputError(f"reading '{reference}' with args {dict(args)} cannot be made: {named(error)}") from error
    reads = callable(getattr(found, "batch", None))
    if not reads and not callable(found):
        raise InputError(
            f"reading '{reference}' is of type {type(found).__name__}; name a function of raw rows, or a class or an "
            "object with a method batch(rows)"
        )
    if reads and args:
        raise InputError(f"reading '{reference}' is made already and takes no args; name its class, or leave args out")
    return Code(reference, found, dict(args))


def some(rows: Any, chosen: Any) -> Any:
    """Some of the raw rows, chosen by a slice or an array of numbers: of a DataFrame, an array or a list."""
    if hasattr(rows, "iloc"):
        return rows.iloc[chosen]
    return [rows[i] for i in chosen] if isinstance(rows, list) and not isinstance(chosen, slice) else rows[chosen]


def _differing(one: NDArray[Any], other: NDArray[Any], *, exact: bool) -> list[int]:
    """The rows in which two arrays differ."""
    if one.shape != other.shape:
        return [0]
    scale = float(np.abs(one.astype(np.float64)).max(initial=0.0))
    near = one == other if exact else np.isclose(one, other, rtol=1e-4, atol=1e-5 * scale)
    return [int(i) for i in np.flatnonzero(~near.reshape(len(one), -1).all(axis=1))]


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
