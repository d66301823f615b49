"""The script that measures how long workers wait counts the right times, and a cell runs."""

from __future__ import annotations

import pytest
from claims import load_claim
from small import small_study

from autokd.trial import Stretch
from autokd.types import Recipe

waiting = load_claim("waiting")


def stretch(trial: int, start: int) -> Stretch:
    return Stretch(trial=trial, arch={}, recipe=Recipe(), seed=0, start=start, stop=start + 1, source="", folder="")


def test_a_worker_waits_when_it_has_no_stretch_until_the_last_student_is_begun() -> None:
    spans = [(stretch(0, 0), 1.0, 3.0), (stretch(1, 0), 2.0, 4.0), (stretch(1, 1), 4.0, 5.0), (stretch(2, 0), 5.0, 9.0)]
    assert waiting.seconds_of(spans) == 4
    assert waiting.waiting(spans, 1) == pytest.approx(1 - 5 / 4)  # more than one worker can do
    assert waiting.waiting(spans, 2) == pytest.approx(1 - 5 / 8)
    later = [*spans, (stretch(0, 1), 9.0, 99.0)]
    assert waiting.waiting(later, 2) == waiting.waiting(spans, 2)


@pytest.mark.slow
def test_a_cell_runs_and_is_shown() -> None:
    found = waiting.run_cell(small_study(), 2, 0)
    assert found["cell"] == ["small", 2, 0]
    assert 0 <= found["waiting"] < 1
    assert "small" in waiting.table([found])
