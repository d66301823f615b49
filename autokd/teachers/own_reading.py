"""How networks of timm and torchvision see photos, as these packages themselves say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from torch import nn

from autokd.errors import FOREIGN, InputError, named
from autokd.teachers.networks import extra
from autokd.types import Task

_FITS = {"center": "crop", "squash": "stretch", "border": "pad"}
"""What timm calls its ways of bringing an image to a size, and what they are called here."""

_LOG = logging.getLogger("autokd")


def timm_reading(network: nn.Module) -> dict[str, Any]:
    """How a network of timm sees photos, as the settings that a task of photos is seen through."""
    given = extra("timm").data.resolve_data_config({}, model=network)
    channels, height, width = given["input_size"]
    return {
        "size": f"{height}x{width}",
        "fit": _FITS.get(given.get("crop_mode") or "center", "crop"),
        "keep": min(1.0, float(given["crop_pct"])),
        "channels": int(channels),
        "normalise": _moments(given["mean"], given["std"], channels),
    }


def torchvision_reading(name: str) -> dict[str, Any]:
    """How a network of torchvision sees photos, as the settings that a task of photos is seen through."""
    given = extra("torchvision").models.get_model_weights(name).DEFAULT.transforms()
    (side, *_), (shorter, *_) = given.crop_size, given.resize_size
    return {
        "size": int(side),
        "fit": "crop",
        "keep": min(1.0, side / shorter),
        "channels": 3,
        "normalise": _moments(given.mean, given.std, 3),
    }


def as_package_says(name: str, package: str, reading: Callable[[], dict[str, Any]], task: Task) -> Task:
    """A task of photos as a network sees it that a package knows by name.

    Args:
        name: the name of the network.
        package: the name of the package.
        reading: gives the settings that the package knows.
        task: the task whose rows the network answers; the files of its photos are known.

    Raises:
        InputError: the package does not say how the network sees photos, or the photos cannot be seen so.
    """
    see: Any = getattr(task, "seen_through", None)
    instead = "write what it sees under its key reading, as in reading: {size: 224}"
    try:
        settings = reading()
    except FOREIGN as error:
        raise InputError(
            f"teacher: {package} does not say how '{name}' sees photos ({named(error)}); {instead}"
        ) from error
    shown = _shown(settings)
    try:
        seen: Task = see(settings)
    except InputError as error:
        raise InputError(f"teacher '{name}' sees photos as {package} says, {shown}: {error}") from None
    _LOG.info(
        "The teacher, %s, sees photos as %s says: %s. They are resized by a bicubic filter. Where this is wrong, %s.",
        name,
        package,
        shown,
        instead,
    )
    return seen


def _moments(mean: Any, std: Any, channels: int) -> dict[str, list[float]]:
    """Mean and deviation of each channel."""
    return {key: [float(each) for each in given][:channels] for key, given in (("mean", mean), ("std", std))}


def _shown(settings: dict[str, Any]) -> str:
    """The settings in words."""
    moments = {key: ", ".join(f"{each:g}" for each in given) for key, given in settings["normalise"].items()}
    kept = f" of the middle {settings['keep']:.3g} of each side" if settings["keep"] < 1 else ""
    height, _, width = str(settings["size"]).partition("x")
    return (
        f"{height}x{width or height} pixels (fit: {settings['fit']}{kept}), mean {moments['mean']}, "
        f"deviation {moments['std']}"
    )
