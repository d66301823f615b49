"""Networks of timm and torchvision by name: their weights, the names of their classes, and their training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autokd.errors import InputError, said
from autokd.study.teacher import NamedSection, TimmSection, TorchvisionSection
from autokd.teachers.columns import for_classes
from autokd.teachers.networks import NetworkTeacher, extra, made
from autokd.teachers.own_reading import as_package_says, timm_reading, torchvision_reading
from autokd.teachers.through import Through, refuse_searched
from autokd.teachers.trained import Train, from_training
from autokd.teachers.weights import load_weights, network_digest
from autokd.types import Task, Teacher

_LOG = logging.getLogger("autokd")
_TALKATIVE = ("huggingface_hub", "timm")
"""Loggers that say on standard error how each try to fetch weights went; the error of the last one is enough."""

_INSTEAD = "; or write epochs: 2, and AutoKD trains the network for the classes of the task"


@dataclass(frozen=True)
class Named:
    """A network that a package knows by name.

    Args:
        package: the name of the package.
        name: the name of the network there.
        make: makes the network, with the package's own weights if its argument is true, and with so many outputs; with
            its own number of outputs if that is 0.
        put_layer: puts a new last layer of so many outputs on a network, in place.
        last_layers: the layers of a network that give its answer.
        classes: the names of the classes that the package's own weights tell apart; empty if they are not known.
        reading: how a network sees photos.
    """

    package: str
    name: str
    make: Callable[[bool, int], nn.Module]
    put_layer: Callable[[nn.Module, int], None]
    last_layers: Callable[[nn.Module], Sequence[nn.Module]]
    classes: Callable[[nn.Module], Sequence[str]]
    reading: Callable[[nn.Module], dict[str, Any]]


def by_name(spec: TimmSection | TorchvisionSection, task: Task, *, folder: Path, train: Train, seed: int) -> Teacher:
    """The network that timm or torchvision knows by that name, as a teacher that sees photos as its package says.

    If the section asks for epochs, the network gets a new last layer for the task, which is trained alone before the
    whole network is. If not, its columns are those of the task's classes, found by name where it has others.

    Args:
        spec: the section.
        task: the task whose rows the teacher answers.
        folder: keeps the weights of a network that is trained here.
        train: trains a network in place.
        seed: the seed of new layers.

    Raises:
        InputError: the package is not installed, knows no such name or has no weights for it, weights do not fit, a
            class of the task has no column, or the photos cannot be seen so.
    """
    sees_photos = spec.reading is None and getattr(task, "photos", None) is not None
    if isinstance(spec, TimmSection):
        those = _of_timm(spec.timm, channels=None if sees_photos else task.input_shape[0])
    else:
        those = _of_torchvision(spec.torchvision)
    network, own = _loaded(those, spec, task, seed)
    seen = as_package_says(those.name, those.package, partial(those.reading, network), task) if sees_photos else None
    if seen is None:
        refuse_searched(task)
    if spec.epochs:
        network = _trained(those, spec, network, seen or task, own=own, folder=folder, train=train, seed=seed)
    alone = NetworkTeacher(those.name, network_digest(network), network, standardised=spec.epochs > 0)
    names = those.classes(network) if own and not spec.epochs else ()
    teacher = for_classes(alone, task, names=names, chosen=spec.classes, instead=_INSTEAD)
    return teacher if seen is None else Through(teacher, seen)


def _of_timm(name: str, *, channels: int | None) -> Named:
    """A network of timm; for inputs of so many channels, if these are not 3."""
    timm = extra("timm")

    def make(pretrained: bool, outputs: int) -> nn.Module:
        given = {"num_classes": outputs} if outputs else {}
        if channels not in (None, 3):
            given["in_chans"] = channels
        with _quiet():
            network: nn.Module = timm.create_model(name, pretrained=pretrained, **given)
        return network

    def put_layer(network: Any, outputs: int) -> None:
        network.reset_classifier(outputs)

    def last_layers(network: Any) -> Sequence[nn.Module]:
        given = network.get_classifier()
        return [given] if isinstance(given, nn.Module) else [*given]

    def classes(network: Any) -> Sequence[str]:
        """Names from the network's configuration, or those of ImageNet, whose subsets differ in their size."""
        if known := getattr(network, "pretrained_cfg", {}).get("label_names"):
            return [str(each) for each in known]
        if not getattr(network, "num_classes", 0) or not (subset := timm.data.infer_imagenet_subset(network)):
            return []
        info = timm.data.ImageNetInfo(subset)
        return [
            f"{words}, {synset}" for words, synset in zip(info.label_descriptions(), info.label_names(), strict=True)
        ]

    return Named("timm", name, make, put_layer, last_layers, classes, timm_reading)


