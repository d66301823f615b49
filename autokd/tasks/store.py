"""Tasks on disk. A task is written into a folder once, and every process that needs it opens it from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from autokd.errors import InputError, named
from autokd.files import read_json, write_json
from autokd.npy import open_npy
from autokd.readings import Columns
from autokd.readings.photos import Photos
from autokd.tasks.folder import in_memory, is_task, read_description, stored_part, write_description
from autokd.tasks.own_reading import OwnTask, own_part, write_rows
from autokd.tasks.photo_task import Originals, PhotoTask
from autokd.tasks.sources import on_disk
from autokd.tasks.stored import StoredTask
from autokd.tasks.table import TableTask, Whole
from autokd.tasks.task import ArrayTask, Augmentation
from autokd.tasks.text_folder import texts_in, write_texts
from autokd.tasks.texts import TextTask
from autokd.tasks.written import writing

Stored = TypeVar("Stored", bound=StoredTask)


def save_task(task: Stored, folder: str | Path) -> Stored:
    """Writes a task into a folder, unless it is already there, and returns it as opened from the folder.

    Raises:
        InputError: the folder holds another task, or cannot be written.
    """
    folder = Path(folder)
    if is_task(folder):
        there = load_task(folder)
        if there.digest != task.digest:
            raise InputError(f"{folder} holds another task, '{there.name}'; choose another folder")
        if isinstance(there, PhotoTask) and isinstance(task, PhotoTask):
            there = replace(there, readings=task.readings)
        if isinstance(there, TextTask) and isinstance(task, TextTask):
            there = replace(there, settings=task.settings)
        return cast(Stored, there)
    with writing(folder, last="task.json") as unfinished:
        if isinstance(task, TextTask):
            write_texts(task, unfinished, None)
        if isinstance(task, ArrayTask):
            on_disk(unfinished / "x.npy")(task.x.shape, task.x.dtype, iter([task.x]))
            write_all_but_inputs(task, unfinished, None)
    return cast(Stored, load_task(folder))


def load_task(folder: str | Path) -> StoredTask:
    """The task in a folder, with memory-mapped inputs.

    Raises:
        InputError: the folder holds no task, or a file of the task is missing or damaged.
    """
    folder = Path(folder)
    if not is_task(folder):
        raise InputError(f"{folder} holds no task (no task.json); give a folder that a search or save_task wrote")
    try:
        described = read_description(folder)
        return texts_in(folder, described) if "texts" in described else _task(folder, described)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"the task in {folder} cannot be opened: {named(error)}; remove the folder to have it made anew"
        ) from error


def write_all_but_inputs(task: ArrayTask, folder: Path, origin: Mapping[str, Any] | None) -> None:
    """Writes a task into a folder that has its inputs. `origin` says of which data it was made, if that is known."""
    own: dict[str, Any] = {
        "x": [list(task.x.shape), task.x.dtype.str],
        "shift": task.shift,
        "divisor": task.divisor,
        "augmentation": asdict(task.augmentation),
        **({} if task.photos is None else {"photos": task.photos.plain()}),
    }
    searched: Mapping[str, Any] = {}
    if isinstance(task, PhotoTask):
        write_json(folder / "originals.json", task.originals.plain())
        own["normalise"], searched = task.normalise, task.readings
        own |= {"searched": searched} if searched else {}
    if isinstance(task, OwnTask):
        own |= write_rows(task, folder)
    if isinstance(task, TableTask):
        task.frame.to_parquet(folder / "rows.parquet")
        if task.groups is not None:
            np.save(folder / "groups.npy", task.groups.numpy())
        own |= {"reading": task.encoding.plain()}
        if task.whole is not None:
            own |= {"all_columns": {"reading": task.whole.encoding.plain(), "digest": task.whole.digest}}
    plain = not task.own_heads and not isinstance(task, TableTask | OwnTask)
    write_description(task, folder, own, origin, version=3 if searched else 1 if plain else 2)


def _task(folder: Path, described: Mapping[str, Any]) -> ArrayTask:
    """The task of a folder whose files are those that were written."""
    x = open_npy(folder / "x.npy")
    if [list(x.shape), x.dtype.str] != described["x"]:
        raise ValueError("x.npy is not the one it was written with")
    settings: dict[str, Any] = {
        **stored_part(folder, described),
        "x": x,
        "shift": tuple(described["shift"]),
        "divisor": tuple(described["divisor"]),
        "augmentation": Augmentation(**described["augmentation"]),
        "photos": Photos.of_plain(described["photos"]) if "photos" in described else None,
    }
    if "originals.json" in described.get("sha256", {}):
        return PhotoTask(
            **settings,
            originals=Originals.of_plain(read_json(folder / "originals.json")),
            normalise=described["normalise"],
            folder=folder.absolute(),
            readings={name: tuple(choices) for name, choices in described.get("searched", {}).items()},
        )
    groups = in_memory(folder / "groups.npy") if "groups.npy" in described.get("sha256", {}) else None
    if "own" in described:
        return OwnTask(**settings, **own_part(folder, described["own"]), groups=groups)
    if "reading" not in described:
        return ArrayTask(**settings)
    encoding = Columns.of_plain(described["reading"])
    all_columns = described.get("all_columns")
    whole = all_columns and Whole(Columns.of_plain(all_columns["reading"]), all_columns["digest"])
    return TableTask(**settings, encoding=encoding, table=folder / "rows.parquet", groups=groups, whole=whole)
