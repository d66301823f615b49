"""The contract of a reading of one's own, as a class of tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from autokd.readings.code import Code, code_of, some
from autokd.registry import reference_of, resolve


class ReadingContract:
    """Tests a reading: it makes a finite array of rows, always the same, and each row by itself.

    Attributes:
        reading: the reading, or a reference to it.
        args: its keyword arguments.
        rows: some raw rows, as the data will have them: a list of names of files, a DataFrame, or an array.
    """

    reading: object
    args: Mapping[str, Any] = {}
    rows: Any

    def test_rows_become_a_finite_array_that_is_always_the_same(self) -> None:
        """The array has one entry a row, and a row has the same entry alone as beside others."""
        code = self._code()
        code.refuse_unsteady(self.rows, code.fitted_on(self.rows))

    def test_all_rows_have_one_shape_and_type(self) -> None:
        """Rows are read some at a time, and make one array together."""
        code = self._code()
        state = code.fitted_on(self.rows)
        found = np.concatenate([*code.arrays(self.rows, state)])
        assert len(found) == len(self.rows), f"{len(found)} arrays of {len(self.rows)} rows"

    def test_the_order_of_rows_does_not_matter(self) -> None:
        """An array depends on its own row alone, after fitting."""
        code, turned = self._code(), np.arange(len(self.rows))[::-1]
        state = code.fitted_on(self.rows)
        given = code.array(self.rows, state)
        found = code.array(some(self.rows, turned), state)[::-1]
        assert np.allclose(found, given, rtol=1e-4, atol=1e-5 * float(np.abs(given).max(initial=0.0))), "order matters"

    def test_what_was_fitted_is_plain_data_and_all_that_is_needed(self) -> None:
        """A reading that is made again reads the same from what the first one fitted."""
        code = self._code()
        state = code.fitted_on(self.rows)
        again = self._code().array(self.rows, json.loads(json.dumps(state)))
        assert np.array_equal(again, code.array(self.rows, state)), "a new reading gives another array"

    def _code(self) -> Code:
        found = resolve("readings", type(self).reading)  # a function is no method of the tests
        return code_of(found, self.args, reference=str(reference_of(found) or type(found).__name__))
