"""Sources of data: parts of rows, which are read in chunks, brought to one layout and checked on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autokd.errors import InputError
from autokd.npy import open_npy
from autokd.readings.photos import Photos
from autokd.tasks.labels import joined
from autokd.tasks.layout import Layout, layout_of
from autokd.tasks.rounding import Rounding, may_round

Array = NDArray[Any]
RawTargets = Array | dict[str, Array]
"""The targets of rows as they are in the data; by head if there are several."""
Collect = Callable[[tuple[int, ...], np.dtype[Any], Iterator[Array]], Array]
"""A function that puts chunks of a given total shape and dtype into one array, in memory or on disk."""

_CHUNK_BYTES = 32_000_000


@dataclass(frozen=True)
class Part:
    """Rows that the data keep together, such as a training file.

    Args:
        shape: the shape of the inputs in the source, rows first.
        dtype: the dtype of the inputs in the source.
        chunks: reads inputs and targets of consecutive rows from the first row on. It may be called again.
        layout: the layout of inputs with four dimensions, if it is known.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: Callable[[], Iterator[tuple[Array, RawTargets]]]
    layout: Layout | None = None


@dataclass(frozen=True)
class Source:
    """Data before any check.

    Args:
        name: the name of the data in tables.
        parts: `train`, and `validation` and `test` if the data have them. Rows are numbered in this order.
        class_names: the names of the classes by number; empty if the data have none.
        fingerprint: a text that changes when the source does, and is cheap to compute.
        peak: the largest value that whole numbers (uint8) can take.
        photos: how image files became the inputs; None if they were no such files, or had one size already.
        files: the image file of each row, if `photos` is not None.
    """

    name: str
    parts: Mapping[str, Part]
    class_names: tuple[str, ...] = ()
    fingerprint: str = ""
    peak: float = 255.0
    photos: Photos | None = None
    files: tuple[Path, ...] = ()


def with_layout(source: Source, asked: Layout | None) -> Source:
    """The source with the layout of each part: from the source itself, as asked for, or from the shape.

    Raises:
        InputError: the layout is not clear (see `layout_of`), or the source is known to have another one.
    """
    parts = {}
    for name, part in source.parts.items():
        if part.layout is not None and asked not in (None, part.layout):
            raise InputError(
                f"task.layout: {asked} given, but {source.name} is known to be {part.layout}; leave it out"
            )
        parts[name] = replace(part, layout=part.layout or layout_of(name, part.shape, asked))
    return replace(source, parts=parts)


def collect(source: Source, into: Collect, *, max_gb: float) -> tuple[Array, dict[str, Array]]:
    """All rows of a source in the order of its parts: inputs in one layout, put where `into` decides, and raw targets.

    The targets are by head; an only head is called "".

    Images become (rows, channels, height, width), and features (rows, features). uint8 stays, and all other types
    become float32. If that loses digits, as for times in milliseconds, the source is read again and becomes float64.

    Args:
        source: the source with its layout, see `with_layout`.
        into: puts the inputs into one array.
        max_gb: how many gigabytes inputs may take.

    Raises:
        InputError: parts differ in shape or dtype, there is no row, a value is not finite, inputs take too much, or
            are whole numbers that differ by less than float64 can represent.
    """
    sample, dtype = sample_layout(source)
    x, labels, rounding = _collected(source, into, sample, dtype, max_gb)
    if rounding.loses_in_float64():
        raise InputError(
            f"{source.name}: inputs are whole numbers that differ by less than float64 can tell; subtract the smallest "
            "of them first"
        )
    if rounding.loses_in_float32():
        del x  # the file is written again
        x, labels, _ = _collected(source, into, sample, np.dtype(np.float64), max_gb)
    return x, labels


