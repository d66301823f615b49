"""A task of photos whose files are known, so that it can be seen at other sizes than its own."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autokd.errors import InputError, named
from autokd.files import read_json
from autokd.npy import open_npy
from autokd.readings.photos import Photos
from autokd.study.reading import NormaliseSection, PhotoReading, sides
from autokd.study.task import TaskSection
from autokd.tasks.assembly import task_digest
from autokd.tasks.files import stamp
from autokd.tasks.normalisation import normalisation
from autokd.tasks.sources import Array, on_disk, rows_in_chunk
from autokd.tasks.task import ArrayTask
from autokd.tasks.written import file_digest, written_once

_SEEN = "seen.json"
_BESIDE = ("channels", "keep")
"""What a reading of `Photos` has beside the keys that a study may give."""

_LOG = logging.getLogger("autokd")


@dataclass(frozen=True)
class Originals:
    """The image files of which a task was made, in the order of its rows.

    Args:
        folder: the folder that holds all of them.
        files: their paths in that folder.
        stamp: a text that changes when a file does, and is cheap to compute.
        contents: the SHA-256 of each file.
    """

    folder: Path
    files: tuple[str, ...]
    stamp: str
    contents: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path, files: Sequence[Path]) -> Originals:
        """The originals that these files are now."""
        names = tuple(str(file.relative_to(folder)) for file in files)
        return cls(folder.absolute(), names, stamp([*files]), tuple(map(file_digest, files)))

    @property
    def paths(self) -> list[Path]:
        """The paths of the files."""
        return [self.folder / name for name in self.files]

    def refuse_changed(self) -> None:
        """Refuses to read files that are no longer those of which the task was made.

        Raises:
            InputError: a file is missing, or its content has changed.
        """
        paths = self.paths
        try:
            changed = stamp(paths) != self.stamp
        except InputError as error:
            raise InputError(f"size: images of this size are made from the files of the task, and {error}") from None
        for path, content in zip(paths, self.contents, strict=True) if changed else ():
            if file_digest(path) != content:
                raise InputError(
                    f"size: images of this size are made from the files of the task, and {path} is not the file that "
                    "it was; put it back, or start in a new folder"
                )

    def plain(self) -> dict[str, Any]:
        """The originals as plain data."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Originals:
        """The originals that gave these plain data."""
        return cls(Path(plain["folder"]), tuple(plain["files"]), plain["stamp"], tuple(plain["contents"]))


