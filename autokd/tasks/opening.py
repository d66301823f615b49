"""Opens the task of a study: finds what its `data` names, makes a task of it once, and keeps that in files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from autokd.errors import InputError, nearest
from autokd.files import read_json
from autokd.readings.table_rows import as_frame
from autokd.registry import resolve, sources_of
from autokd.study.explanation import wanted
from autokd.study.reading import TRAINED, ColumnReading, OwnReading, PhotoReading, ReadingSection, TextReading
from autokd.study.task import MadeTaskSection, TaskSection, read_task
from autokd.tasks import datasets, files
from autokd.tasks.arrays import digits
from autokd.tasks.assembly import assemble
from autokd.tasks.folder import is_task
from autokd.tasks.images import Folders, class_folders, image_folders, images
from autokd.tasks.made import lacking, made
from autokd.tasks.own_reading import assemble_own
from autokd.tasks.photo_task import Originals, PhotoTask, photo_task
from autokd.tasks.photos import PhotoSource, photos
from autokd.tasks.saved_datasets import is_saved_dataset, read_saved_dataset, saved_stamp
from autokd.tasks.sources import Collect, Source, on_disk
from autokd.tasks.store import load_task, save_task, write_all_but_inputs
from autokd.tasks.stored import StoredTask
from autokd.tasks.table import content_digest, is_frame
from autokd.tasks.table_answers import TableSource
from autokd.tasks.table_assembly import assemble_table, refuse_table_keys
from autokd.tasks.table_files import is_table_file, read_table
from autokd.tasks.targets import Asked
from autokd.tasks.task import ArrayTask
from autokd.tasks.text_assembly import assemble_texts, settings_of
from autokd.tasks.text_folder import write_texts
from autokd.tasks.texts import TextTask
from autokd.tasks.tokenized import stamp_of_tokenizer
from autokd.tasks.written import writing
from autokd.types import Task

_DEFAULT = TaskSection(data="")
_TORCHVISION = "torchvision:"
_TORCHVISION_ROOT = Path("data")


def open_task(spec: TaskSection | MadeTaskSection | Mapping[str, Any] | str, *, seed: int, folder: str | Path) -> Task:
    """The task that a study's `task:` section describes, opened from `folder`. If needed, it is written there first.

    A folder that holds the same data, settings and seed is used as it is. A half-written folder is written again. If a
    file of the data has another size or time, the data are read again, and refused only if they differ. Data that are
    already a task (a folder with a task, or a reference to one) are copied unchanged. A task of another kind than
    `StoredTask`, to which a reference leads, is kept in no file; each process makes the task again, see `made_again`.

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
        return save_task(own, folder) if isinstance(own, StoredTask) else own
    settings = read_task(spec)
    found = find_source(
        settings.data, max_gb=settings.max_gb, asked=settings.heads, reading=settings.reading, texts=settings.text
    )
    if not isinstance(found, Source | TableSource | PhotoSource | Folders):
        _refuse_settings(settings)
        return save_task(found, folder) if isinstance(found, StoredTask) else found
    _refuse_reading(found, settings)
    given = {**settings.model_dump(mode="json", exclude={"max_gb"}), "seed": seed}
    fingerprint = _fingerprint(found, settings)
    there = load_task(folder) if is_task(folder) else None
    if there is not None and _read_origin(folder, given) == fingerprint:
        return _with_all_choices(there, found, settings)
    with writing(folder, last="task.json") as unfinished:
        into = on_disk(unfinished / "x.npy")
        task = _assembled(found, settings, seed, folder, into)
        if there is not None and task.digest != there.digest:
            code = " or the code of its reading" if isinstance(settings.reading, OwnReading) else ""
            raise InputError(
                f"{folder} holds the task of other data: {settings.data}{code} is not what it was; put it back or "
                "start in a new folder"
            )
        origin = {"settings": given, "source": fingerprint}
        if isinstance(task, TextTask):
            write_texts(task, unfinished, origin)
        else:
            assert isinstance(task, ArrayTask)
            write_all_but_inputs(task, unfinished, origin)
    return _with_all_choices(load_task(folder), found, settings)


def _assembled(
    found: Source | TableSource | PhotoSource | Folders, settings: TaskSection, seed: int, folder: Path, into: Collect
) -> StoredTask:
    """The task of a source, which will be in `folder`, and whose inputs are put where `into` decides."""
    if not isinstance(found, TableSource):
        refuse_table_keys(settings)
    if isinstance(settings.reading, OwnReading):
        assert not isinstance(found, PhotoSource)
        return assemble_own(found, settings, settings.reading, seed=seed, into=into)
    if isinstance(found, TableSource) and settings.text is not None:
        return assemble_texts(found, settings, seed=seed)
    if isinstance(found, TableSource):
        table = assemble_table(found, settings, seed=seed)
        into(table.x.shape, table.x.dtype, iter([table.x]))
        return table
    assert not isinstance(found, Folders)
    source = found.read() if isinstance(found, PhotoSource) else found
    task = assemble(source, settings, seed=seed, into=into)
    if isinstance(found, PhotoSource):
        return photo_task(task, Originals.of(found.folder, source.files), settings, folder)
    return task


