"""Writes the images of the study `shapes`: discs, squares and triangles on textures, with the class of each pixel.

    python studies/shapes.py shapes.npz

There are 1,600 images for training and 400 for testing, of 24x24 pixels in colour, drawn from a fixed seed. Each has
one or two shapes. The ground and each shape have stripes of a direction, width and colours of their own, so that no
colour and no single pixel tells what a pixel belongs to. `y_train` and `y_test` hold the class of each pixel.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

CLASSES = ("ground", "disc", "square", "triangle")
SIDE = 24


def images(count: int, generator: np.random.Generator) -> tuple[Any, Any]:
    """Images in uint8, shape (count, 3, 24, 24), and the class of each pixel, int64, shape (count, 24, 24)."""
    x, y = np.empty((count, 3, SIDE, SIDE), np.uint8), np.zeros((count, SIDE, SIDE), np.int64)
    for i in range(count):
        image = texture(generator)
        for _ in range(generator.integers(1, 3)):
            kind = int(generator.integers(1, len(CLASSES)))
            inside = shape(kind, generator)
            image = np.where(inside, texture(generator), image)
            y[i][inside] = kind
        x[i] = (image + generator.normal(0, 8, image.shape)).clip(0, 255)
    return x, y


def texture(generator: np.random.Generator) -> Any:
    """Stripes between two colours, shape (3, 24, 24)."""
    turn, period, phase = generator.uniform(0, np.pi), generator.uniform(3, 7), generator.uniform(0, 2 * np.pi)
    across = turned(turn, (0, 0))[0]
    share = 0.5 + 0.5 * np.sin(2 * np.pi * across / period + phase)
    first, second = generator.uniform(30, 225, (2, 3, 1, 1))
    return share * first + (1 - share) * second


def shape(kind: int, generator: np.random.Generator) -> Any:
    """The pixels of a shape of a random size, place and turn, bool, shape (24, 24)."""
    radius = generator.uniform(4.5, 8)
    u, v = turned(generator.uniform(0, 2 * np.pi), generator.uniform(radius * 0.7, SIDE - radius * 0.7, 2))
    if CLASSES[kind] == "disc":
        return u**2 + v**2 < radius**2
    if CLASSES[kind] == "square":
        return np.maximum(abs(u), abs(v)) < radius * 0.85
    corners = [u * np.cos(angle) + v * np.sin(angle) for angle in 2 * np.pi * np.arange(3) / 3]
    return np.max(corners, axis=0) < radius * 0.6


def turned(angle: float, centre: Any) -> tuple[Any, Any]:
    """The two coordinates of each pixel around a centre, in axes that are turned by an angle."""
    down, right = np.mgrid[:SIDE, :SIDE] + 0.5
    down, right = down - centre[0], right - centre[1]
    return np.cos(angle) * right + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * right


def write(path: str) -> None:
    """Writes the arrays of all images into an .npz file."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in {"train": 1600, "test": 400}.items():
        arrays[f"x_{part}"], arrays[f"y_{part}"] = images(count, generator)
    np.savez_compressed(path, **arrays, classes=np.array(CLASSES))


if __name__ == "__main__":
    write(sys.argv[1])
