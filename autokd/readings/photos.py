"""Reads photos: image files of any size and kind become arrays of one size, in grey or in RGB, of 8 bits a channel."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from autokd.errors import InputError, named, said
from autokd.files import open_file

if TYPE_CHECKING:
    from PIL.Image import Image

Fit = Literal["crop", "pad", "stretch"]

_OF_16_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_OF_32_BITS = ("I", "F")
GREY = ("1", "L", "LA", "La", *_OF_16_BITS, *_OF_32_BITS)
"""Modes of Pillow that hold grey images."""

_16_BITS_AS_32 = ("PNG", "PPM")
"""Formats whose grey images of 16 bits may have the mode I, which has 32 bits."""


@dataclass(frozen=True)
class Photos:
    """How an image becomes an array. The image is turned upright, put on the background, and resized once.

    Images are resized by Pillow's bicubic filter, which averages over all pixels where an image becomes smaller. An
    image of exactly the size keeps its pixels.

    Args:
        size: height and width in pixels.
        fit: what happens to an image of another shape: `crop` cuts off its borders, `pad` adds borders of the colour
            `background`, and `stretch` distorts it.
        background: red, green and blue of what is behind a transparent image and around a padded one, 0 .. 255.
        channels: 1 for grey or 3 for RGB.
        keep: the share of height and width, about the middle, that is left before an image is cropped, above 0 and at
            most 1. It counts for the fit `crop` only.
    """

    size: tuple[int, int]
    fit: Fit
    background: tuple[int, int, int]
    channels: int
    keep: float = 1.0

    def array(self, name: str, image: Image) -> NDArray[np.uint8]:
        """The pixels of an image, shape (height, width) if there is one channel, and else (height, width, 3).

        Raises:
            InputError: the image has several frames, grey values of 32 bits, or no pixels.
        """
        import PIL.Image

        if 0 in image.size:
            raise InputError(f"{name} has no pixels; mend or remove it")
        of_32_bits = image.mode in _OF_32_BITS and not (image.mode == "I" and image.format in _16_BITS_AS_32)
        if of_32_bits:
            raise InputError(
                f"{name} has grey values of 32 bits, of which no range is known; save it with 8 or 16 bits"
            )
        given = upright(name, image)
        if given.mode in (*_OF_16_BITS, "I"):
            deep, clear = np.asarray(given), given.info.get("transparency")
            given = PIL.Image.fromarray((deep >> 8).astype(np.uint8))
            if clear is not None:
                given.putalpha(PIL.Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8)))
        if given.has_transparency_data:
            given = given.convert("RGBA")
            given = PIL.Image.alpha_composite(PIL.Image.new("RGBA", given.size, (*self.background, 255)), given)
        return np.asarray(self._resized(given.convert("L" if self.channels == 1 else "RGB")))

    def batch(self, rows: Sequence[Any]) -> NDArray[np.uint8]:
        """The pixels of files and of Pillow's images, shape (rows, channels, height, width).

        Raises:
            InputError: a row is neither, a file cannot be read, or as for `array`.
        """
        found = np.empty((len(rows), *self.size, self.channels), np.uint8)
        for i, row in enumerate(rows):
            if is_image(row):
                with image_errors(name := f"row {i}"):
                    values = self.array(name, row)
            elif is_file_name(row):
                with opened(Path(row)) as image:
                    values = self.array(str(row), image)
            else:
                raise InputError(f"row {i} is of type {type(row).__name__}; give paths of images, or images of Pillow")
            found[i] = values.reshape(found[i].shape)
        return found.transpose(0, 3, 1, 2)

    def plain(self) -> dict[str, Any]:
        """These settings as plain data."""
        plain = {**asdict(self), "size": list(self.size), "background": list(self.background)}
        if self.keep == 1:  # so that readings of earlier versions stay as they were
            del plain["keep"]
        return plain

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Photos:
        """The settings that gave these plain data."""
        height, width = (int(each) for each in plain["size"])
        red, green, blue = (int(each) for each in plain["background"])
        keep = float(plain.get("keep", 1.0))
        if plain["fit"] not in get_args(Fit) or plain["channels"] not in (1, 3) or min(height, width) < 1:
            raise ValueError(f"photos of {plain['channels']} channels and size {height}x{width}, fit {plain['fit']!r}")
        if not 0 < keep <= 1:
            raise ValueError(f"photos of which the share {keep} is kept")
        return cls((height, width), plain["fit"], (red, green, blue), plain["channels"], keep)

    def _resized(self, image: Image) -> Image:
        import PIL.Image
        from PIL import ImageOps

        (height, width), bicubic = self.size, PIL.Image.Resampling.BICUBIC
        if self.fit == "stretch":
            return image.resize((width, height), bicubic)
        if self.fit == "crop":
            return ImageOps.fit(image, (width, height), bicubic, bleed=(1 - self.keep) / 2)
        scale = min(width / image.width, height / image.height)
        inner = max(1, round(scale * image.width)), max(1, round(scale * image.height))
        padded = PIL.Image.new("RGB", (width, height), self.background).convert(image.mode)
        padded.paste(image.resize(inner, bicubic), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return padded


@contextmanager
def opened(file: Path) -> Iterator[Image]:
    """An image of Pillow from a file. An error of the file, also while the image is used, becomes one line.

    Raises:
        InputError: the file is not there, is no image or is damaged, or Pillow is missing.
    """
    pillow_for(str(file))
    import PIL.Image

    with image_errors(str(file)), open_file(file) as stream, PIL.Image.open(stream) as image:
        yield image


@contextmanager
def image_errors(name: str) -> Iterator[None]:
    """Turns what Pillow raises for an image that it cannot read into one line. Pixels are read when they are used.

    Raises:
        InputError: the image cannot be read.
    """
    import PIL.Image

    try:
        yield
    except InputError:
        raise
    except PIL.UnidentifiedImageError:
        raise InputError(f"{name} cannot be read: Pillow finds no image in it; mend or remove it") from None
    except (OSError, SyntaxError, ValueError, EOFError, PIL.Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or said(error)
        raise InputError(f"{name} cannot be read: {reason}; mend or remove it") from None
    except (
        struct.error,
        zlib.error,
        LookupError,
        TypeError,
        RuntimeError,
    ) as error:  # decoders raise these on damaged files
        raise InputError(f"{name} cannot be read: it is damaged ({named(error)}); mend or remove it") from None


def pillow_for(what: str) -> None:
    """Refuses to go on without Pillow.

    Raises:
        InputError: Pillow is not installed.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise InputError(f"{what}: reading images needs Pillow; run: pip install 'autokd[images]'") from None


def upright(name: str, image: Image) -> Image:
    """The image as its EXIF data say that it is to be seen.

    Raises:
        InputError: the image has several frames, or its rows are not as the file holds them.
    """
    from PIL import ExifTags, ImageOps

    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # cameras write a preview beside a photo into this format
        raise InputError(f"{name} has {frames} frames; save the one that is meant as an image of its own")
    if image.info.get("compression") == "raw" and image.getexif().get(ExifTags.Base.Orientation, 1) > 4:
        raise InputError(
            f"{name} is an uncompressed TIFF that lies on its side, whose rows Pillow mixes up; save it upright"
        )
    return ImageOps.exif_transpose(image)


def upright_size(image: Image) -> tuple[int, int]:
    """Height and width of the image once it is upright. Its pixels are not read."""
    from PIL import ExifTags

    lies = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
    return image.size if lies else (image.height, image.width)


def is_image(given: object) -> bool:
    """Whether an object is an image of Pillow. Pillow itself is not imported."""
    return type(given).__module__.partition(".")[0] == "PIL"


def is_file_name(given: object) -> bool:
    """Whether an object may name a file."""
    return isinstance(given, str | os.PathLike)
