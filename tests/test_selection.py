"""Of a long search the sampler learns from a selection of students."""

from __future__ import annotations

import numpy as np
import pytest

from autokd.pareto import non_dominated
from autokd.samplers.selection import chosen


@pytest.fixture
def losses() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.random.default_rng(0).uniform(size=(900, 2))


def test_the_front_and_what_is_near_it_and_some_of_everything_are_chosen(
    losses: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    kept = chosen(losses, np.zeros(900, dtype=bool), 100)
    assert len(set(kept.tolist())) == 100
    assert (np.diff(kept) > 0).all()
    assert set(np.flatnonzero(non_dominated(losses)).tolist()) <= set(kept.tolist())
    nearest = losses[kept].min(axis=1) < 0.2
    assert 50 <= nearest.sum() < 90
    assert losses[kept].max() > 0.95


def test_what_is_under_way_is_chosen_beside_the_others(
    losses: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    under_way = np.zeros(900, dtype=bool)
    under_way[[3, 500]], losses[[3, 4, 500]] = True, np.nan
    kept = chosen(losses, under_way, 100)
    assert {3, 500} <= set(kept.tolist())
    assert len(kept) == 102


def test_the_choice_does_not_depend_on_units(losses: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    nobody = np.zeros(900, dtype=bool)
    assert chosen(losses, nobody, 40).tolist() == chosen(losses * [2.0**10, 2.0**-7], nobody, 40).tolist()


def test_an_objective_in_which_the_whole_front_is_alike_is_no_matter() -> None:
    losses = np.column_stack([np.zeros(300), np.arange(300.0)])
    assert set(range(10)) <= set(chosen(losses, np.zeros(300, dtype=bool), 20).tolist())
