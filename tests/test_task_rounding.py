"""Digits that float32 cannot hold are kept until inputs are normalised, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from autokd.errors import InputError
from autokd.tasks import ArrayTask, from_arrays, from_dataset, load_task, open_task, save_task
from autokd.tasks import task as task_module

Array = np.ndarray[Any, Any]
ROWS = 80
Y = np.arange(ROWS) % 2
RANDOM = np.random.default_rng(0)
TIMES = 1_700_000_000_000 + RANDOM.integers(0, 3_600_000, (ROWS, 1))  # milliseconds, within an hour
IDS = 2**40 + RANDOM.permutation(ROWS)[:, None] * 3
PLACES = 48.85 + RANDOM.normal(0, 0.001, (ROWS, 2))


def all_inputs(task: ArrayTask) -> Array:
    return task.inputs(torch.arange(task.num_rows)).numpy()


def normalised(x: Array, task: ArrayTask) -> Array:
    """By the definition, from the raw values, in float64."""
    seen = x[torch.cat([task.splits["train"], task.splits["transfer"]]).numpy()].astype(np.float64)
    return (x.astype(np.float64) - seen.mean(0)) / seen.std(0)


@pytest.mark.parametrize("x", [TIMES, TIMES.astype(np.float64), TIMES.astype(np.uint64), IDS, PLACES])
def test_large_numbers_keep_their_digits(x: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = save_task(from_arrays(x, Y), tmp_path / "task")

    assert np.allclose(all_inputs(task), normalised(x, task), atol=1e-6)
    assert len(np.unique(all_inputs(task)[:, 0])) == len(np.unique(x[:, 0]))
    assert all_inputs(task).dtype == np.float32
    monkeypatch.setattr(task_module, "WHOLE_BYTES", 0)
    assert np.array_equal(all_inputs(load_task(tmp_path / "task")), all_inputs(task))


def test_so_they_do_from_files_and_data_sets(tmp_path: Path) -> None:
    np.savez(tmp_path / "toy.npz", x=TIMES, y=Y)
    held = from_arrays(TIMES, Y)

    assert open_task(str(tmp_path / "toy.npz"), seed=0, folder=tmp_path / "task").digest == held.digest
    assert from_dataset(TensorDataset(torch.from_numpy(TIMES), torch.from_numpy(Y))).digest == held.digest


@given(seed=st.integers(0, 99), far=st.floats(0, 40), spread=st.floats(1e-3, 1e3))
def test_what_float32_holds_is_kept_as_float32_as_ever(seed: int, far: float, spread: float) -> None:
    x = np.random.default_rng(seed).normal(far, 1, (ROWS, 3)) * spread

    task = from_arrays(x, Y)

    assert task.x.dtype == np.float32
    assert task.digest == from_arrays(x.astype(np.float32), Y).digest


@pytest.mark.parametrize(
    "x",
    [np.full((ROWS, 2), 1.7e12 + 0.1), np.arange(2015, 2015 + ROWS)[:, None], RANDOM.integers(0, 2**31, (ROWS, 2))],
)
def test_constants_years_and_numbers_of_any_size_lose_nothing(x: Array) -> None:
    assert from_arrays(x, Y).x.dtype == np.float32


def test_one_column_that_loses_digits_keeps_those_of_all(tmp_path: Path) -> None:
    x = np.concatenate([TIMES, RANDOM.normal(size=(ROWS, 2))], axis=1)

    assert np.allclose(all_inputs(from_arrays(x, Y)), normalised(x, from_arrays(x, Y)), atol=1e-6)


def test_whole_numbers_that_float64_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(InputError, match="differ by less than float64 can tell; subtract the smallest of them first"):
        from_arrays(2**60 + np.arange(ROWS)[:, None], Y)
    assert from_arrays(2**60 + np.arange(ROWS)[:, None] * 2**54, Y).x.dtype == np.float32


@pytest.mark.parametrize("how", ["none", "unit", {"mean": [0.0], "std": [1e12]}])
def test_a_normalisation_that_leaves_them_large_is_refused(how: Any) -> None:
    with pytest.raises(
        InputError, match=r"task\.normalise: input 0 would be up to 1\.7e\+12 with a deviation of .* stand"
    ):
        from_arrays(TIMES, Y, normalise=how)

    given = from_arrays(TIMES, Y, normalise={"mean": [1.7e12], "std": [1e6]})
    assert np.allclose(all_inputs(given), (TIMES - 1.7e12) / 1e6, atol=1e-6)


def test_the_room_for_float64_is_checked_before_it_is_used() -> None:
    with pytest.raises(InputError, match=r"task\.max_gb: arrays would take 6\.4e-07 GB, more than 5e-07"):
        from_arrays(TIMES, Y, max_gb=5e-7)
