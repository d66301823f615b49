"""Views: augmentations of image batches that depend on the seed, the row and the view only."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def augment(
    x: Tensor, rows: Tensor, view: int, *, seed: int, flip: bool, crop: int | float, cutout: int | float
) -> Tensor:
    """Images that are flipped, shifted and cut out depending on their row, the view and the seed; view 0 is `x` itself.

    The same row and view give the same image in any batch, order or process. Pixels that are shifted in or cut out are
    0, which is the mean if inputs are normalised by mean and deviation. Whole numbers are pixels. Fractions are of the
    height and of the width, and shift and cut the same parts of an image of any size, up to half a pixel.

    Args:
        x: normalised images on any device, shape (batch, channels, height, width).
        rows: the row number of each image, int64, shape (batch,), >= 0, on the CPU.
        view: the number of the view, >= 0.
        seed: the seed of the random numbers, >= 0.
        flip: whether to mirror left to right, with probability one half.
        crop: the largest shift up, down, left or right, in pixels or as a fraction. All shifts are equally likely, as
            if the image were padded by this much and cropped at random. 0 turns this off.
        cutout: the sides, in pixels or as a fraction, of what is cut out. Its centre is anywhere in the image, so that
            the border may cut it. 0 turns this off.

    Returns:
        a new tensor shaped like `x`, in channels_last memory format.

    Source: DeVries, Taylor (2017), https://arxiv.org/abs/1708.04552, section 3.2, for the cutout.
    """
    if view == 0:
        return x
    height, width = x.shape[2:]
    down, right, mirrored, centre_y, centre_x = _random_numbers(rows, view, seed, count=5)

    # The source of each pixel of the result, by row and by column. Outside of the image there are zeros.
    from_y = torch.arange(height) + _shift(down, crop, height)[:, None]
    from_x = torch.arange(width) + _shift(right, crop, width)[:, None]
    if flip:
        from_x = torch.where(_below(mirrored, 2)[:, None] == 1, width - 1 - from_x, from_x)
    kept = _within(from_y, 0, height)[:, :, None] & _within(from_x, 0, width)[:, None, :]
    if cutout:
        hole_y, hole_x = _hole(centre_y, cutout, height), _hole(centre_x, cutout, width)
        kept &= ~(hole_y[:, :, None] & hole_x[:, None, :])

    from_y, from_x, kept = (each.to(x.device) for each in (from_y, from_x, kept))
    pixels = x.permute(0, 2, 3, 1).reshape(len(x) * height * width, x.shape[1])
    image = torch.arange(len(x), device=x.device)[:, None, None] * (height * width)
    index = image + from_y.clamp(0, height - 1)[:, :, None] * width + from_x.clamp(0, width - 1)[:, None, :]
    moved = pixels.index_select(0, index.flatten()).masked_fill(~kept.reshape(-1, 1), 0.0)
    return moved.view(len(x), height, width, x.shape[1]).permute(0, 3, 1, 2)


def _shift(random: NDArray[np.uint64], crop: int | float, side: int) -> Tensor:
    """By how many pixels each image is shifted, shape (batch,)."""
    if isinstance(crop, int):
        return _below(random, 2 * crop + 1) - crop
    return ((2 * _uniform(random) - 1) * crop * side).round().long()


def _hole(random: NDArray[np.uint64], cutout: int | float, side: int) -> Tensor:
    """The places along a side that are cut out of each image, bool, shape (batch, side)."""
    if isinstance(cutout, int):
        start = _below(random, side)[:, None] - cutout // 2
        return _within(torch.arange(side) - start, 0, cutout)
    centre, half = _uniform(random)[:, None] * side, cutout * side / 2
    places = torch.arange(side) + 0.5
    return (places >= centre - half) & (places < centre + half)


def _random_numbers(rows: Tensor, view: int, seed: int, *, count: int) -> NDArray[np.uint64]:
    """`count` independent 64-bit numbers for each row, shape (count, batch): a counter mixed by SplitMix64's mixer.

    Source: Steele, Lea, Flood (2014), https://doi.org/10.1145/2714064.2660195, figure 17.
    """
    state = np.zeros((count, len(rows)), np.uint64)
    for key in (np.array([[seed]]), np.array([[view]]), rows.numpy()[None], np.arange(count)[:, None]):
        state = _mix(state + _GOLDEN * (key.astype(np.uint64) + np.uint64(1)))
    return state


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _below(random: NDArray[np.uint64], limit: int) -> Tensor:
    """Whole numbers 0 .. limit - 1, equally likely (to 1 in 2**40)."""
    return torch.from_numpy((random % np.uint64(limit)).astype(np.int64))


def _uniform(random: NDArray[np.uint64]) -> Tensor:
    """Numbers from 0 to 1, equally likely."""
    return torch.from_numpy(random / 2.0**64)


def _within(position: Tensor, low: int, high: int) -> Tensor:
    return (position >= low) & (position < high)
