"""Tasks on disk. A task is written into a folder once, and every process that needs it opens it from there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd.errors import InputError, named
from autokd.files import read_json
from autokd.heads import head_of
from autokd.npy import open_npy
from autokd.readings import Columns
from autokd.readings.photos import Photos
from autokd.tasks.sources import on_disk
from autokd.tasks.splits import SPLITS
from autokd.tasks.table import TableTask
from autokd.tasks.task import ArrayTask, Augmentation
from autokd.tasks.written import file_digest, writing
from autokd.types import Head

FORMATS = (1, 2)
"""The formats of the folder: x.npy, y.npy, split_<name>.npy and, written last, task.json with the SHA-256 of each.

Format 1 is of one head of classes. Format 2 names the heads; where there are several, y_0.npy, y_1.npy and so on hold
their targets. The folder of a table also holds rows.parquet and, where rows belong together, groups.npy.
"""


def save_task(task: ArrayTask, folder: str | Path) -> ArrayTask:
    """Writes a task into a folder, unless it is already there, and returns it as opened from the folder.

    Raises:
        InputError: the folder holds another task, or cannot be written.
    """
    folder = Path(folder)
    if is_task(folder):
        there = load_task(folder)
        if there.digest != task.digest:
            raise InputError(f"{folder} holds another task, '{there.name}'; choose another folder")
        return there
    with writing(folder, last="task.json") as unfinished:
        on_disk(unfinished / "x.npy")(task.x.shape, task.x.dtype, iter([task.x]))
        write_all_but_inputs(task, unfinished, None)
    return load_task(folder)


def load_task(folder: str | Path) -> ArrayTask:
    """The task in a folder, with memory-mapped inputs.

    Raises:
        InputError: the folder holds no task, or a file of the task is missing or damaged.
    """
    folder = Path(folder)
    if not is_task(folder):
        raise InputError(f"{folder} holds no task (no task.json); give a folder that a search or save_task wrote")
    try:
        described = read_json(folder / "task.json")
        if described["format"] not in FORMATS or "origin" not in described:
            raise ValueError(f"it is not of format {' or '.join(map(str, FORMATS))}")
        x = open_npy(folder / "x.npy")
        if [list(x.shape), x.dtype.str] != described["x"]:
            raise ValueError("x.npy is not the one it was written with")
        for name, digest in described.get("sha256", {}).items():  # tasks of earlier versions have none
            if file_digest(folder / Path(name).name) != digest:
                raise ValueError(f"{name} is not the file that was written, by its sha256")
        return _task(folder, described, x)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"the task in {folder} cannot be opened: {named(error)}; remove the folder to have it made anew"
        ) from error


def _task(folder: Path, described: Mapping[str, Any], x: Any) -> ArrayTask:
    """The task of a folder whose files are those that were written."""
    weights = described["class_weights"]
    heads = {name: head_of(plain) for name, plain in described.get("heads", {}).items()}
    files = _target_files(heads)
    y = {name: _in_memory(folder / file) for name, file in files.items()}
    settings: dict[str, Any] = {
        "name": described["name"],
        "x": x,
        "y": y if len(y) > 1 else next(iter(y.values())),
        "class_names": tuple(described["class_names"]),
        "splits": {name: _in_memory(folder / f"split_{name}.npy") for name in SPLITS},
        "shift": tuple(described["shift"]),
        "divisor": tuple(described["divisor"]),
        "augmentation": Augmentation(**described["augmentation"]),
        "class_weights": None if weights is None else tuple(weights),
        "label_noise": described["label_noise"],
        "digest": described["digest"],
        "own_heads": heads,
        "photos": Photos.of_plain(described["photos"]) if "photos" in described else None,
    }
    if "reading" not in described:
        return ArrayTask(**settings)
    groups = _in_memory(folder / "groups.npy") if "groups.npy" in described["sha256"] else None
    encoding = Columns.of_plain(described["reading"])
    return TableTask(**settings, encoding=encoding, table=folder / "rows.parquet", groups=groups)


def _target_files(heads: Mapping[str, Head]) -> dict[str, str]:
    """The name of the file that holds the targets of each head."""
    return {name: f"y_{i}.npy" for i, name in enumerate(heads)} if len(heads) > 1 else {next(iter(heads), ""): "y.npy"}


def _in_memory(file: Path) -> Tensor:
    return torch.from_numpy(np.array(open_npy(file)))


def is_task(folder: Path) -> bool:
    """Whether a folder holds a task."""
    return os.path.isfile(folder / "task.json")


def write_all_but_inputs(task: ArrayTask, folder: Path, origin: Mapping[str, Any] | None) -> None:
    """Writes a task into a folder that has its inputs. `origin` says of which data it was made, if that is known."""
    for name, file in _target_files(task.own_heads).items():
        targets = task.y if isinstance(task.y, Tensor) else task.y[name]
        np.save(folder / file, targets.numpy())
    for name, rows in task.splits.items():
        np.save(folder / f"split_{name}.npy", rows.numpy())
    if isinstance(task, TableTask):
        task.frame.to_parquet(folder / "rows.parquet")
        if task.groups is not None:
            np.save(folder / "groups.npy", task.groups.numpy())
    plain = not task.own_heads and not isinstance(task, TableTask)
    described = {
        "format": 1 if plain else 2,
        "name": task.name,
        "x": [list(task.x.shape), task.x.dtype.str],
        "class_names": task.class_names,
        "shift": task.shift,
        "divisor": task.divisor,
        "augmentation": asdict(task.augmentation),
        "class_weights": task.class_weights,
        "label_noise": task.label_noise,
        "digest": task.digest,
        **({"heads": {name: head.plain() for name, head in task.own_heads.items()}} if task.own_heads else {}),
        **({"reading": task.encoding.plain()} if isinstance(task, TableTask) else {}),
        **({} if task.photos is None else {"photos": task.photos.plain()}),
        "sha256": {file.name: file_digest(file) for file in sorted(folder.iterdir())},
        "origin": origin,
    }
    (folder / "task.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
