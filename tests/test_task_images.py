"""Images are read as they are meant, or refused in one line."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autokd.errors import InputError
from autokd.tasks import ArrayTask, open_task

Array = np.ndarray[Any, Any]
GREY = np.random.default_rng(0).integers(0, 256, (16, 5, 4), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (16, 5, 4, 3), dtype=np.uint8)
TURNED_RIGHT = 6  # EXIF: the camera was held on its side


def write(folder: Path, images: list[Image.Image], *, ending: str = "png", **settings: Any) -> Path:
    """Eight images of each of two classes."""
    for i, image in enumerate(images):
        file = folder / "pets" / ("cat" if i < 8 else "dog") / f"{i:02}.{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file, **settings)
    return folder / "pets"


def read(folder: Path) -> ArrayTask:
    return open_task({"data": str(folder), "normalise": "none"}, seed=0, folder=folder.parent / "task")


def values(folder: Path) -> Array:
    task = read(folder)
    return task.inputs(torch.arange(task.num_rows)).numpy()


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("ending", "deep"),
    [
        ("png", GREY.astype(np.uint16) * 257 - 3),
        ("tif", GREY.astype(np.uint16) * 257 - 3),
        ("tif", GREY.astype(np.int32) * 9 - 700),
        ("tif", GREY.astype(np.float32) / 7 - 3),
    ],
)
def test_grey_images_of_more_than_8_bits_keep_their_values(ending: str, deep: Array, tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.fromarray(each) for each in deep], ending=ending)

    assert np.array_equal(values(folder), deep[:, None].astype(np.float32))


@pytest.mark.parametrize(
    ("mode", "ending", "channels"),
    [("L", "png", 1), ("1", "png", 1), ("LA", "png", 1), ("RGB", "bmp", 3), ("RGBA", "png", 3), ("P", "gif", 3)],
)
def test_other_modes_are_grey_or_colour_of_8_bits(mode: str, ending: str, channels: int, tmp_path: Path) -> None:
    images = [Image.fromarray(each).convert(mode) for each in COLOUR]
    folder = write(tmp_path, images, ending=ending)

    expected = np.stack([np.asarray(each.convert("RGB")) for each in images]).transpose(0, 3, 1, 2)
    assert np.array_equal(values(folder), expected[:, :channels])


def test_images_in_cmyk_are_read_as_colours(tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.new("RGB", (8, 8), "red").convert("CMYK")] * 16, ending="jpg", quality=100)

    assert np.abs(values(folder) - np.array([255, 0, 0]).reshape(3, 1, 1)).max() < 5


@pytest.mark.parametrize("images", [GREY, COLOUR, GREY.astype(np.uint16) * 100])
def test_a_photo_is_turned_upright_as_its_exif_data_say(images: Array, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = TURNED_RIGHT
    folder = write(tmp_path, [Image.fromarray(each) for each in images], exif=exif)

    upright = np.rot90(images, -1, axes=(1, 2))
    assert np.array_equal(values(folder), upright.reshape(16, 4, 5, -1).transpose(0, 3, 1, 2))


def test_a_tiff_on_its_side_is_turned_upright_or_refused(tmp_path: Path) -> None:
    images = [Image.fromarray(each) for each in GREY]
    packed = write(tmp_path / "packed", images, ending="tif", tiffinfo={0x0112: TURNED_RIGHT}, compression="tiff_lzw")
    plain = write(tmp_path / "plain", images, ending="tif", tiffinfo={0x0112: TURNED_RIGHT})

    assert np.array_equal(values(packed), np.rot90(GREY, -1, axes=(1, 2))[:, None])
    assert "is an uncompressed TIFF that lies on its side, whose rows Pillow mixes up" in refused(plain)


def half_seen(mode: str) -> Image.Image:
    image = Image.new(mode, (4, 5))
    image.putalpha(128)
    return image


def of_16_bits_in_colour(file: Path) -> None:
    def chunk(kind: bytes, held: bytes) -> bytes:
        return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))

    header, rows = struct.pack(">IIBBBBB", 4, 5, 16, 2, 0, 0, 0), zlib.compress(bytes(5 * (1 + 4 * 3 * 2)))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def of_16_bits_a_pixel(file: Path, colour: int) -> None:
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    rows = struct.pack("<4H", *[colour] * 4) * 5
    header = struct.pack("<IiiHHIIiiII", 40, 4, 5, 1, 16, 3, len(rows), 0, 0, 0, 0)
    file.write_bytes(b"BM" + struct.pack("<IHHI", 66 + len(rows), 0, 0, 66) + header + masks + rows)


def test_images_of_16_bits_a_pixel_are_read_as_colours(tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.new("RGB", (4, 5), "red")] * 16, ending="bmp")
    for file in folder.glob("*/*.bmp"):
        of_16_bits_a_pixel(file, 0xF800)

    assert (values(folder) == np.array([255, 0, 0]).reshape(3, 1, 1)).all()


def test_what_would_lose_something_is_refused_in_words(tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.fromarray(each) for each in COLOUR])
    odd = folder / "dog" / "12.png"

    half_seen("RGB").save(odd)
    assert "dog/12.png is partly transparent; paste it on a background" in refused(folder)
    half_seen("L").save(odd)
    assert "is partly transparent" in refused(folder)
    Image.new("P", (4, 5)).save(odd, transparency=0)
    assert "is partly transparent" in refused(folder)
    of_16_bits_in_colour(odd)
    assert "dog/12.png has colours of 16 bits a channel, of which Pillow reads 8" in refused(folder)
    odd.unlink()
    frames = [Image.new("RGB", (4, 5), colour) for colour in ("red", "blue", "green")]
    frames[0].save(odd.with_suffix(".gif"), save_all=True, append_images=frames[1:])
    assert "dog/12.gif has 3 frames; save the one that is meant" in refused(folder)


@pytest.mark.parametrize(
    "other",
    [
        Image.fromarray(GREY[0]),
        Image.fromarray(GREY[0].astype(np.uint16)),
        Image.fromarray(COLOUR[0, :4]),
    ],
)
def test_images_of_different_kinds_are_refused(other: Image.Image, tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.fromarray(each) for each in COLOUR])
    other.save(folder / "dog" / "15.png")

    assert "dog/15.png has shape" in refused(folder)
    assert "give all images one size and kind, all grey or all in colour" in refused(folder)


def test_grey_images_of_8_and_16_bits_are_not_mixed(tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.fromarray(each) for each in GREY])
    Image.fromarray(GREY[0].astype(np.uint16)).save(folder / "dog" / "15.png")

    assert "dog/15.png has shape (5, 4) and type uint16" in refused(folder)


def test_what_systems_and_editors_put_into_folders_is_no_class_and_no_image(tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.fromarray(each) for each in GREY])
    for name in (".ipynb_checkpoints", "__MACOSX", ".hidden"):
        (folder / name).mkdir()
        Image.fromarray(COLOUR[0]).save(folder / name / "0.png")
    for name in (".DS_Store", "._00.png", "Thumbs.db", ".ipynb_checkpoints/00-checkpoint.png"):
        file = folder / "cat" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"no image")

    task = read(folder)

    assert task.class_names == ("cat", "dog")
    assert np.array_equal(task.x, GREY[:, None])


def test_hidden_files_are_no_idx_files(tmp_path: Path) -> None:
    for prefix in ("train", "._train"):
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">HBB3I", 0, 8, 3, *GREY.shape) + bytes(GREY)
        )
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 16) + bytes([0, 1] * 8))

    assert open_task(str(tmp_path), seed=0, folder=tmp_path / "task").num_rows == 16


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/nowhere/cat.png", "No such file or directory"),
        ("99.png", "Too many levels of symbolic links"),
        ("/dev/zero", "a device or a pipe, and no file"),
    ],
)
@pytest.mark.parametrize("name", ["00.png", "99.png"])  # the first is looked at before the others are
def test_a_link_that_leads_to_no_file_is_refused(tmp_path: Path, target: str, reason: str, name: str) -> None:
    folder = write(tmp_path, [Image.fromarray(each) for each in GREY])
    (folder / "cat" / name).unlink(missing_ok=True)
    (folder / "cat" / name).symlink_to(target if target != "99.png" else name)
    assert f"cat/{name} cannot be read: {reason}" in refused(folder)


def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.fromarray(each) for each in GREY])
    os.mkfifo(folder / "cat" / "99.png")
    assert "cat/99.png cannot be read: a device or a pipe" in refused(folder)


def test_an_image_may_have_a_name_that_is_not_utf_8_and_a_class_may_not(tmp_path: Path) -> None:
    folder = write(tmp_path, [Image.fromarray(each) for each in GREY])
    (folder / "cat" / "00.png").rename(folder / "cat" / os.fsdecode(b"\xff\xfe.png"))
    assert values(folder).shape == (16, 1, 5, 4)
    (folder / "cat").rename(folder / os.fsdecode(b"\xff"))
    assert r"has the class '\udcff', which is no text in UTF-8; rename the folder" in refused(folder)