@dataclass(frozen=True, eq=False, kw_only=True)
class PhotoTask(ArrayTask):
    """An `ArrayTask` of photos whose files are known.

    Where a search varies the size, its students see the task through one of the sizes, and none sees the task itself.
    Its digest then holds the files, and not their size, so that it does not depend on the sizes to choose from.

    Args:
        originals: the files.
        normalise: how pixels are normalised: a word, or a mapping with `mean` and `std`.
        folder: the folder of the task, which also keeps the images of other sizes.
        readings: the sizes that are searched, as `{"size": (16, 24)}`; empty if none is.
        max_gb: how many gigabytes the images of one size may take.
    """

    originals: Originals = field(repr=False)
    normalise: str | Mapping[str, Any]
    folder: Path
    readings: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    max_gb: float = TaskSection(data="").max_gb

    @property
    def rows_in_words(self) -> str:
        """What the rows are, for the log."""
        sizes = [_shown(sides(size)) for size in self.readings.get("size", ())] or [_shown(self.x.shape[2:])]
        return f"{self.num_rows:,} photos of {' or '.join(sizes)} pixels in {self.x.shape[1]} channel(s)"

    def seen_through(self, reading: Mapping[str, Any]) -> ArrayTask:
        """The same task through another reading. What `reading` leaves out is as in this task.

        The images of each size are made from the files, once, and are kept in the folder of the task.

        Args:
            reading: settings of `autokd.study.reading.PhotoReading`, of which `on_error` does not count, because the
                rows stay; and `channels` and `keep` as in `Photos`.

        Raises:
            InputError: there is no such setting, the files have changed, or a view of the task is made in pixels of
                this size.
        """
        photos, normalise = self._with(reading)
        own = photos == self.photos and normalise == self.normalise
        if own and not (self.readings and reading):
            return self
        self._refuse_pixels(photos)
        shift, divisor, x = (self.shift, self.divisor, self.x) if own else self._made(photos, normalise)
        settings = [self.digest, photos.plain(), shift, divisor]
        same = {each.name: getattr(self, each.name) for each in fields(ArrayTask)}
        changed = {"x": x, "shift": shift, "divisor": divisor, "photos": photos}
        return ArrayTask(**{**same, **changed, "digest": sha256(json.dumps(settings).encode()).hexdigest()})

    def _with(self, reading: Mapping[str, Any]) -> tuple[Photos, str | Mapping[str, Any]]:
        """How files become arrays, and how these are normalised, in another reading."""
        for key in reading:
            if key not in PhotoReading.model_fields and key not in _BESIDE:
                raise InputError(f"{key}: {self.name} is a folder of images, which is read by size; write size: 32")
        assert self.photos is not None
        given = {key: value for key, value in reading.items() if key not in _BESIDE}
        how = PhotoReading.model_validate({"size": _shown(self.photos.size), **given})
        if isinstance(how.size, tuple):
            raise InputError(f"size: {list(how.size)} given; write one of them, in which the task is to be seen")
        changes = {key: reading[key] for key in _BESIDE if key in reading}
        changes |= {key: getattr(how, key) for key in ("fit", "background") if key in reading}
        photos = replace(self.photos, **changes, size=sides(how.size))
        return photos, plain_normalise(how.normalise or self.normalise)

    def _refuse_pixels(self, photos: Photos) -> None:
        """Refuses views that are counted in pixels, where the images have another size."""
        assert self.photos is not None
        if photos.size == self.photos.size:
            return
        for key, given in (("crop", self.augmentation.crop), ("cutout", self.augmentation.cutout)):
            if given and isinstance(given, int):
                raise InputError(
                    f"size: task.augment.{key} counts {given} pixels, which are not the same part of images of "
                    f"{_shown(self.photos.size)} and of {_shown(photos.size)}; write a fraction of the sides, such as "
                    f"{key}: {given / min(self.photos.size):.2g}"
                )

    def _made(
        self, photos: Photos, normalise: str | Mapping[str, Any]
    ) -> tuple[tuple[float, ...], tuple[float, ...], Array]:
        """Shift, divisor and images of another reading, from the folder of the task; made now if they are not there."""
        settings = {"photos": photos.plain(), "normalise": normalise}
        key = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        folder = self.folder / "seen" / f"{_shown(photos.size)}-{key}"
        written_once(folder, partial(self._write, photos, normalise), last=_SEEN)
        try:
            seen = read_json(folder / _SEEN)
            if file_digest(folder / "x.npy") != seen["sha256"]:
                raise ValueError("x.npy is not the file that was written, by its sha256")
            return tuple(seen["shift"]), tuple(seen["divisor"]), open_npy(folder / "x.npy")
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InputError(
                f"size: the images in {folder} cannot be opened: {named(error)}; remove the folder to have them made "
                "anew"
            ) from error

    def _write(self, photos: Photos, normalise: str | Mapping[str, Any], folder: Path) -> None:
        """Writes the images of a reading, their shift and their divisor into a folder."""
        self.originals.refuse_changed()
        paths = self.originals.paths
        shape, dtype = (len(paths), photos.channels, *photos.size), np.dtype(np.uint8)
        if (gigabytes := math.prod(shape) / 1e9) > self.max_gb:
            raise InputError(
                f"size: images of {_shown(photos.size)} would take {gigabytes:.3g} GB, more than task.max_gb: "
                f"{self.max_gb:g}; raise it or choose a smaller size"
            )
        _LOG.info("Reading %d images again, to resize them to %s.", len(paths), _shown(photos.size))
        step = rows_in_chunk(shape, dtype)

        def chunks() -> Iterator[Array]:
            for start in range(0, len(paths), step):
                yield photos.batch(paths[start : start + step])

        x = on_disk(folder / "x.npy")(shape, dtype, chunks())
        how = normalise if isinstance(normalise, str) else NormaliseSection.model_validate(normalise)
        shift, divisor = normalisation(x, _trained_on(self.splits), how, 255.0)
        seen = {
            "photos": photos.plain(),
            "normalise": normalise,
            "shift": shift,
            "divisor": divisor,
            "sha256": file_digest(folder / "x.npy"),
        }
        (folder / _SEEN).write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")


def photo_task(task: ArrayTask, originals: Originals, spec: TaskSection, folder: Path) -> PhotoTask:
    """The task of photos whose arrays are those of `task`. They have the first of the sizes, if several are searched.

    Args:
        task: the task at one size.
        originals: the files of its rows.
        spec: the settings of the task.
        folder: the folder of the task.
    """
    assert spec.reading is not None
    assert task.photos is not None
    same = {each.name: getattr(task, each.name) for each in fields(ArrayTask)}
    normalise = plain_normalise(spec.normalised)
    if spec.reading.searched:
        plain = {key: value for key, value in task.photos.plain().items() if key != "size"}
        heads = {name: head.plain() for name, head in task.heads.items()}
        contents = np.frombuffer(bytes.fromhex("".join(originals.contents)), np.uint8).reshape(-1, 32)
        targets = [task.y] if isinstance(task.y, Tensor) else [*task.y.values()]
        arrays = [each.numpy() for each in (*targets, *task.splits.values())]
        same["digest"] = task_digest(contents, arrays, [plain, normalise, asdict(task.augmentation), heads])
    of_photos: dict[str, Any] = {"originals": originals, "normalise": normalise, "folder": folder}
    return PhotoTask(**same, **of_photos, readings=spec.reading.searched, max_gb=spec.max_gb)


def plain_normalise(how: str | NormaliseSection | Mapping[str, Any]) -> str | dict[str, Any]:
    """How pixels are normalised, as plain data: a word, or a mapping with `mean` and `std`."""
    if isinstance(how, str):
        return how
    given = how.model_dump() if isinstance(how, NormaliseSection) else how
    return {key: [float(each) for each in given[key]] for key in ("mean", "std")}


def _trained_on(splits: Mapping[str, Tensor]) -> Array:
    """The rows from which statistics may be taken."""
    return torch.cat([splits[name] for name in ("train", "transfer", "reserve")]).sort().values.numpy()


def _shown(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
