"""How networks of timm, torchvision and transformers see photos, as these packages or their checkpoints say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from autokd.errors import FOREIGN, InputError, named
from autokd.files import read_json
from autokd.teachers.networks import extra
from autokd.types import Task

_FITS = {"center": "crop", "squash": "stretch", "border": "pad"}
"""What timm calls its ways of bringing an image to a size, and what they are called here."""

_NOT_CUT_FROM = 384
"""The size from which ConvNeXt, whose files give `crop_pct`, sees whole images."""

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


def checkpoint_reading(file: Path, channels: int) -> dict[str, Any]:
    """How a network of transformers sees photos, as the settings that a task of photos is seen through.

    Args:
        file: the preprocessor_config.json of its checkpoint.
        channels: the channels of its inputs.
    """
    given = read_json(file)
    kept = given.get("crop_size") if given.get("do_center_crop") else None
    moments = (given["image_mean"], given["image_std"]) if given.get("do_normalize", True) else ([0.0], [1.0])
    mean, std = (each if len(each) == channels else [each[0]] * channels for each in moments)
    size = given["size"]
    shorter: Any = size.get("shortest_edge") if isinstance(size, dict) else size
    whole, share = isinstance(size, dict) and "height" in size, 1.0
    if kept is not None:
        side = kept if isinstance(kept, dict) else {"height": kept, "width": kept}
        share = min(1.0, side["height"] / (size["height"] if whole else shorter))
    elif whole:
        side = size
    else:
        side = {"height": shorter, "width": shorter}
        if "crop_pct" in given and shorter < _NOT_CUT_FROM:
            share, kept = float(given["crop_pct"]), side
    return {
        "size": f"{int(side['height'])}x{int(side['width'])}",
        "fit": "crop" if kept is not None else "stretch",
        "keep": share,
        "channels": channels,
        "normalise": _moments(mean, std, channels),
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
