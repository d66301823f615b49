"""A small task of each kind, for the contract that a search of any task keeps: at most 96 rows each."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from torch import Tensor

from autokd.heads import Classes, Labels, Positions, Values, apart, by_head, flat, heads_of
from autokd.study.reading import OwnReading
from autokd.study.task import TaskSection
from autokd.tasks import (
    ArrayTask,
    Augmentation,
    PhotoTask,
    TableTask,
    TextTask,
    from_arrays,
    from_frame,
    from_texts,
    open_task,
)
from autokd.tasks.arrays import array_part
from autokd.tasks.own_reading import OwnTask, assemble_own
from autokd.tasks.sources import Source, in_memory
from autokd.tasks.stored import StoredTask
from autokd.testing.tiny_task import TinyTask
from autokd.types import Head, Task

ROWS = 96
CUTS = {"train": 40, "transfer": 20, "validation": 16, "test": 12, "reserve": 8}


def features() -> ArrayTask:
    """Four classes of five features."""
    x, hidden = _points(5)
    return from_arrays(x.numpy(), (hidden[:, 0] > 0).long().numpy() + 2 * (hidden[:, 1] > 0).long().numpy())


def images() -> ArrayTask:
    """Two classes of 6x6 images of whole numbers."""
    _, hidden = _points(5)
    classes = (hidden[:, 0] > 0).long()
    x = (
        20 * torch.randn(ROWS, 1, 6, 6, generator=torch.Generator().manual_seed(1))
        + 90
        + 60 * classes[:, None, None, None]
    )
    return from_arrays(x.clamp(0, 255).to(torch.uint8).numpy(), classes.numpy())


def photos() -> PhotoTask:
    """Two classes of photos of several sizes and kinds, of which students see 6x6 or 8x8 pixels."""
    from PIL import Image

    folder = Path(tempfile.mkdtemp()) / "photos"
    random = np.random.default_rng(0)
    for row in range(ROWS):
        kind, low = ("bright", 90) if row % 2 else ("dark", 0)
        values = random.integers(low, low + 160, (7 + row % 5, 9, 3), dtype=np.uint8)
        file = folder / kind / f"{row:02}.{'bmp' if row % 3 else 'png'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).convert("RGB" if row % 4 else "L").save(file)
    task = open_task({"data": str(folder), "reading": {"size": [6, 8]}}, seed=0, folder=folder.parent / "task")
    assert isinstance(task, PhotoTask)
    return task


def labels() -> ArrayTask:
    """Three labels that may hold together, some of which are not known."""
    x, hidden = _points(5)
    y = (hidden > 0).float()
    y[::7, 1] = torch.nan
    return _array_task("labels", x, {"": Labels(("red", "round", "ripe"))}, {"": y})


def values() -> ArrayTask:
    """Two values in units of their own, some of which are not known."""
    x, hidden = _points(5)
    y = hidden[:, :2] * torch.tensor([2.0, 30.0]) + torch.tensor([5.0, -100.0])
    y[::9, 0] = torch.nan
    known = y[: CUTS["train"]]
    centre, scale = known.nanmean(0), (known - known.nanmean(0)).square().nanmean(0).sqrt()
    head = Values(("speed", "height"), tuple(centre.tolist()), tuple(scale.tolist()))
    return _array_task("values", x, {"": head}, {"": y})


def positions() -> ArrayTask:
    """One of two classes at each of 3x3 places, some of which do not count."""
    x, hidden = _points(5)
    y = (hidden[:, :1] + torch.linspace(-1, 1, 9) > 0).long().reshape(ROWS, 3, 3)
    y[::5, 0, 0] = -100
    return _array_task("positions", x, {"": Positions(("sky", "sea"), (3, 3))}, {"": y})


def two_heads() -> ArrayTask:
    """A class, which is not always known, and a value."""
    x, hidden = _points(5)
    kind, size = (hidden[:, 0] > 0).long(), hidden[:, 1:2] * 3 + 1
    kind[::8] = -1
    heads = {"kind": Classes(("small", "large")), "size": Values(("size",), (1.0,), (3.0,))}
    return _array_task("two heads", x, heads, {"kind": kind, "size": size})


def table() -> ArrayTask:
    """Two classes from a number, a number with gaps, and a category."""
    x, hidden = _points(5)
    frame = pandas.DataFrame(
        {
            "age": x[:, 0].numpy(),
            "height": np.where(np.arange(ROWS) % 6 == 0, np.nan, x[:, 1].numpy()),
            "town": np.where(x[:, 2].numpy() > 0, "Ghent", "Bruges"),
            "answer": np.where(hidden[:, 0].numpy() > 0, "yes", "no"),
        }
    )
    return from_frame(frame, target="answer")


def texts() -> TextTask:
    """Two classes of sentences of different lengths, one of which has no word."""
    _, hidden = _points(5)
    words = {True: ["fine", "good", "lovely"], False: ["awful", "bad", "dull"]}
    rows = [
        " ".join(["the film is", *(words[bool(points[0] > 0)][(row + step) % 3] for step in range(1 + row % 5))])
        for row, points in enumerate(hidden)
    ]
    answers = ["yes" if points[0] > 0 else "no" for points in hidden]
    return from_texts(["", *rows[1:]], answers, reading={"length": [4, 8], "vocabulary": [40, 60]})


def views() -> TableTask:
    """The rows of `table`, of which students see the number with gaps and the category only."""
    return table().seen_through({"columns": ["height", "town"]})


class Whitened:
    """A reading of somebody's own: centred features, and their products in pairs."""

    def fit(self, rows: Any) -> Any:
        """The mean of each feature."""
        return rows.mean(axis=0).tolist()

    def batch(self, rows: Any, state: Any) -> Any:
        """The features and their products."""
        centred = rows - np.array(state)
        return np.concatenate([centred, centred * np.roll(centred, 1, axis=1)], axis=1)


