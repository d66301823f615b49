"""The script that writes images as photos of mixed sizes and kinds, for the study `photos`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from autokd.tasks import PhotoTask, open_task
from studies.cifar_photos import write


def archive(folder: Path) -> Path:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(120) % 2
    parts = {"x_train": images[:100], "y_train": labels[:100], "x_test": images[100:], "y_test": labels[100:]}
    np.savez(folder / "images.npz", classes=np.array(["cat", "dog"]), **parts)
    return folder / "images.npz"


def test_the_photos_have_mixed_sizes_and_kinds_and_keep_their_split(tmp_path: Path) -> None:
    assert write(str(archive(tmp_path)), str(tmp_path / "photos")) == 120
    kinds, sizes = Counter[tuple[str, str | None]](), set()
    for file in (tmp_path / "photos").rglob("*.*"):
        with Image.open(file) as image:
            kinds[image.mode, image.format] += 1
            sizes.add(image.size)
    assert set(kinds) == {(mode, kind) for mode in ("RGB", "L") for kind in ("PNG", "JPEG")} | {("P", "PNG")}
    assert min(min(size) for size in sizes) >= 28
    assert max(max(size) for size in sizes) <= 40
    assert len(sizes) > 20

    spec = {"data": str(tmp_path / "photos"), "reading": {"size": [8, 16]}}
    task = open_task(spec, seed=0, folder=tmp_path / "task")
    assert isinstance(task, PhotoTask)
    assert {name: len(rows) for name, rows in task.splits.items() if len(rows)} == {
        "train": 80,
        "validation": 20,
        "test": 20,
    }
    assert task.class_names == ("cat", "dog")


def test_the_same_archive_gives_the_same_photos(tmp_path: Path) -> None:
    given, written = archive(tmp_path), []
    for name in ("one", "other"):
        write(str(given), str(tmp_path / name))
        files = sorted((tmp_path / name).rglob("*.*"))
        written.append({str(file.relative_to(tmp_path / name)): file.read_bytes() for file in files})
    assert written[0] == written[1]
