"""Inputs are taken in the forms in which people have them in memory, or refused with what to give instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from autokd.errors import InputError
from autokd.tasks import ArrayTask, from_arrays, from_dataset, open_task

ROWS = 60
X = np.random.default_rng(0).integers(-8, 9, (ROWS, 6)).astype(np.float32) * (np.arange(6) < 5)  # exact in bfloat16
Y = np.arange(ROWS) % 3
FRAME = pandas.DataFrame(X, columns=list("abcdef"))


def all_inputs(task: ArrayTask) -> Any:
    return task.inputs(torch.arange(task.num_rows)).numpy()


@pytest.mark.parametrize(
    "x",
    [
        torch.from_numpy(X).bfloat16(),
        torch.from_numpy(X).half(),
        torch.from_numpy(X).requires_grad_(),
        list(torch.from_numpy(X).bfloat16()),
        X.astype(np.float16),
        X.astype(ml_dtypes.bfloat16),
        X.astype(np.longdouble),
        X.astype(">f4"),
        X.astype(object),
        X.tolist(),
        list(X),
        np.ma.masked_array(X, np.zeros_like(X, dtype=bool)),
        FRAME,
        FRAME.astype("Int64"),
        FRAME.astype({"a": "Int64", "b": "float64", "c": "int8"}),
        scipy.sparse.csr_matrix(X),
        scipy.sparse.coo_array(X),
        scipy.sparse.bsr_array(X),
        scipy.sparse.dia_matrix(X),
        torch.from_numpy(X).to_sparse(),
        torch.from_numpy(X).bfloat16().to_sparse(),
    ],
)
def test_inputs_of_any_kind_make_the_same_numbers(x: Any) -> None:
    assert np.array_equal(all_inputs(from_arrays(x, Y, normalise="none")), X)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_sparse_tensors_of_other_layouts_are_inputs() -> None:
    for sparse in (torch.from_numpy(X).to_sparse_csr(), torch.from_numpy(X).to_sparse_csc()):
        assert np.array_equal(all_inputs(from_arrays(sparse, Y, normalise="none")), X)


def test_images_of_pillow_and_samples_of_bfloat16_are_inputs() -> None:
    grey = X.astype(np.uint8).reshape(ROWS, 2, 3)
    of_pillow = from_arrays([Image.fromarray(each) for each in grey], Y)
    samples = TensorDataset(torch.from_numpy(X).bfloat16(), torch.from_numpy(Y))

    assert np.array_equal(of_pillow.x, grey[:, None])
    assert np.array_equal(all_inputs(from_dataset(samples, normalise="none")), X)


def with_missing(x: pandas.DataFrame) -> pandas.DataFrame:
    return x.astype("Int64").mask(x.index.to_series() == 7)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (FRAME.assign(city="Rome"), r"column 'city' is of type .*; give numbers, or leave it out"),
        (FRAME.assign(when=pandas.Timestamp("2026-01-01")), "column 'when' is of type datetime64"),
        (with_missing(FRAME), "train row 7 holds NaN"),
        (np.ma.masked_array(X, np.arange(ROWS)[:, None] == [7] * 6), "train row 7 holds NaN"),
        ([[1, 2], [3]] * 30, "numpy makes no array of this list"),
        ([torch.zeros(2), torch.zeros(3)] * 30, r"row 1 is \(3,\) float32, row 0 is \(2,\) float32"),
        (torch.zeros(ROWS, 3, device="meta"), "a tensor on the device meta holds no values"),
        (torch.zeros(ROWS, 2, 2).to_sparse(), r"of shape \(60, 2, 2\); give two dimensions"),
        (scipy.sparse.coo_array(np.zeros((ROWS, 2, 2))), r"of shape \(60, 2, 2\); give two dimensions"),
        (scipy.sparse.csr_matrix((ROWS, 10**9)), r"task\.max_gb: arrays would take 240 GB, more than 20"),
        (X.astype(complex), "inputs are of type complex128; give numbers"),
        (X.astype(object) + 1j, "inputs are of type object; give numbers"),
        (X.astype("datetime64[ms]"), "inputs are of type datetime64"),
        (object(), "numpy makes no array of this object"),
    ],
)
def test_what_makes_no_array_of_numbers_is_refused(x: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        from_arrays(x, Y)
    assert "\n" not in str(caught.value)


def test_a_file_of_bfloat16_that_lost_its_type_is_refused_with_what_to_save(tmp_path: Path) -> None:
    np.savez(tmp_path / "toy.npz", x=X.astype(ml_dtypes.bfloat16), y=Y)

    with pytest.raises(InputError, match=r"inputs are of type \|V2; .*; save x\.astype\('float32'\)"):
        open_task(str(tmp_path / "toy.npz"), seed=0, folder=tmp_path / "task")
