"""Tasks on disk. A task is written into a folder once, and every process that needs it opens it from there."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd.errors import InputError, named, nearest, said
from autokd.files import open_file, read_json, sync
from autokd.heads import head_of
from autokd.npy import open_npy
from autokd.readings import Columns
from autokd.readings.photos import Photos
from autokd.readings.table_rows import as_frame
from autokd.study.explanation import wanted
from autokd.study.reading import PhotoReading, ReadingSection
from autokd.study.task import MadeTaskSection, TaskSection, read_task
from autokd.tasks import datasets, files
from autokd.tasks.arrays import digits
from autokd.tasks.assembly import assemble
from autokd.tasks.images import image_folders, images
from autokd.tasks.made import lacking, made
from autokd.tasks.photos import PhotoSource, photos
from autokd.tasks.sources import Source, on_disk
from autokd.tasks.splits import SPLITS
from autokd.tasks.table import TableTask, content_digest, is_frame
from autokd.tasks.table_assembly import TableSource, assemble_table, refuse_table_keys
from autokd.tasks.table_files import is_table_file, read_table
from autokd.tasks.targets import Asked
from autokd.tasks.task import ArrayTask, Augmentation
from autokd.types import Head, Task

FORMATS = (1, 2)
"""The formats of the folder: x.npy, y.npy, split_<name>.npy and, written last, task.json with the SHA-256 of each.

