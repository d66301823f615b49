"""Reads images in folders by class: upright and with all their bits. Other images are refused with a reason."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autokd.errors import InputError
from autokd.readings.photos import opened, pillow_for, upright, upright_size
from autokd.tasks.files import PARTS, listed, readable, stamp
from autokd.tasks.sources import Array, Part, Source, rows_in_chunk

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

_AS_THEY_ARE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of Pillow with one number of more than 8 bits for each pixel."""


@dataclass(frozen=True)
class Folders:
    """Images in folders by class.

    Args:
        folder: the folder that holds all of them.
        classes: the names of the classes in order.
        files: the images of each class, in the order of `classes`, by part.
    """

    folder: Path
    classes: tuple[str, ...]
    files: Mapping[str, Sequence[Sequence[Path]]]

    @property
    def all_files(self) -> list[Path]:
        """The images of all parts, in the order of their rows."""
        return [file for by_class in self.files.values() for each in by_class for file in each]

    @property
    def fingerprint(self) -> str:
        """A text that changes when an image does."""
        return stamp(self.all_files)


def image_folders(folder: Path) -> Folders:
    """The images in folders class/name.png, as `class_folders` gives them. This needs Pillow.

    Raises:
        InputError: there are no images, parts differ in their classes, or Pillow is missing.
    """
    pillow_for(str(folder))
    return class_folders(folder, endings=ENDINGS)


def class_folders(folder: Path, *, endings: Sequence[str]) -> Folders:
    """The files in folders class/name, which may be under train/, validation/ and test/.

    Classes and files are in order of their names. Hidden files and folders are skipped.

    Args:
        folder: holds the folders.
        endings: how the names of the files end; () takes files of any name.

    Raises:
        InputError: there are no such files, or parts differ in their classes.
    """
    with readable(folder):
        named = {part: [folder / name for name in names if (folder / name).is_dir()] for part, names in PARTS.items()}
        roots = {part: found[0] for part, found in named.items() if found} if named["train"] else {"train": folder}
        classes = _classes(roots["train"], endings)
        for name in classes:
            if not _is_text(name):
                raise InputError(
                    f"{roots['train']} has the class {name!r}, which is no text in UTF-8; rename the folder"
                )
        for root in roots.values():
            if unknown := sorted(set(_classes(root, endings)) - set(classes)):
                raise InputError(
                    f"{root} has the class '{unknown[0]}', which {roots['train']} lacks; give it there too"
                )
        found = {part: [_files(root / each, endings) for each in classes] for part, root in roots.items()}
    if not classes:
        packed = next((each for each in listed(folder) if each.suffix == ".npz"), None)
        instead = (
            f"name {packed}, which lies there" if packed else "put the images so" if endings else "put the files so"
        )
        what = (
            "images in folders class/name.png nor idx files" if endings else "files in folders class/name nor idx files"
        )
        raise InputError(f"{folder} has neither {what}; {instead}")
    return Folders(folder, tuple(classes), found)


def images(folders: Folders) -> Source:
    """A source from images of one size and one kind: grey with 8 bits or more, or colour (RGB). See `pixels`.

    Raises:
        InputError: the images differ, or one cannot be read.
    """
    first_file = folders.all_files[0]
    first = read_image(first_file, pixels)

    def read(file: Path) -> Array:
        image = read_image(file, pixels)
        if (image.shape, image.dtype) != (first.shape, first.dtype):
            height, width = _most_common_size(folders.all_files)
            raise InputError(
                f"{file} has shape {image.shape} and type {image.dtype}, {first_file} {first.shape} and "
                f"{first.dtype}; give all images one size and kind, all grey or all in colour, or write reading: "
                f"{{size: {height}x{width}}} (height and width, here the most common ones) under task"
            )
        return image

    return folder_source(folders, folders.files, first.shape, first.dtype, read)


def folder_source(
    folders: Folders,
    files: Mapping[str, Sequence[Sequence[Path]]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    read: Callable[[Path], Array],
) -> Source:
    """The source of these files, each of which `read` turns into an array of the given shape and type."""

    def part(by_class: Sequence[Sequence[Path]]) -> Part:
        files = [file for each in by_class for file in each]
        labels = np.repeat(np.array(folders.classes), [len(each) for each in by_class])
        step = rows_in_chunk((0, *shape), dtype)

        def chunks() -> Iterator[tuple[Array, Array]]:
            for start in range(0, len(files), step):
                yield np.stack([read(file) for file in files[start : start + step]]), labels[start : start + step]

        return Part((len(files), *shape), dtype, chunks, "channels_last" if len(shape) == 3 else None)

    parts = {name: part(each) for name, each in files.items()}
    return Source(folders.folder.name, parts, fingerprint=folders.fingerprint)


def read_image(file: Path, values: Callable[[str, Image], Array]) -> Array:
    """What `values` makes of the name and the image of a file."""
    with readable(file), opened(file) as image:
        return values(str(file), image)


def pixels(name: str, image: Image) -> Array:
    """The values of an image, turned upright by its EXIF data: (height, width), or (height, width, 3) for colour.

    Grey of 8 bits, and black and white, become uint8 from 0 to 255. Grey of 16 or 32 bits and floats keep their values.
    All colour images become RGB, uint8. An alpha channel that is opaque everywhere is left out.

    Raises:
        InputError: the image is partly transparent, has several frames, or has colours of more than 8 bits, which
            Pillow cuts to 8.
    """
    if image.mode not in _AS_THEY_ARE and _has_deep_colours(image):
        raise InputError(
            f"{name} has colours of 16 bits a channel, of which Pillow reads 8; save it with 8 bits a channel, or give "
            "arrays in an .npz file"
        )
    given = upright(name, image)
    if given.mode in _AS_THEY_ARE:
        values = np.asarray(given)
        return values.astype(values.dtype.newbyteorder("="))
    grey = given.mode in ("1", "L", "LA")
    if given.has_transparency_data:
        given = given.convert("RGBA")
        if np.asarray(given.getchannel("A")).min(initial=255) < 255:
            raise InputError(
                f"{name} is partly transparent; paste it on a background and save it without alpha, or give arrays "
                "with four channels in an .npz file"
            )
    return np.asarray(given.convert("L" if grey else "RGB"))


def _most_common_size(files: Sequence[Path]) -> tuple[int, int]:
    """The most common height and width of the images that can be opened."""
    sizes: Counter[tuple[int, int]] = Counter()
    for file in files:
        with suppress(InputError), opened(file) as image:
            sizes[upright_size(image)] += 1
    return sizes.most_common(1)[0][0]


def _has_deep_colours(image: Image) -> bool:
    """Whether the file holds more bits than its mode. Pillow's decoder then has a raw mode like RGB;16B."""
    tiles: Any = getattr(image, "tile", ())
    return any(re.search("(?<!BGR);16", str(told)) for _, _, _, told in tiles)  # BGR;16 has 5 or 6 bits a channel


def _classes(root: Path, endings: Sequence[str]) -> list[str]:
    return [each.name for each in listed(root) if _files(each, endings)]


def _is_text(name: str) -> bool:
    """Whether the name of a file is UTF-8, regardless of the encoding of this machine."""
    try:
        os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return [each for each in listed(folder) if each.suffix.lower() in endings or (not endings and each.is_file())]
