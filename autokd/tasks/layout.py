"""Decides which dimension of an array of images counts the channels: it is known, asked for, or seen in the shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from autokd.errors import InputError

Layout = Literal["channels_first", "channels_last"]

_OF_IMAGES = (1, 3, 4)
"""How many channels images have: grey, colour, colour and alpha. Feature maps may have any number of channels."""


def layout_of(name: str, shape: Sequence[int], asked: Layout | None) -> Layout | None:
    """The layout of an array of this shape; None if it does not have 4 dimensions, and so has no channels to lay out.

    If no layout is asked for, a shape (rows, a, b, c) is read as follows. Two sizes may be the sides of an image if the
    longer is less than four times the shorter.

    - If c is 1, 3 or 4 and a is not: channels last, as in (rows, 28, 28, 1) and (rows, 240, 320, 3). If b and c may be
      the sides of an image, the data may also be feature maps, as in (rows, 16, 4, 4), (rows, 16, 8, 4) and
      (rows, 64, 1, 1), and the shape is refused.
    - If a and c are both 1, 3 or 4: channels first if only b and c may be the sides of an image, as in (rows, 1, 4, 4).
      Any other shape, such as (rows, 3, 4, 4) and (rows, 1, 100, 3), is refused.
    - If c is none of these: channels first, as in (rows, 3, 32, 32), (rows, 1, 8, 8) and (rows, 64, 5, 5). If only a
      and b may be the sides of an image, the data may have many channels, as in (rows, 64, 64, 12), and the shape is
      refused.

    Raises:
        InputError: the shape allows both readings, or a layout is asked for where there are no channels to lay out.
    """
    if len(shape) != 4:
        if asked is not None:
            raise InputError(
                f"task.layout: {asked} is for images of shape (rows, a, b, c), and {name} inputs have shape "
                f"{tuple(shape)}; leave it out"
            )
        return None
    if asked is not None:
        return asked
    _, a, b, c = shape
    first, last = _may_be_sides(b, c), _may_be_sides(a, b)
    likely: Layout | None
    if a in _OF_IMAGES:
        likely = "channels_first" if c not in _OF_IMAGES or (first and not last) else None
    elif c in _OF_IMAGES:
        likely = None if first else "channels_last"
    else:
        likely = None if last and not first else "channels_first"
    if likely is None:
        raise InputError(
            f"{name} inputs have shape {tuple(shape)}, which may be {a} channel(s) of {b}x{c} pixels or {c} channel(s) "
            f"of {a}x{b} pixels; write layout: channels_first for the one, layout: channels_last for the other"
        )
    return likely


def _may_be_sides(height: int, width: int) -> bool:
    return max(height, width) < 4 * min(height, width)