Format 1 is of one head of classes. Format 2 names the heads; where there are several, y_0.npy, y_1.npy and so on hold
their targets. The folder of a table also holds rows.parquet and, where rows belong together, groups.npy.
"""

_DEFAULT = TaskSection(data="")
_TORCHVISION = "torchvision:"
_TORCHVISION_ROOT = Path("data")


def open_task(spec: TaskSection | MadeTaskSection | Mapping[str, Any] | str, *, seed: int, folder: str | Path) -> Task:
    """The task that a study's `task:` section describes, opened from `folder`. If needed, it is written there first.

    A folder that holds the same data, settings and seed is used as it is. A half-written folder is written again. If a
    file of the data has another size or time, the data are read again, and refused only if they differ. Data that are
    already a task (a folder with a task, or a reference to one) are copied unchanged. A task of another kind than
    `ArrayTask`, to which a reference leads, is kept in no file; each process makes the task again, see `made_again`.

    Args:
        spec: the settings, or the data alone.
        seed: the seed of validation, labels, noise and views, >= 0.
        folder: the folder of the task. It is created if it is missing.

    Raises:
        InputError: the data or the settings are not valid, or the folder holds another task or cannot be written.
    """
    folder = Path(folder)
    if isinstance(spec, MadeTaskSection):
        own = made(spec.task, spec.args)
        return save_task(own, folder) if isinstance(own, ArrayTask) else own
    settings = read_task(spec)
    found = find_source(settings.data, max_gb=settings.max_gb, asked=settings.heads, reading=settings.reading)
    if not isinstance(found, Source | TableSource | PhotoSource):
        _refuse_settings(settings)
        return save_task(found, folder) if isinstance(found, ArrayTask) else found
    if settings.reading is not None and not isinstance(found, PhotoSource):
        raise InputError(f"task.reading: this is for folders of images, and {settings.data} is none; leave it out")
    given = {**settings.model_dump(mode="json", exclude={"max_gb"}), "seed": seed}
    fingerprint = _fingerprint(found, settings)
    there = load_task(folder) if _is_task(folder) else None
    if there is not None and _read_origin(folder, given) == fingerprint:
        return there
    with _writing(folder) as unfinished:
        into = on_disk(unfinished / "x.npy")
        task: ArrayTask
        if isinstance(found, TableSource):
            task = assemble_table(found, settings, seed=seed)
            into(task.x.shape, task.x.dtype, iter([task.x]))
        else:
            refuse_table_keys(settings)
            source = found.read() if isinstance(found, PhotoSource) else found
            task = assemble(source, settings, seed=seed, into=into)
        if there is not None and task.digest != there.digest:
            raise InputError(
                f"{folder} holds the task of other data: {settings.data} is not what it was; put it back or start in a "
                "new folder"
            )
        _write_all_but_inputs(task, unfinished, {"settings": given, "source": fingerprint})
    return load_task(folder)


def save_task(task: ArrayTask, folder: str | Path) -> ArrayTask:
    """Writes a task into a folder, unless it is already there, and returns it as opened from the folder.

    Raises:
        InputError: the folder holds another task, or cannot be written.
    """
    folder = Path(folder)
    if _is_task(folder):
        there = load_task(folder)
        if there.digest != task.digest:
            raise InputError(f"{folder} holds another task, '{there.name}'; choose another folder")
        return there
    with _writing(folder) as unfinished:
        on_disk(unfinished / "x.npy")(task.x.shape, task.x.dtype, iter([task.x]))
        _write_all_but_inputs(task, unfinished, None)
    return load_task(folder)


def load_task(folder: str | Path) -> ArrayTask:
    """The task in a folder, with memory-mapped inputs.

    Raises:
        InputError: the folder holds no task, or a file of the task is missing or damaged.
    """
    folder = Path(folder)
    if not _is_task(folder):
        raise InputError(f"{folder} holds no task (no task.json); give a folder that a search or save_task wrote")
    try:
        described = read_json(folder / "task.json")
        if described["format"] not in FORMATS or "origin" not in described:
            raise ValueError(f"it is not of format {' or '.join(map(str, FORMATS))}")
        x = open_npy(folder / "x.npy")
        if [list(x.shape), x.dtype.str] != described["x"]:
            raise ValueError("x.npy is not the one it was written with")
        for name, digest in described.get("sha256", {}).items():  # tasks of earlier versions have none
            if _file_digest(folder / Path(name).name) != digest:
                raise ValueError(f"{name} is not the file that was written, by its sha256")
        return _task(folder, described, x)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"the task in {folder} cannot be opened: {named(error)}; remove the folder to have it made anew"
        ) from error


def find_source(
    data: str,
    *,
    max_gb: float = _DEFAULT.max_gb,
    asked: Asked = None,
    reading: ReadingSection | None = _DEFAULT.reading,
) -> Source | TableSource | PhotoSource | Task:
    """The source that `data` names, see `TaskSection.data`, or the task itself if `data` names a finished one.

    The other arguments are settings of the task: `asked` is its key `heads`.

    Raises:
        InputError: nothing is found, or it cannot be read.
    """
    path = Path(os.path.expanduser(data))
    if data == "digits":
        return digits()
    if _is_task(path):
        return load_task(path)
    if data.startswith(_TORCHVISION):
        return datasets.torchvision_source(data.removeprefix(_TORCHVISION), root=_TORCHVISION_ROOT)
    if path.suffix == ".npz":
        return files.npz(path, max_gb=max_gb, asked=asked)
    if is_table_file(path) and os.path.exists(path):
        name = path.name.partition(".")[0]
        return TableSource(name, lambda: read_table(path, max_gb=max_gb), files.stamp([path]))
    if (prefix := files.idx_prefix(path)) is not None:
        return files.idx(prefix, max_gb=max_gb)
    if os.path.isdir(path):
        folders = image_folders(path)
        if not isinstance(reading, PhotoReading):
            return images(folders)
        return PhotoSource(partial(photos, folders, reading), folders.fingerprint)
    named_as_file = is_table_file(path) or ("/" in data and ".py:" not in data)
    if path.suffix != ".py" and (os.path.isfile(path) or named_as_file):
        problem = (
            "is no kind of file that tasks are read from" if os.path.exists(path) else "is neither a file nor a folder"
        )
        raise InputError(f"task.data: {data} {problem}; write {wanted(TaskSection.model_fields['data'])}")
    if hint := nearest(data, ["digits"]):
        raise InputError(f"task.data: '{data}' is unknown{hint}")
    found, code = datasets.referenced(data, {})
    if not lacking(found):
        return found
    if is_frame(found):
        frame = as_frame(found)
        return TableSource(_short(data), lambda: frame, f"{code} {content_digest(frame).hex()}")
    return datasets.dataset_source(_short(data), found, code=code, asked=asked)


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


def _fingerprint(found: Source | TableSource | PhotoSource, settings: TaskSection) -> str:
    """What changes when the data do: the source, and the file that assigns its rows to splits, if there is one."""
    split = Path(os.path.expanduser(settings.split or ""))
    also = files.stamp([split]) if settings.split and is_table_file(split) and split.is_file() else ""
    return found.fingerprint + also


def _in_memory(file: Path) -> Tensor:
    return torch.from_numpy(np.array(open_npy(file)))


def _file_digest(file: Path) -> str:
    with open_file(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _short(reference: str) -> str:
    """A short name: `images` for path/to/file.py:images, and `file` for path/to/file.py."""
    return Path(reference).name.rpartition(":")[2].removesuffix(".py")


def _is_task(folder: Path) -> bool:
    return os.path.isfile(folder / "task.json")


def _refuse_settings(spec: TaskSection) -> None:
    """Refuses settings for a finished task, because they are part of it."""
    given = sorted(key for key in spec.model_fields_set - {"data"} if getattr(spec, key) != getattr(_DEFAULT, key))
    if given:
        raise InputError(
            f"task.data: '{spec.data}' is a task already made, with its own settings; leave out {', '.join(given)}"
        )


def _read_origin(folder: Path, settings: Mapping[str, Any]) -> str:
    """The fingerprint of the source of the task in a folder, which must have the same settings."""
    there = read_json(folder / "task.json")["origin"]
    if there is None:
        raise InputError(f"{folder} holds a task that was saved, not made from data; choose another folder")
    old = {**_DEFAULT.model_dump(mode="json"), **there["settings"]}  # an older task may lack a key
    changes = [f"{key} (was {old[key]!r}, now {settings[key]!r})" for key in settings if old[key] != settings[key]]
    if changes:
        raise InputError(
            f"{folder} holds the task of other settings: {', '.join(changes)}; undo the change or start in a new folder"
        )
    return str(there["source"])


@contextmanager
def _writing(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write into. When all files are written, they are moved, with task.json last."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as unfinished:
            yield Path(unfinished)
            folder.mkdir(exist_ok=True)
            for file in sorted(Path(unfinished).iterdir(), key=lambda file: file.name == "task.json"):
                sync(file)
                os.replace(file, folder / file.name)
    except OSError as error:
        raise InputError(
            f"the task cannot be written into {folder}: {error.strerror or said(error)}; free the disk or choose "
            "another folder"
        ) from error


def _write_all_but_inputs(task: ArrayTask, folder: Path, origin: Mapping[str, Any] | None) -> None:
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
        "sha256": {file.name: _file_digest(file) for file in sorted(folder.iterdir())},
        "origin": origin,
    }
    (folder / "task.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