def find_source(
    data: str,
    *,
    max_gb: float = _DEFAULT.max_gb,
    asked: Asked = None,
    reading: ReadingSection | None = _DEFAULT.reading,
    texts: str | None = _DEFAULT.text,
) -> Source | TableSource | PhotoSource | Folders | Task:
    """The source that `data` names, see `TaskSection.data`, or the task itself if `data` names a finished one.

    The other arguments are settings of the task: `asked` is its key `heads`, and `texts` its key `text`.

    Raises:
        InputError: nothing is found, or it cannot be read.
    """
    path = Path(os.path.expanduser(data))
    if data == "digits":
        return digits()
    if is_task(path):
        return load_task(path)
    if data.startswith(_TORCHVISION):
        return datasets.torchvision_source(data.removeprefix(_TORCHVISION), root=_TORCHVISION_ROOT)
    if path.suffix == ".npz":
        return files.npz(path, max_gb=max_gb, asked=asked)
    if is_table_file(path) and os.path.exists(path):
        name = path.name.partition(".")[0]
        return TableSource(name, lambda: read_table(path, max_gb=max_gb, texts=texts), files.stamp([path]))
    if is_saved_dataset(path):
        return TableSource(path.name, lambda: read_saved_dataset(path, max_gb=max_gb), saved_stamp(path))
    if (prefix := files.idx_prefix(path)) is not None:
        return files.idx(prefix, max_gb=max_gb)
    if os.path.isdir(path):
        if isinstance(reading, OwnReading):
            return class_folders(path, endings=())
        folders = image_folders(path)
        if not isinstance(reading, PhotoReading):
            return images(folders)
        return PhotoSource(partial(photos, folders, reading), path, folders.fingerprint)
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


def _short(reference: str) -> str:
    """A short name: `images` for path/to/file.py:images, and `file` for path/to/file.py."""
    return Path(reference).name.rpartition(":")[2].removesuffix(".py")


def _fingerprint(found: Source | TableSource | PhotoSource | Folders, settings: TaskSection) -> str:
    """What changes when the data do: the source, files of splits and of a tokenizer, and code that reads rows."""
    split = Path(os.path.expanduser(settings.split or ""))
    also = files.stamp([split]) if settings.split and is_table_file(split) and split.is_file() else ""
    if isinstance(settings.reading, TextReading) and settings.reading.tokenizer not in TRAINED:
        also += stamp_of_tokenizer(settings.reading.tokenizer)
    if isinstance(settings.reading, OwnReading):
        code = sources_of(resolve("readings", settings.reading.reading), code_only=True)
        also += hashlib.sha256(repr(sorted(code.items())).encode()).hexdigest()
    return found.fingerprint + also


def _refuse_reading(found: Source | TableSource | PhotoSource | Folders, settings: TaskSection) -> None:
    """Refuses a reading that is for rows of another kind, and texts in data that are no table."""
    reading = settings.reading
    forms = {PhotoSource: PhotoReading, TableSource: ColumnReading if settings.text is None else TextReading}
    if isinstance(found, TableSource) and isinstance(reading, TextReading) and settings.text is None:
        raise InputError(f"task.reading: this is for texts; name the column of texts of {settings.data} as task.text")
    form = forms.get(type(found))
    if reading is not None and not isinstance(reading, OwnReading if form is None else OwnReading | form):
        raise InputError(f"task.reading: this is for {reading.reads}, and {settings.data} has none; leave it out")


def _refuse_settings(spec: TaskSection) -> None:
    """Refuses settings for a finished task, because they are part of it."""
    given = sorted(key for key in spec.model_fields_set - {"data"} if getattr(spec, key) != getattr(_DEFAULT, key))
    if given:
        raise InputError(
            f"task.data: '{spec.data}' is a task already made, with its own settings; leave out {', '.join(given)}"
        )


def _with_all_choices(task: StoredTask, found: object, settings: TaskSection) -> StoredTask:
    """The task with the choices that are searched now. What the files of the task lack of these is made.

    Photos are read from where they are found now, which may be another folder than before.
    """
    if isinstance(task, TextTask) and task.readings:
        task = replace(task, settings=settings_of(settings.reading))
        try:
            task.make_all()
        except InputError as error:
            raise InputError(f"task.reading.{error}") from None
    if not isinstance(task, PhotoTask) or not isinstance(found, PhotoSource) or settings.reading is None:
        return task
    originals = replace(task.originals, folder=found.folder.absolute())
    task = replace(task, originals=originals, readings=settings.reading.searched, max_gb=settings.max_gb)
    for size in task.readings.get("size", ()):
        try:
            task.seen_through({"size": size})
        except InputError as error:
            raise InputError(f"task.reading.{error}") from None
    return task


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a task in the form in which they are compared: the choices of a search may change."""
    reading = TaskSection(data="", reading=settings["reading"]).reading if settings.get("reading") else None
    if reading is None:
        return dict(settings)
    fixed = {**reading.model_dump(mode="json"), **dict.fromkeys(reading.searched, "searched")}
    return {**settings, "reading": fixed}


def _read_origin(folder: Path, settings: Mapping[str, Any]) -> str:
    """The fingerprint of the source of the task in a folder, which must have the same settings."""
    there = read_json(folder / "task.json")["origin"]
    if there is None:
        raise InputError(f"{folder} holds a task that was saved, not made from data; choose another folder")
    old = _compared({**_DEFAULT.model_dump(mode="json"), **there["settings"]})  # an older task may lack a key
    settings = _compared(settings)
    changes = [f"{key} (was {old[key]!r}, now {settings[key]!r})" for key in settings if old[key] != settings[key]]
    if changes:
        raise InputError(
            f"{folder} holds the task of other settings: {', '.join(changes)}; undo the change or start in a new folder"
        )
    return str(there["source"])
