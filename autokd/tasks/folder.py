"""What the folders of all kinds of tasks have in common: targets, splits, and the file that describes the task."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd.files import read_json
from autokd.heads import head_of
from autokd.npy import open_npy
from autokd.tasks.splits import SPLITS
from autokd.tasks.stored import StoredTask
from autokd.tasks.written import file_digest
from autokd.types import Head

FORMATS = (1, 2, 3, 4)
"""The formats of the folder: x.npy, y.npy, split_<name>.npy and, written last, task.json with the SHA-256 of each.

Format 1 is of one head of classes. Format 2 names the heads; where there are several, y_0.npy, y_1.npy and so on hold
their targets. The folder of a table also holds rows.parquet and, where rows belong together, groups.npy. That of photos
may hold originals.json, the files of which they were made, and a folder `seen` with their images of other sizes. Format
3 is of photos whose size is searched; x.npy then holds one of the sizes.

Format 4 is of texts. In place of x.npy, texts.npy holds all texts in UTF-8, text_ends.npy the end of each text, and
trained_on.npy the rows on which tokenizers are trained. What a tokenizer makes of all texts is in tokens-<tokenizer>.*.
"""


def is_task(folder: Path) -> bool:
    """Whether a folder holds a task."""
    return os.path.isfile(folder / "task.json")


def write_description(
    task: StoredTask, folder: Path, own: Mapping[str, Any], origin: Mapping[str, Any] | None, *, version: int
) -> None:
    """Writes targets, splits and task.json beside the files that a kind of task has of its own, which are there.

    Args:
        task: the task.
        folder: is being written, see `written.writing`.
        own: what task.json says of this kind of task.
        origin: the settings and the source of the task; None if it was not made from data.
        version: the format, one of `FORMATS`.
    """
    for name, file in _target_files(task.own_heads).items():
        targets = task.y if isinstance(task.y, Tensor) else task.y[name]
        np.save(folder / file, targets.numpy())
    for name, rows in task.splits.items():
        np.save(folder / f"split_{name}.npy", rows.numpy())
    described = {
        "format": version,
        "name": task.name,
        "class_names": task.class_names,
        "class_weights": task.class_weights,
        "label_noise": task.label_noise,
        "digest": task.digest,
        **({"heads": {name: head.plain() for name, head in task.own_heads.items()}} if task.own_heads else {}),
        **own,
        "sha256": {file.name: file_digest(file) for file in sorted(folder.iterdir())},
        "origin": origin,
    }
    (folder / "task.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """What task.json says, after the files that it names were compared with it.

    Raises:
        ValueError, LookupError, OSError: it is damaged, or a file is not the one that was written.
    """
    described: dict[str, Any] = read_json(folder / "task.json")
    if described["format"] not in FORMATS or "origin" not in described:
        raise ValueError(f"it is not of format {', '.join(map(str, FORMATS[:-1]))} or {FORMATS[-1]}")
    for name, digest in described.get("sha256", {}).items():  # tasks of earlier versions have none
        if file_digest(folder / Path(name).name) != digest:
            raise ValueError(f"{name} is not the file that was written, by its sha256")
    return described


def stored_part(folder: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `StoredTask` from a folder whose files are those that were written."""
    weights = described["class_weights"]
    heads = {name: head_of(plain) for name, plain in described.get("heads", {}).items()}
    y = {name: in_memory(folder / file) for name, file in _target_files(heads).items()}
    return {
        "name": described["name"],
        "y": y if len(y) > 1 else next(iter(y.values())),
        "class_names": tuple(described["class_names"]),
        "splits": {name: in_memory(folder / f"split_{name}.npy") for name in SPLITS},
        "class_weights": None if weights is None else tuple(weights),
        "label_noise": described["label_noise"],
        "digest": described["digest"],
        "own_heads": heads,
    }


def in_memory(file: Path) -> Tensor:
    """The array in a .npy file as a tensor that is not memory-mapped."""
    return torch.from_numpy(np.array(open_npy(file)))


def _target_files(heads: Mapping[str, Head]) -> dict[str, str]:
    """The name of the file that holds the targets of each head."""
    return {name: f"y_{i}.npy" for i, name in enumerate(heads)} if len(heads) > 1 else {next(iter(heads), ""): "y.npy"}
