"""Reads images of any size and kind in folders by class, by a reading that brings them to one size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autokd.errors import InputError, listed
from autokd.readings.photos import GREY, Photos, opened
from autokd.study.reading import PhotoReading, sides
from autokd.tasks.files import readable
from autokd.tasks.images import Folders, folder_source, read_image
from autokd.tasks.sources import Source

_LOG = logging.getLogger("autokd")


@dataclass(frozen=True)
class PhotoSource:
    """Photos that are looked at only when a task is made of them.

    Args:
        read: looks at all photos, and gives the source.
        folder: the folder that holds all photos.
        fingerprint: a text that changes when a photo does, and is cheap to compute.
    """

    read: Callable[[], Source]
    folder: Path
    fingerprint: str


def photos(folders: Folders, how: PhotoReading) -> Source:
    """A source from images of any size and kind. They have one channel if all files are grey, and else three.

    If the size is searched, the images have the first of the sizes.

    Raises:
        InputError: an image cannot be read and `how` does not say to leave it out, or no other image of its class is
            left.
    """
    files: Mapping[str, Sequence[Sequence[Path]]] = folders.files
    sizes = [sides(size) for size in (how.size if isinstance(how.size, tuple) else (how.size,))]
    wanted = Photos(sizes[0], how.fit, how.background, channels=3)
    if how.on_error == "skip":
        files = _without_broken(folders, wanted)
    rows = tuple(file for by_class in files.values() for each in by_class for file in each)
    grey = _all_grey(rows)
    reading = replace(wanted, channels=1 if grey else 3)
    height, width = reading.size
    kind = (
        "have one channel, because all of them are grey" if grey else "have three channels, because some have colours"
    )
    shown = " or ".join("x".join(map(str, size)) for size in sizes)
    _LOG.info("Images are resized to %s (height x width, fit: %s) and %s.", shown, reading.fit, kind)
    shape = (height, width) if grey else (height, width, 3)
    source = folder_source(folders, files, shape, np.dtype(np.uint8), lambda file: read_image(file, reading.array))
    return replace(source, photos=reading, files=rows)


def _all_grey(files: Iterable[Path]) -> bool:
    """Whether the files say that all images are grey. Pixels are not read."""
    for file in files:
        with readable(file), opened(file) as image:
            if image.mode not in GREY:
                return False
    return True


def _without_broken(folders: Folders, wanted: Photos) -> dict[str, list[list[Path]]]:
    """The files that can be read. The log lists the others."""
    errors: dict[Path, InputError] = {}
    for file in folders.all_files:
        try:
            read_image(file, wanted.array)
        except InputError as error:
            errors[file] = error
    kept = {
        part: [[file for file in each if file not in errors] for each in by_class]
        for part, by_class in folders.files.items()
    }
    for part, by_class in folders.files.items():
        for name, before, after in zip(folders.classes, by_class, kept[part], strict=True):
            if before and not after:
                raise InputError(f"no image of the class '{name}' can be read: {errors[before[0]]}")
    if errors:
        names = listed([str(file.relative_to(folders.folder)) for file in errors])
        whole = f"{len(errors):,} of {len(folders.all_files):,}"
        _LOG.warning("%s images cannot be read and are left out: %s.", whole, names)
    return kept
