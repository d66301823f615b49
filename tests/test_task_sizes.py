"""A task of photos is seen at several sizes, each of which is made once from the files, and not from another size."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import refused_search
from PIL import Image

from autokd.errors import InputError
from autokd.readings import reading_of
from autokd.tasks import ArrayTask, PhotoTask, load_task, open_task, save_task
from autokd.tasks.rows import all_labels, with_reserve

SIZES = (6, 9, "8x5")
AUGMENT = {"views": 3, "flip": True, "crop": 0.2}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos of two classes, of several sizes and kinds."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("photos") / "pets"
    for i in range(10):
        for kind in ("cat", "dog"):
            values = random.integers(0, 256, (10 + i, 14, 3), dtype=np.uint8)
            file = folder / kind / f"{i:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).convert("L" if i % 3 else "RGB").save(file)
    return folder


@pytest.fixture
def photos(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "pets"))


def opened(folder: Path, into: str = "task", *, size: Any = SIZES, seed: int = 0, **settings: Any) -> PhotoTask:
    reading = {"size": list(size) if isinstance(size, tuple) else size, **settings.pop("reading", {})}
    spec = {"data": str(folder), "reading": reading, **settings}
    task = open_task(spec, seed=seed, folder=folder.parent / into)
    assert isinstance(task, PhotoTask)
    return task


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.npy"))}


def unreadable(folder: Path) -> None:
    """Spoils the pixels of all photos, and leaves names, sizes and times of the files."""
    for file in folder.glob("*/*.png"):
        kept = file.stat()
        file.write_bytes(bytes(kept.st_size))
        os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))


def test_each_size_is_the_task_that_a_fixed_size_gives(photos: Path) -> None:
    task, rows = opened(photos, augment=AUGMENT), torch.arange(20)
    assert task.readings == {"size": SIZES}
    for size in SIZES:
        seen, fixed = task.seen_through({"size": size}), opened(photos, f"only {size}", size=size, augment=AUGMENT)
        assert type(seen) is ArrayTask
        assert (seen.input_shape, seen.shift, seen.divisor) == (fixed.input_shape, fixed.shift, fixed.divisor)
        for view in range(3):
            assert torch.equal(seen.inputs(rows, view), fixed.inputs(rows, view))
        assert torch.equal(seen.targets(rows), fixed.targets(rows))
        assert all(torch.equal(seen.splits[name], fixed.splits[name]) for name in seen.splits)
        assert seen.reading == fixed.reading == reading_of(fixed.reading.plain())


def test_the_digest_depends_on_the_files_and_settings_and_not_on_the_sizes(photos: Path) -> None:
    base = opened(photos)
    assert opened(photos, "fewer", size=(9,)).digest == base.digest
    assert opened(photos, "other order", size=SIZES[::-1]).digest == base.digest
    others = [
        opened(photos, "padded", reading={"fit": "pad"}),
        opened(photos, "on black", reading={"background": [0, 0, 0]}),
        opened(photos, "unit", normalise="unit"),
        opened(photos, "views", augment=AUGMENT),
        opened(photos, "labels", labels=6),
        opened(photos, "seed", seed=1),
        opened(photos, "fixed", size=9),
    ]
    image = Image.open(photos / "cat" / "00.png")
    image.putpixel((0, 0), (1, 2, 3))
    image.save(photos / "cat" / "00.png")
    others.append(opened(photos, "other pixel"))
    assert len({task.digest for task in [base, *others]}) == 1 + len(others)


def test_each_size_has_a_digest_that_is_the_same_in_each_process(photos: Path) -> None:
    base = opened(photos)
    digests = [base.seen_through({"size": size}).digest for size in SIZES]
    assert len({base.digest, *digests}) == 4
    assert [load_task(photos.parent / "task").seen_through({"size": size}).digest for size in SIZES] == digests  # type: ignore[attr-defined]
    assert [opened(photos, "again", size=SIZES[::-1]).seen_through({"size": size}).digest for size in SIZES] == digests


def test_a_worker_and_a_resumed_search_map_what_was_made(photos: Path) -> None:
    base = opened(photos)
    inputs = {size: base.seen_through({"size": size}).inputs(torch.arange(20)) for size in SIZES}
    unreadable(photos)
    for again in (load_task(photos.parent / "task"), opened(photos)):
        assert isinstance(again, PhotoTask)
        assert (again.digest, again.readings) == (base.digest, base.readings)
        for size in SIZES:
            seen = again.seen_through({"size": size})
            assert isinstance(seen.x, np.memmap)
            assert torch.equal(seen.inputs(torch.arange(20)), inputs[size])


def test_another_size_in_the_list_changes_no_byte_of_the_others(photos: Path) -> None:
    base = opened(photos, size=(6, 9))
    before = files_of(photos.parent / "task")
    wider = opened(photos, size=(4, 9, 6))
    assert (wider.digest, wider.readings) == (base.digest, {"size": (4, 9, 6)})
    after = files_of(photos.parent / "task")
    assert len(after) == len(before) + 1
    assert {name: after[name] for name in before} == before


def test_a_size_that_is_added_later_needs_the_files_as_they_were(photos: Path) -> None:
    opened(photos, size=(6, 9))
    before, file = files_of(photos.parent / "task"), photos / "dog" / "03.png"
    for path in photos.glob("*/*.png"):
        os.utime(path, (1, 1))
    loaded = load_task(photos.parent / "task")
    assert isinstance(loaded, PhotoTask)
    assert loaded.seen_through({"size": 3}).input_shape == (3, 3, 3)

    whole = file.read_bytes()
    Image.new("RGB", (9, 9)).save(file)
    with pytest.raises(InputError, match=r"^size: images of this size are made from .*dog/03.png is not the file that"):
        loaded.seen_through({"size": 4})
    file.unlink()
    with pytest.raises(InputError, match=r"^size: .* and .*dog/03.png cannot be read: No such file or directory"):
        loaded.seen_through({"size": 4})
    with pytest.raises(InputError, match="is not what it was; put it back or start in a new folder"):
        opened(photos, size=(6, 9, 4))
    file.write_bytes(whole)
    assert loaded.seen_through({"size": 9}).input_shape == (3, 9, 9)
    assert {name for name in files_of(photos.parent / "task") if "3x3" not in name} == set(before)


def test_a_fixed_size_and_a_list_of_sizes_are_other_settings(photos: Path) -> None:
    opened(photos, size=6)
    with pytest.raises(InputError, match="holds the task of other settings: reading"):
        opened(photos, size=(6, 9))
    opened(photos, "searched", size=(6, 9))
    with pytest.raises(InputError, match="holds the task of other settings: reading"):
        opened(photos, "searched", size=6)


def test_the_folder_of_a_fixed_size_is_read_as_before(photos: Path) -> None:
    task = opened(photos, size=6)
    folder = photos.parent / "task"
    described = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    assert described["format"] == 1
    del described["sha256"]["originals.json"], described["normalise"]  # as an earlier version wrote it
    del described["origin"]["settings"]["reading"]["normalise"]
    (folder / "task.json").write_text(json.dumps(described), encoding="utf-8")
    (folder / "originals.json").unlink()
    again = open_task({"data": str(photos), "reading": {"size": 6}}, seed=0, folder=folder)
    assert type(again) is ArrayTask
    assert again.digest == task.digest


def test_a_teacher_sees_the_same_rows_in_another_size_fit_and_normalisation(photos: Path) -> None:
    task = opened(photos, size=6)
    assert task.seen_through({}) is task
    assert task.seen_through({"size": 6, "fit": "crop"}) is task
    how = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1)}
    seen = task.seen_through({"size": "12x10", "fit": "pad", "background": (0, 0, 9), "normalise": how})
    same = opened(photos, "other", size="12x10", reading={"fit": "pad", "background": [0, 0, 9]}, normalise={**how})
    assert torch.equal(seen.inputs(torch.arange(20)), same.inputs(torch.arange(20)))
    assert seen.reading == same.reading
    assert seen.digest != task.seen_through({"size": "12x10", "fit": "pad"}).digest


def test_all_channels_and_the_middle_of_an_image_can_be_seen(photos: Path) -> None:
    task = opened(photos, size=8)
    grey = task.seen_through({"channels": 1})
    assert grey.input_shape == (1, 8, 8)
    middle = task.seen_through({"size": 4, "keep": 0.5}).raw(torch.tensor([1]))[0].astype(int)
    whole = task.seen_through({"size": 8}).raw(torch.tensor([1]))[0, :, 2:6, 2:6].astype(int)
    assert np.abs(middle - whole).max() <= 2
    reading = task.seen_through({"size": 4, "keep": 0.5}).reading
    assert reading_of(reading.plain()) == reading


def test_the_reading_of_a_task_may_say_how_pixels_are_normalised(photos: Path) -> None:
    one = opened(photos, "one", size=6, normalise="unit")
    other = opened(photos, "other", size=6, reading={"normalise": "unit"})
    assert (one.digest, one.divisor) == (other.digest, (255.0,) * 3)


def test_splits_stay_where_a_task_with_other_splits_is_seen(photos: Path) -> None:
    task = opened(photos, labels=4, rows=10)
    for other in (all_labels(task), with_reserve(task)):
        seen: Any = other.seen_through({"size": 9})  # type: ignore[attr-defined]
        assert seen.splits is other.splits
        assert seen.input_shape == (3, 9, 9)
    with pytest.raises(AttributeError):
        all_labels(task.seen_through({"size": 9})).seen_through  # type: ignore[attr-defined]


def test_a_task_that_is_saved_elsewhere_is_seen_there_too(photos: Path) -> None:
    task = opened(photos, size=(6, 9))
    saved = save_task(task, photos.parent / "elsewhere")
    assert isinstance(saved, PhotoTask)
    assert saved.readings == task.readings
    assert torch.equal(
        saved.seen_through({"size": 9}).inputs(torch.arange(20)),
        task.seen_through({"size": 9}).inputs(torch.arange(20)),
    )
    wider = opened(photos, size=(6, 9, 4))
    assert save_task(wider, photos.parent / "elsewhere").readings == {"size": (6, 9, 4)}  # type: ignore[attr-defined]


def test_damaged_images_of_a_size_are_noticed(photos: Path) -> None:
    task = opened(photos)
    (file,) = (photos.parent / "task" / "seen").glob("9x9-*/x.npy")
    held = bytearray(file.read_bytes())
    held[-1] ^= 1
    file.write_bytes(held)
    with pytest.raises(InputError, match=r"9x9-\w+ cannot be opened: .* remove the folder to have them made anew"):
        task.seen_through({"size": 9})


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            {"augment": {"crop": 2}},
            "crop: 2 pixels are not the same part of images of several sizes (6, 9); write",
        ),
        ({"augment": {"cutout": 3}}, "write a fraction of the sides, such as cutout: 0.5"),
        ({"augment": {"crop": 1.5}}, "task.augment.crop: 1.5 given"),
        ({"reading": {"size": []}}, "task.reading.size"),
        ({"reading": {"size": [6, 6]}}, "task.reading.size"),
        ({"reading": {"size": [6, "axb"]}}, "task.reading.size"),
        ({"max_gb": 1e-6}, "task.max_gb: pets would take"),
        ({"max_gb": 3e-6}, "size: images of 9x9 would take 4.86e-06 GB, more than task.max_gb: 3e-06"),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused_in_one_line(task: dict[str, Any], said: str, photos: Path) -> None:
    assert said in refused_search(photos.parent, {"task": {"data": str(photos), "reading": {"size": [6, 9]}, **task}})


def test_a_broken_photo_is_named_or_left_out_where_sizes_are_searched(photos: Path) -> None:
    whole = opened(photos, "whole")
    (photos / "cat" / "00.png").write_bytes((photos / "cat" / "00.png").read_bytes()[:100])
    line = refused_search(photos.parent, {"task": {"data": str(photos), "reading": {"size": [6, 9]}}})
    assert "cat/00.png cannot be read" in line
    skipped = opened(photos, "skipped", reading={"on_error": "skip"})
    assert (skipped.num_rows, whole.num_rows) == (19, 20)
    assert skipped.seen_through({"size": 9}).num_rows == 19


def test_views_in_pixels_are_refused_where_a_teacher_sees_another_size(photos: Path) -> None:
    task = opened(photos, size=8, augment={"crop": 2})
    with pytest.raises(InputError, match=r"^size: task.augment.crop counts 2 pixels.* 8x8 and of 16x16; .* crop: 0.25"):
        task.seen_through({"size": 16})
    assert task.seen_through({"fit": "pad"}).augmentation.crop == 2
    for size, said in [
        ("big", "^size: 'big' given; write a whole number"),
        ([4, 6], r"^size: \[4, 6\] given; write one"),
    ]:
        with pytest.raises(InputError, match=said):
            task.seen_through({"size": size})
    with pytest.raises(InputError, match=r"^length: pets is a folder of images, which is read by size; write size: 32"):
        task.seen_through({"length": 16})
