"""Writes images of an archive as photos in class folders: PNG and JPEG of mixed sizes, some grey, some with a palette.

    python studies/cifar_photos.py cifar10_lossless_5k.npz cifar_photos

The archive holds `x_train` and `x_test` of shape (rows, height, width, 3), `y_train`, `y_test` and the names `classes`.
The folder then holds train/CLASS/00000.png and test/CLASS/00000.jpg. Each image is enlarged to squares of 32 to 40
pixels, and then loses up to 4 pixels of its height and of its width, so that photos have sides of 28 to 40 pixels.
Nearly half of the photos are JPEG. A tenth is grey, and another tenth has a palette. The same archive always gives the
same photos.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDES = (32, 40)
CUT = 4


def photo(values: NDArray[np.uint8], random: np.random.Generator) -> tuple[Image.Image, str]:
    """An image as a photo of another size and kind, and the ending of its file."""
    side = int(random.integers(SIDES[0], SIDES[1] + 1))
    top, left, bottom, right = (int(each) for each in random.integers(0, CUT // 2 + 1, 4))
    kind, is_jpeg = random.random(), random.random() < 0.5
    image = Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)
    image = image.crop((left, top, side - right, side - bottom))
    if kind < 0.1:
        return image.convert("L"), "jpg" if is_jpeg else "png"
    if kind < 0.2:
        return image.quantize(256), "png"
    return image, "jpg" if is_jpeg else "png"


def write(archive: str, folder: str) -> int:
    """Writes the photos of all images of an archive, and gives their number."""
    random, written = np.random.default_rng(0), 0
    with np.load(archive) as arrays:
        given: dict[str, Any] = dict(arrays)
    for part in ("train", "test"):
        for i, (values, label) in enumerate(zip(given[f"x_{part}"], given[f"y_{part}"], strict=True)):
            image, ending = photo(values, random)
            file = Path(folder, part, str(given["classes"][label]), f"{i:05}.{ending}")
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file, quality=95)  # of JPEG; PNG has no quality
            written += 1
    return written


if __name__ == "__main__":
    print(f"{write(sys.argv[1], sys.argv[2]):,} photos are in {sys.argv[2]}.")
