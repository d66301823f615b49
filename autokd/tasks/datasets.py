"""Reads torch Datasets, which give one (input, label) at a time: named by reference, given, or from torchvision."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autokd.errors import FOREIGN, InputError, named, nearest, said
from autokd.readings.photos import is_image
from autokd.registry import resolve, sources_of
from autokd.tasks.arrays import inputs_of, labels_of
from autokd.tasks.labels import one_a_row
from autokd.tasks.layout import Layout
from autokd.tasks.sources import Array, Part, Source, rows_in_chunk
from autokd.tasks.targets import Asked

PARTS = ("train", "validation", "test")


def referenced(reference: str, args: Mapping[str, Any]) -> tuple[Any, str]:
    """The Dataset, the datasets by part, or the task that a reference names, and a digest of its code.

    Args:
        reference: names the object itself, or a function or class that makes it.
        args: keyword arguments for that function or class.

    Raises:
        InputError: nothing is found, the call fails, or what is found takes no arguments.
    """
    found = resolve("tasks", reference)
    if not callable(found) or _map_style(found):
        if args:
            raise InputError(
                f"task.args: '{reference}' is of type {type(found).__name__} and takes no arguments; leave args out, "
                "or name a function"
            )
        return found, _code(found)
    try:
        return found(**args), _code(found)
    except FOREIGN as error:
        given = f" with {', '.join(f'{name}={value!r}' for name, value in args.items())}" if args else ""
        raise InputError(
            f"task: calling '{reference}'{given} failed: {named(error)}; it must return a task, a torch Dataset or a "
            "DataFrame"
        ) from error


def dataset_source(name: str, given: object, *, code: str | None = None, asked: Asked = None) -> Source:
    """A source from a map-style Dataset of (input, label), or from a mapping of `train`, `validation`, `test` to them.

    Inputs may be tensors, arrays or Pillow images of one shape. Labels may be numbers, texts or one-hot, or None for a
    row without a label. Samples are read once, in order, so random transforms are frozen at their results then.

    Args:
        name: the name of the data in tables.
        given: the dataset or datasets.
        code: the digest of its code. The fingerprint covers this digest, the lengths, all labels, and the first and
            last samples. Without it there is no fingerprint.
        asked: what the key `heads` says of the targets.

    Raises:
        InputError: it is not such a dataset, or a sample is not (input, label).
    """
    datasets: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"train": given}
    if "train" not in datasets or not set(datasets) <= set(PARTS):
        raise InputError(
            f"'{name}' gives datasets named {', '.join(map(str, datasets)) or 'nothing'}; name them train, and perhaps "
            "validation and test"
        )
    parts = {part: _part(f"{name}, {part}", datasets[part], asked) for part in PARTS if part in datasets}
    digest = hashlib.sha256((code or "").encode())
    for part in parts if code is not None else ():
        length = len(datasets[part])
        digest.update(f"{part}\0{length}\0".encode())
        for index in (0, length - 1) if length else ():
            where = f"{name}, {part}"
            x, y = _arrays(where, index, _sample(where, datasets[part], index))
            digest.update(x.tobytes() + (str(y).encode() if y.dtype == object else y.tobytes()))
        digest.update(repr(_labels(f"{name}, {part}", datasets[part])).encode())
    class_names = tuple(str(each) for each in getattr(datasets["train"], "classes", ()))
    return Source(name, parts, class_names, digest.hexdigest() if code is not None else "")


def torchvision_source(name: str, *, root: Path) -> Source:
    """A torchvision data set by its class name. It is read from `root`, and first downloaded there if it is absent.

    Raises:
        InputError: torchvision is missing or broken, has no such data set, or cannot get it.
    """
    try:
        known: dict[str, Any] = vars(importlib.import_module("torchvision.datasets"))
    except Exception as error:  # a torchvision built for another torch raises RuntimeError at import
        reason = "is missing" if isinstance(error, ModuleNotFoundError) else f"cannot be imported: {said(error)}"
        raise InputError(
            f"task.data: torchvision {reason}; run: pip install 'autokd[torchvision]', or save the data as .npz"
        ) from None
    maker: Any = known.get(name)
    if not isinstance(maker, type):
        names = [key for key, value in known.items() if inspect.isclass(value)]
        raise InputError(f"task.data: torchvision has no data set '{name}'{nearest(name, names)}")
    parameters = inspect.signature(maker).parameters
    if "train" in parameters:
        choices: dict[str, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
    elif "split" in parameters:
        choices = {"train": {"split": "train"}, "test": {"split": "test"}}
    else:
        raise InputError(
            f"task.data: torchvision's {name} has no train and test; write a function that returns the datasets, "
            "and name it as file.py:function"
        )
    download = {"download": True} if "download" in parameters else {}
    try:
        made = {part: maker(root=str(root), **choice, **download) for part, choice in choices.items()}
    except Exception as error:
        raise InputError(f"task.data: torchvision's {name} in {root}: {named(error)}") from error
    return dataset_source(name.lower(), made, code=_code(maker))


def _code(found: object) -> str:
    return hashlib.sha256(repr(sorted(sources_of(found, code_only=True).items())).encode()).hexdigest()


def _labels(name: str, dataset: Any) -> list[Any]:
    """All labels: the attribute `targets`, as in torchvision, if it fits; else the labels of all samples."""

    def label(index: int) -> Any:
        return _arrays(name, index, _sample(name, dataset, index))[1].tolist()

    targets = getattr(dataset, "targets", None)
    if targets is not None and len(targets) == len(dataset):
        listed: list[Any] = np.asarray(targets).tolist()
        if [listed[0], listed[-1]] == [label(0), label(len(dataset) - 1)]:
            return listed
    return [label(index) for index in range(len(dataset))]


def _map_style(found: object) -> bool:
    return hasattr(found, "__getitem__") and hasattr(found, "__len__") and not inspect.isclass(found)


def _part(name: str, dataset: Any, asked: Asked) -> Part:
    if not _map_style(dataset):
        raise InputError(
            f"'{name}' is of type {type(dataset).__name__}; give a map-style torch Dataset (with __len__ and "
            "__getitem__) of (input, label), or a function returning one"
        )
    if len(dataset) == 0:
        raise InputError(f"'{name}' has no samples; give at least a few of each class")
    sample = _sample(name, dataset, 0)
    first, _ = _arrays(name, 0, sample)
    shape = (len(dataset), *first.shape)
    step = rows_in_chunk(shape, first.dtype)

    def chunks() -> Iterator[tuple[Array, Array]]:
        for start in range(0, shape[0], step):
            numbers = range(start, min(start + step, shape[0]))
            samples = [_arrays(name, i, _sample(name, dataset, i)) for i in numbers]
            for i, (x, _) in enumerate(samples, start):
                if x.shape != first.shape or x.dtype != first.dtype:
                    raise InputError(
                        f"'{name}' sample {i} is {x.shape} {x.dtype}, sample 0 is {first.shape} {first.dtype}; resize "
                        "all to one shape"
                    )
            yield np.stack([x for x, _ in samples]), _targets(name, start, [y for _, y in samples], asked)

    layout: Layout | None = "channels_last" if first.ndim == 3 and is_image(sample[0]) else None
    return Part(shape, first.dtype, chunks, layout)


def _sample(name: str, dataset: Any, index: int) -> tuple[Any, Any]:
    try:
        sample = dataset[index]
    except Exception as error:
        raise InputError(f"'{name}' sample {index} cannot be read: {named(error)}") from error
    if not isinstance(sample, (tuple, list)) or len(sample) != 2:
        raise InputError(f"'{name}' sample {index} is of type {type(sample).__name__}; give a pair (input, label)")
    return sample[0], sample[1]


def _arrays(name: str, index: int, sample: tuple[Any, Any]) -> tuple[Array, Array]:
    where = f"'{name}' sample {index}"
    x, y = inputs_of(where, sample[0]), labels_of(where, sample[1])
    return x if isinstance(x, np.ndarray) else x.toarray(), y


def _targets(name: str, start: int, targets: list[Array], asked: Asked) -> Array:
    """The targets of samples from number `start` on: single labels if nothing else was asked for."""
    if asked is None:
        return _one_a_row(name, start, targets)
    for i, y in enumerate(targets, start):
        if y.shape != targets[0].shape:
            raise InputError(f"'{name}' sample {i} has a target of shape {y.shape}, and others {targets[0].shape}")
    return np.stack(targets)


def _one_a_row(name: str, start: int, labels: list[Array]) -> Array:
    """The labels of samples from number `start` on: single labels, or one-hot labels of the same length."""
    for i, y in enumerate(labels, start):
        if y.ndim > 1 or y.shape != labels[0].shape:
            raise InputError(f"'{name}' sample {i} has a label of shape {y.shape}; give one class number or name")
    kinds = {y.dtype.kind for y in labels}
    rows = np.stack(labels) if len(kinds) == 1 else np.stack([y.astype(object) for y in labels])
    return one_a_row(f"'{name}' from sample {start}", len(rows), rows)
