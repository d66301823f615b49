"""Turns data in memory (tensors, sparse matrices, data frames, lists, Pillow images) into arrays, or refuses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd.errors import InputError, said
from autokd.readings.photos import image_errors, is_image
from autokd.tasks.images import pixels
from autokd.tasks.sources import Array, Part, RawTargets, Source, rows_in_chunk
from autokd.tasks.targets import Asked, part_of, row_targets


def array_part(name: str, x: object, y: object, *, asked: Asked = None) -> Part:
    """A part from inputs and labels in memory (or memory-mapped), of any type that `inputs_of` and `labels_of` accept.

    Sparse matrices are made dense chunk by chunk.

    Args:
        name: what messages call the inputs and labels.
        x: the inputs.
        y: the labels, or other targets; a mapping if there are several heads.
        asked: what the key `heads` says of the targets.

    Raises:
        InputError: inputs and labels differ in length, or are of another type.
    """
    held = inputs_of(name, x)
    given = (
        {str(head): labels_of(f"{name}, {head}", each) for head, each in y.items()}
        if isinstance(y, Mapping)
        else labels_of(name, y)
    )
    shape, dtype = tuple(held.shape), held.dtype
    if not shape:
        raise InputError(f"{name}: numpy makes no array of this {type(x).__name__}; give rows of numbers")
    labels = row_targets(name, shape[0], given, asked)
    step = rows_in_chunk(shape, dtype)

    def chunks() -> Iterator[tuple[Array, RawTargets]]:
        for start in range(0, shape[0], step):
            rows = held[start : start + step]
            yield rows if isinstance(rows, np.ndarray) else rows.toarray(), part_of(labels, start, start + step)

    return Part(shape, dtype, chunks)


def digits() -> Source:
    """The digits of scikit-learn: 1,797 images of 8 by 8 pixels in 17 grey levels, with 10 classes and no split."""
    table = _digits_table()
    x, labels = table[:, :-1].reshape(-1, 1, 8, 8).astype(np.uint8), table[:, -1].astype(np.int64)
    return Source("digits", {"train": array_part("digits", x, labels)}, fingerprint="digits", peak=16.0)


def _digits_table() -> Array:
    """Pixels and class of each image, shape (1797, 65). scikit-learn is not imported, because this takes a second."""
    found = find_spec("sklearn")
    roots = [] if found is None else found.submodule_search_locations or []
    for file in (Path(root) / "datasets" / "data" / "digits.csv.gz" for root in roots):
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # this version keeps the file elsewhere

    return np.column_stack(load_digits(return_X_y=True))


def inputs_of(name: str, given: Any) -> Any:
    """Inputs as a numpy array, or as a sparse matrix of scipy whose rows can be sliced.

    Types that numpy lacks, such as bfloat16, become float32, which holds all of their values.

    Raises:
        InputError: the inputs are not an array of numbers.
    """
    if _is_of("scipy", given):
        _refuse_dimensions(name, given)
        return given.tocsr()
    if isinstance(given, Tensor):
        return _of_tensor(name, given)
    if hasattr(given, "columns") and hasattr(given, "to_numpy"):
        return _of_table(name, given)
    if is_image(given):
        with image_errors(name):
            return pixels(name, given)
    if isinstance(given, (list, tuple)) and given and (isinstance(given[0], Tensor) or is_image(given[0])):
        return _stacked(name, [inputs_of(name, each) for each in given])
    if isinstance(given, np.ma.MaskedArray):
        given = np.where(np.ma.getmaskarray(given), np.nan, given.data) if np.ma.is_masked(given) else given.data
    array = _as_array(name, given)
    if array.dtype == object:  # the values may still be numbers, as in a table of several types
        with suppress(TypeError, ValueError):
            return array.astype(np.float64)
    if array.dtype.kind == "V" and array.dtype.isbuiltin == 2:  # registered with numpy, like those of ml_dtypes
        return array.astype(np.float32)
    return array


def labels_of(name: str, given: Any) -> Array:
    """Labels as a numpy array of any type; masked labels become None.

    Raises:
        InputError: the labels cannot become an array.
    """
    if isinstance(given, Tensor):
        given = _of_tensor(name, given)
    if _is_of("scipy", given):
        return np.asarray(given.toarray())
    if isinstance(given, np.ma.MaskedArray):
        labels = given.data.astype(object)
        labels[np.ma.getmaskarray(given)] = None
        return labels
    if isinstance(given, (list, tuple)) and given and isinstance(given[0], Tensor):
        return _stacked(name, [labels_of(name, each) for each in given])
    return _as_array(name, given)


def _of_tensor(name: str, given: Tensor) -> Any:
    tensor = given.detach()
    if tensor.device.type == "meta":
        raise InputError(f"{name}: a tensor on the device meta holds no values; give one that does")
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        _refuse_dimensions(name, tensor)
        from scipy.sparse import csr_array

        coordinates = tensor.to_sparse_coo().coalesce().cpu()
        values = _of_tensor(name, coordinates.values())
        return csr_array((values, coordinates.indices().numpy()), shape=tuple(tensor.shape))
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    try:
        return tensor.numpy()
    except TypeError:  # a type that numpy lacks: bfloat16, or one of 8 bits
        return tensor.float().numpy()


def _refuse_dimensions(name: str, given: Any) -> None:
    if given.ndim != 2:
        raise InputError(f"{name}: sparse, of shape {tuple(given.shape)}; give two dimensions, or make it dense")


def _of_table(name: str, given: Any) -> Array:
    for column, dtype in zip(given.columns, given.dtypes, strict=True):
        if getattr(dtype, "kind", "f") not in "buif":
            raise InputError(
                f"{name}: column '{column}' is of type {dtype}; give numbers, or leave it out (categories as columns "
                "of 0 and 1: pandas.get_dummies)"
            )
    array = np.asarray(given.to_numpy())
    if array.dtype != object:
        return array
    return np.asarray(given.to_numpy(dtype="float64", na_value=np.nan))  # columns of several types


def _is_of(package: str, given: object) -> bool:
    """Whether an object's class is from a package. The package itself is not imported."""
    return type(given).__module__.partition(".")[0] == package


def _stacked(name: str, rows: list[Any]) -> Array:
    for i, row in enumerate(rows):
        if (row.shape, row.dtype) != (rows[0].shape, rows[0].dtype):
            raise InputError(
                f"{name}: row {i} is {row.shape} {row.dtype}, row 0 is {rows[0].shape} {rows[0].dtype}; give all rows "
                "one shape and type"
            )
    return np.stack(rows)


def _as_array(name: str, given: Any) -> Array:
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name}: numpy makes no array of this {type(given).__name__} ({said(error)}); give rows of "
            "numbers, all of one shape"
        ) from None