def sample_layout(source: Source) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the dtype in which a sample is kept.

    Raises:
        InputError: the shape or dtype is not valid, parts differ in them, or there is no row.
    """
    layouts = {name: (_sample_shape(name, part), _kept_dtype(name, part)) for name, part in source.parts.items()}
    first = layouts["train"]
    for name, layout in layouts.items():
        if layout != first:
            raise InputError(
                f"{name} rows are {_shown(*layout)} but training rows are {_shown(*first)}; give both the same shape "
                "and type"
            )
    if source.parts["train"].shape[0] == 0:
        raise InputError("the data have no training rows; give at least a few of each class")
    return first


def in_memory(shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Iterator[Array]) -> Array:
    """The chunks as one array in memory."""
    whole = np.empty(shape, dtype)
    start = 0
    for chunk in chunks:
        whole[start : start + len(chunk)] = chunk
        start += len(chunk)
    assert start == shape[0]
    return whole


def on_disk(file: Path) -> Collect:
    """A function that writes the chunks to a .npy file, one after another, and maps the file.

    If the disk is full, the write raises OSError. Writing through a map would kill the process instead.
    """

    def into(shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Iterator[Array]) -> Array:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        with file.open("wb") as stream:
            np.lib.format.write_array_header_2_0(stream, header)
            for chunk in chunks:
                stream.write(np.ascontiguousarray(chunk).data)
        return open_npy(file)

    return into


def rows_in_chunk(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """How many rows to read at once."""
    return max(1, _CHUNK_BYTES // max(1, math.prod(shape[1:]) * dtype.itemsize))


def _collected(
    source: Source, into: Collect, sample: tuple[int, ...], dtype: np.dtype[Any], max_gb: float
) -> tuple[Array, dict[str, Array], Rounding]:
    num_rows = sum(part.shape[0] for part in source.parts.values())
    gigabytes = num_rows * math.prod(sample) * dtype.itemsize / 1e9
    if gigabytes > max_gb:
        raise InputError(
            f"task.max_gb: {source.name} would take {gigabytes:.3g} GB, more than {max_gb:g}; raise it or give less "
            "data"
        )
    labels: list[dict[str, Array]] = []
    rounding = Rounding()

    def chunks() -> Iterator[Array]:
        for name, part in source.parts.items():
            row = 0
            for x, y in part.chunks():
                labels.append(y if isinstance(y, dict) else {"": y})
                _refuse_other_targets(name, labels[-1], labels[0])
                raw = _laid_out(x, part.layout)
                yield _kept(name, raw, row, dtype)
                if len(raw) and may_round(part.dtype):
                    rounding.add(raw)
                row += len(x)

    x = into((num_rows, *sample), dtype, chunks())
    return x, {name: joined([each[name] for each in labels]) for name in labels[0]}, rounding


def _refuse_other_targets(part: str, given: Mapping[str, Array], first: Mapping[str, Array]) -> None:
    """Refuses rows whose targets are of other heads, or of another shape, than those of the first rows."""
    if given.keys() != first.keys():
        raise InputError(
            f"{part} rows have targets of {_heads(given)}, but the first training rows of {_heads(first)}; give all "
            "rows the same heads, and leave out what is not known by NaN"
        )
    for name, targets in given.items():
        if targets.shape[1:] != first[name].shape[1:]:
            raise InputError(
                f"{part} rows have targets of shape {targets.shape[1:]} each, but the first training rows of shape "
                f"{first[name].shape[1:]}; give all rows the same shape"
            )


def _heads(targets: Mapping[str, Array]) -> str:
    return f"the heads {', '.join(targets)}" if "" not in targets else "one head"


def _sample_shape(name: str, part: Part) -> tuple[int, ...]:
    shape = part.shape
    if 0 in shape[1:] or not 2 <= len(shape) <= 4:
        raise InputError(
            f"{name} inputs have shape {tuple(shape)}; give (rows, features), (rows, height, width), (rows, height, "
            "width, channels) or (rows, channels, height, width)"
        )
    if len(shape) == 3:
        return (1, *shape[1:])
    if part.layout == "channels_last":
        return (shape[3], shape[1], shape[2])
    return tuple(shape[1:])


def _kept_dtype(name: str, part: Part) -> np.dtype[Any]:
    if part.dtype.kind not in "buif":
        cure = "; save x.astype('float32')" if part.dtype.kind == "V" else ""  # a .npy file stores bfloat16 like this
        raise InputError(f"{name} inputs are of type {part.dtype}; give numbers, such as uint8 or float32{cure}")
    return np.dtype(np.uint8 if part.dtype == np.uint8 else np.float32)


def _laid_out(x: Array, layout: Layout | None) -> Array:
    if x.ndim == 3:
        return x[:, None]
    return x.transpose(0, 3, 1, 2) if layout == "channels_last" else x


def _kept(name: str, x: Array, first_row: int, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):  # a value that overflows becomes infinite and is refused below
        x = x.astype(dtype, copy=False)
    if dtype.kind == "f":
        bad = ~np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        if bad.any():
            raise InputError(
                f"{name} row {first_row + int(bad.argmax())} holds NaN or infinity (as float32); mend or drop such rows"
            )
    return x


def _shown(sample: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{'x'.join(map(str, sample))} {dtype}"