def _of_torchvision(name: str) -> Named:
    models = extra("torchvision").models

    def make(pretrained: bool, outputs: int) -> nn.Module:
        given = {"num_classes": outputs} if outputs else {}
        network: nn.Module = models.get_model(name, weights=None, **given)
        if pretrained:
            # AutoKD fetches the weights itself, because torchvision's own way would unpickle whatever the file holds.
            url = models.get_model_weights(name).DEFAULT.url
            network.load_state_dict(
                torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
            )
        return network

    def put_layer(network: nn.Module, outputs: int) -> None:
        path, last = _last_layer(network)
        bias = last.bias is not None
        if isinstance(last, nn.Linear):
            network.set_submodule(path, nn.Linear(last.in_features, outputs, bias))
        else:
            network.set_submodule(path, nn.Conv2d(last.in_channels, outputs, 1, bias=bias))

    def classes(network: nn.Module) -> Sequence[str]:
        given: Sequence[str] = getattr(models.get_model_weights(name).DEFAULT, "meta", {}).get("categories", ())
        return given

    return Named(
        "torchvision",
        name,
        make,
        put_layer,
        lambda network: [_last_layer(network)[1]],
        classes,
        lambda _: torchvision_reading(name),
    )


def _last_layer(network: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    """The layer that gives the answer of a classifier of torchvision, where all of them register it last, and its path.

    Raises:
        InputError: the network has no such layer.
    """
    layers = [(path, each) for path, each in network.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)]
    if not layers or (not isinstance(layers[-1][1], nn.Linear) and layers[-1][1].kernel_size != (1, 1)):
        raise InputError(
            f"teacher: a {type(network).__name__} has no last layer that can be replaced; name a classifier, or "
            "leave out 'epochs'"
        )
    return layers[-1]


def _loaded(those: Named, spec: NamedSection, task: Task, seed: int) -> tuple[nn.Module, bool]:
    """The network with its weights, and whether its outputs are the classes of the package.

    Weights from a file may be for the task's number of classes or for the package's own.
    """
    shown = f"{those.package} '{those.name}'"

    def make(pretrained: bool, outputs: int) -> nn.Module:
        return made(shown, partial(those.make, pretrained, outputs), seed)

    if spec.weights is None and not spec.pretrained:
        return make(False, 0), True
    if spec.weights is None:
        _LOG.info("Opening the weights of %s; they are fetched if they are not on this machine yet.", shown)
        try:
            return make(True, 0), True
        except InputError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            raise InputError(
                f"teacher: the weights of {shown} cannot be fetched ({said(error.__cause__)}); fetch them once where "
                "there is a network, or name a file of them under teacher.weights"
            ) from error
    network = make(False, task.num_outputs)
    try:
        load_weights(network, Path(spec.weights))
    except InputError as error:
        network = make(False, 0)
        try:
            load_weights(network, Path(spec.weights))
        except InputError:
            raise error from None
        return network, True
    return network, False


def _trained(
    those: Named,
    spec: NamedSection,
    network: nn.Module,
    task: Task,
    *,
    own: bool,
    folder: Path,
    train: Train,
    seed: int,
) -> nn.Module:
    """The network, trained on the task as the network sees it. It gets a new last layer if its classes are others."""

    def with_new_layer() -> nn.Module:
        those.put_layer(network, task.num_outputs)
        return network

    if own:
        network = made(f"the last layer of {those.package} '{those.name}'", with_new_layer, seed)
        knows = spec.pretrained or spec.weights is not None
        train = partial(train, new=those.last_layers(network) if knows else ())
    begun = {"network": network_digest(network)}
    return from_training(spec, network, task, begun=begun, folder=folder, train=train, seed=seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps packages from saying how each try to fetch weights went."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