def own_reading() -> OwnTask:
    """Two classes of five features, which code reads."""
    x, hidden = _points(5)
    source = Source("own reading", {"train": array_part("rows", x.numpy(), (hidden[:, 0] > 0).long().numpy())})
    how = OwnReading(reading=f"{Path(__file__).absolute()}:Whitened")
    return assemble_own(source, TaskSection(data="own reading"), how, seed=0, into=in_memory)


def own(features: int = 6) -> TinyTask:
    """A task that somebody wrote: no file can hold it, and it has a loss and a score of its own."""
    return TinyTask(input_shape=(features,), num_outputs=3)


def answers(task: Task) -> Tensor:
    """What a good teacher answers to all rows: right answers in the user's unit, with some noise."""
    heads, noise = heads_of(task), torch.Generator().manual_seed(2)
    wanted = by_head(task.targets(torch.arange(task.num_rows)), heads)
    right = {name: head.in_units(_right(head, wanted[name])) for name, head in heads.items()}
    exact = flat(right, heads) if len(heads) > 1 else right[next(iter(heads))].flatten(1)
    return exact + 0.1 * torch.randn(exact.shape, generator=noise)


def read(task: Task, outputs: Tensor) -> dict[str, Tensor]:
    """Outputs by head, as an exported student gives them: in the user's unit."""
    heads = heads_of(task)
    return {name: heads[name].in_units(part) for name, part in apart(outputs, heads).items()}


def raw(task: Task, rows: Tensor) -> Any:
    """The raw rows of a task; those of a task that has none are its inputs."""
    whole: Any = task
    if isinstance(task, PhotoTask):
        return [str(task.originals.paths[row]) for row in rows.tolist()]
    return whole.raw(rows) if isinstance(task, StoredTask) else task.inputs(rows)


def _right(head: Head, targets: Tensor) -> Tensor:
    known = head.known(targets)
    found = torch.zeros(len(targets), *head.shape)
    found[known] = torch.nan_to_num(head.right(targets[known])).clamp(-4, 4)
    return found


def _points(width: int) -> tuple[Tensor, Tensor]:
    """Inputs, and the three hidden numbers that decide the targets."""
    x = torch.randn(ROWS, width, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3] + 0.1 * x[:, 3:4]


def _array_task(name: str, x: Tensor, heads: Mapping[str, Head], y: Mapping[str, Tensor]) -> ArrayTask:
    parts = dict(zip(CUTS, torch.arange(ROWS).split([*CUTS.values()]), strict=True))
    content = b"".join(each.numpy().tobytes() for each in [x, *y.values()])
    return ArrayTask(
        name=name,
        x=x.numpy(),
        y=next(iter(y.values())) if len(y) == 1 else dict(y),
        splits=parts,
        shift=(0.0,) * x.shape[1],
        divisor=(1.0,) * x.shape[1],
        augmentation=Augmentation(),
        digest=sha256(content + repr(heads).encode()).hexdigest(),
        own_heads=heads,
    )
