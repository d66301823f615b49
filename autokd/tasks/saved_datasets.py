"""Reads folders that the library datasets saved (`save_to_disk`), by pyarrow alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autokd.errors import InputError, listed, named
from autokd.files import read_json
from autokd.frames import pandas_for_tables
from autokd.tasks.files import readable, stamp

if TYPE_CHECKING:
    from pandas import DataFrame

SPLIT = "split of the data"
"""The column that says from which split of several a row is."""

_LOG = logging.getLogger("autokd")
_SPLITS, _STATE, _INFO = "dataset_dict.json", "state.json", "dataset_info.json"
_PARTS = {
    "train": "train",
    "training": "train",
    "unsupervised": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""The splits that are read by name, and what they are for; the rows of `unsupervised` have no labels."""


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder holds a data set, or several by split, as the library datasets saves them."""
    return (path / _SPLITS).is_file() or (path / _STATE).is_file()


def saved_stamp(folder: Path) -> str:
    """A text that changes when the data do."""
    return stamp(sorted(file for file in folder.rglob("*") if file.suffix in (".arrow", ".json")))


def read_saved_dataset(folder: Path, *, max_gb: float) -> DataFrame:
    """The rows of a folder. Class numbers become the names of their classes, and -1 is no class.

    If there are several splits, the column `SPLIT` says in which of train, validation and test a row is.

    Raises:
        InputError: the folder is damaged, has no split for training, or is too large.
    """
    pandas = pandas_for_tables()
    with readable(folder):
        size = sum(file.stat().st_size for file in folder.rglob("*.arrow"))
    if size / 1e9 > max_gb:
        raise InputError(
            f"task.max_gb: {folder} has {size / 1e9:.3g} GB, more than {max_gb:g}; raise it or give less data"
        )
    if not (folder / _SPLITS).is_file():
        return _rows(folder)
    names = [str(name) for name in _listed_in(folder / _SPLITS, "splits")]
    if "train" not in map(_PARTS.get, names):
        raise InputError(f"{folder} has the splits {listed(names)} and none called train; rename one")
    if unknown := [name for name in names if name not in _PARTS]:
        _LOG.warning("These splits of %s are left out: %s.", folder, listed(unknown))
    frames = []
    for name in (name for name in names if name in _PARTS):
        rows = _rows(folder / name)
        frames.append(rows.assign(**{SPLIT: _PARTS[name]}))
    return pandas.concat(frames, ignore_index=True)


def _rows(folder: Path) -> DataFrame:
    import pyarrow
    from pyarrow import ipc

    tables = []
    for entry in _listed_in(folder / _STATE, "_data_files"):
        file = folder / Path(str(entry.get("filename") if isinstance(entry, Mapping) else entry)).name
        try:
            with pyarrow.memory_map(str(file)) as stream:
                tables.append(ipc.open_stream(stream).read_all())
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(f"{file} cannot be read ({named(error)}); save the data set again") from None
    if not tables:
        raise InputError(f"{folder} has no rows; save a data set that has some")
    frame: DataFrame = pyarrow.concat_tables(tables).to_pandas()
    for name, feature in _features(folder).items():
        if name in frame.columns and isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel":
            frame[name] = _class_names(frame[name], [str(each) for each in feature.get("names") or []])
    return frame


def _class_names(column: Any, names: list[str]) -> Any:
    numbers = column.to_numpy(dtype=np.float64, na_value=-1)
    if not names or not ((numbers >= -1) & (numbers < len(names))).all():
        return column
    found = np.array([*names, None], dtype=object)
    return found[numbers.astype(np.int64)]


def _features(folder: Path) -> Mapping[str, Any]:
    if not (folder / _INFO).is_file():
        return {}
    found = _read(folder / _INFO).get("features")
    return found if isinstance(found, Mapping) else {}


def _listed_in(file: Path, key: str) -> list[Any]:
    found = _read(file).get(key)
    if not isinstance(found, list):
        raise InputError(f"{file} has no list '{key}'; save the data set again")
    return found


def _read(file: Path) -> Any:
    try:
        found = read_json(file)
        if not isinstance(found, dict):
            raise ValueError("it holds no mapping")
        return found
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({named(error)}); save the data set again") from None
