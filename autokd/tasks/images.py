"""Reads images in folders by class: upright and with all their bits. Other images are refused with a reason."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autokd.errors import InputError, said
from autokd.tasks.files import PARTS, listed, readable, stamp
from autokd.tasks.sources import Array, Part, Source, rows_in_chunk

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

_AS_THEY_ARE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of Pillow with one number of more than 8 bits for each pixel."""


def images(folder: Path) -> Source:
    """A source from images in folders class/name.png, which may be under train/, validation/ and test/.

    Classes are in order of their names. All images must have one size and one kind: grey with 8 bits or more, or colour
    (RGB). See `pixels`. Hidden files and folders are skipped. This needs Pillow.

    Raises:
        InputError: there are no images, they differ, one cannot be read, or Pillow is missing.
    """
    try:
        import PIL.Image
    except ImportError:
        raise InputError(f"{folder}: reading images needs Pillow; run: pip install 'autokd[images]'") from None
    with readable(folder):
        named = {part: [folder / name for name in names if (folder / name).is_dir()] for part, names in PARTS.items()}
        roots = {part: found[0] for part, found in named.items() if found} if named["train"] else {"train": folder}
        classes = _class_folders(roots["train"])
        for name in classes:
            if not _is_text(name):
                raise InputError(
                    f"{roots['train']} has the class {name!r}, which is no text in UTF-8; rename the folder"
                )
        for root in roots.values():
            if unknown := sorted(set(_class_folders(root)) - set(classes)):
                raise InputError(
                    f"{root} has the class '{unknown[0]}', which {roots['train']} lacks; give it there too"
                )
        found = {part: [_image_files(root / each) for each in classes] for part, root in roots.items()}
    if not classes:
        packed = next((each for each in listed(folder) if each.suffix == ".npz"), None)
        instead = f"name {packed}, which lies there" if packed else "put the images so"
        raise InputError(f"{folder} has neither images in folders class/name.png nor idx files; {instead}")
    first_file = found["train"][0][0]

    def read(file: Path) -> Array:
        try:
            with readable(file), PIL.Image.open(file) as image:
                return pixels(str(file), image)
        except (SyntaxError, PIL.Image.DecompressionBombError) as error:
            raise InputError(f"{file} cannot be read: {said(error)}; mend or remove it") from None

    first = read(first_file)

    def part(by_class: list[list[Path]]) -> Part:
        files = [file for each in by_class for file in each]
        labels = np.repeat(np.array(classes), [len(each) for each in by_class])
        step = rows_in_chunk((0, *first.shape), first.dtype)

        def chunks() -> Iterator[tuple[Array, Array]]:
            for start in range(0, len(files), step):
                read_ones = [read(file) for file in files[start : start + step]]
                for file, image in zip(files[start:], read_ones, strict=False):
                    if (image.shape, image.dtype) != (first.shape, first.dtype):
                        raise InputError(
                            f"{file} has shape {image.shape} and type {image.dtype}, {first_file} {first.shape} and "
                            f"{first.dtype}; give all images one size and kind, all grey or all in colour"
                        )
                yield np.stack(read_ones), labels[start : start + step]

        return Part((len(files), *first.shape), first.dtype, chunks, "channels_last" if first.ndim == 3 else None)

    fingerprint = stamp([file for by_class in found.values() for each in by_class for file in each])
    return Source(folder.name, {name: part(each) for name, each in found.items()}, fingerprint=fingerprint)


def pixels(name: str, image: Image) -> Array:
    """The values of an image, turned upright by its EXIF data: (height, width), or (height, width, 3) for colour.

    Grey of 8 bits, and black and white, become uint8 from 0 to 255. Grey of 16 or 32 bits and floats keep their values.
    All colour images become RGB, uint8. An alpha channel that is opaque everywhere is left out.

    Raises:
        InputError: the image is partly transparent, has several frames, or has colours of more than 8 bits, which
            Pillow cuts to 8.
    """
    from PIL import ExifTags, ImageOps

    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # cameras write a preview beside a photo into this format
        raise InputError(f"{name} has {frames} frames; save the one that is meant as an image of its own")
    if image.mode not in _AS_THEY_ARE and _has_deep_colours(image):
        raise InputError(
            f"{name} has colours of 16 bits a channel, of which Pillow reads 8; save it with 8 bits a channel, or give "
            "arrays in an .npz file"
        )
    if image.info.get("compression") == "raw" and image.getexif().get(ExifTags.Base.Orientation, 1) > 4:
        raise InputError(
            f"{name} is an uncompressed TIFF that lies on its side, whose rows Pillow mixes up; save it upright"
        )
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _AS_THEY_ARE:
        values = np.asarray(upright)
        return values.astype(values.dtype.newbyteorder("="))
    grey = upright.mode in ("1", "L", "LA")
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        if np.asarray(upright.getchannel("A")).min(initial=255) < 255:
            raise InputError(
                f"{name} is partly transparent; paste it on a background and save it without alpha, or give arrays "
                "with four channels in an .npz file"
            )
    return np.asarray(upright.convert("L" if grey else "RGB"))


def _has_deep_colours(image: Image) -> bool:
    """Whether the file holds more bits than its mode. Pillow's decoder then has a raw mode like RGB;16B."""
    tiles: Any = getattr(image, "tile", ())
    return any(re.search("(?<!BGR);16", str(told)) for _, _, _, told in tiles)  # BGR;16 has 5 or 6 bits a channel


def _class_folders(root: Path) -> list[str]:
    return [each.name for each in listed(root) if _image_files(each)]


def _is_text(name: str) -> bool:
    """Whether the name of a file is UTF-8, regardless of the encoding of this machine."""
    try:
        os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [each for each in listed(folder) if each.suffix.lower() in ENDINGS]
