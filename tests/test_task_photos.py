"""Photos of any size and kind become images of one size, in a search and in an exported student alike."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from command_line import refused_search
from export_samples import sample_card
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from autokd import load_predictor
from autokd.errors import InputError
from autokd.export import export_student, task_shape
from autokd.readings import Pixels, reading_of
from autokd.readings.photos import Fit, Photos
from autokd.tasks import ArrayTask, from_arrays, load_task, open_task

FITS: tuple[Fit, ...] = ("crop", "pad", "stretch")
WHITE = (255, 255, 255)
RNG = np.random.default_rng(0)


def colours(height: int = 9, width: int = 7) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def greys(height: int = 9, width: int = 7) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width), dtype=np.uint8))


def photos(size: tuple[int, int] = (6, 6), *, fit: Fit = "crop", background: Any = WHITE, channels: int = 3) -> Photos:
    return Photos(size, fit, background, channels)


def folder_of(folder: Path, images: list[Image.Image], *, ending: str = "png", **settings: Any) -> Path:
    """As many images of each of two classes."""
    for i, image in enumerate(images):
        for kind in ("cat", "dog"):
            file = folder / "pets" / kind / f"{i:02}.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file, **settings)
    return folder / "pets"


def opened(folder: Path, into: str = "task", **reading: Any) -> ArrayTask:
    spec = {"data": str(folder), "reading": {"size": 6, **reading}}
    task = open_task(spec, seed=0, folder=folder.parent / into)
    assert isinstance(task, ArrayTask)
    return task


def refused(folder: Path, **reading: Any) -> str:
    with pytest.raises(InputError) as caught:
        opened(folder, **reading)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(st.sampled_from(FITS), st.integers(1, 12), st.integers(1, 12), st.sampled_from(["L", "RGB"]))
def test_an_image_of_exactly_the_size_keeps_its_pixels(fit: Fit, height: int, width: int, mode: str) -> None:
    image = colours(height, width).convert(mode)
    channels = len(image.getbands())
    assert np.array_equal(photos((height, width), fit=fit, channels=channels).array("", image), np.asarray(image))


@given(st.sampled_from(FITS), *[st.integers(1, 40)] * 4)
def test_every_image_gets_the_size_and_keeps_its_only_colour(fit: Fit, h: int, w: int, height: int, width: int) -> None:
    image = Image.new("RGB", (width, height), (10, 200, 30))
    values = photos((h, w), fit=fit, background=(10, 200, 30)).array("", image)
    assert values.shape == (h, w, 3)
    assert (values == (10, 200, 30)).all()


def test_each_fit_does_with_a_wide_image_what_it_says() -> None:
    values = np.zeros((4, 12, 3), np.uint8)
    values[:, :4], values[:, 4:8], values[:, 8:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    wide = Image.fromarray(values)

    assert (photos((4, 4), fit="crop").array("", wide) == (0, 255, 0)).all()
    padded = photos((12, 12), fit="pad", background=(9, 9, 9)).array("", wide)
    assert np.array_equal(padded[4:8], values)
    assert (padded[:4] == 9).all()
    assert (padded[8:] == 9).all()
    stretched = photos((4, 4), fit="stretch").array("", wide)
    assert stretched[0, 0, 0] > 200
    assert stretched[0, 3, 2] > 200


def test_a_smaller_image_is_an_average_of_the_pixels_and_no_choice_of_them() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    values = photos((8, 8), channels=1).array("", Image.fromarray(stripes))
    assert np.abs(values.astype(int) - 127).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "PA", "CMYK", "YCbCr", "HSV"])
def test_images_of_every_mode_are_read_as_pillow_shows_them(mode: str) -> None:
    image = colours().convert("L" if mode in ("LA", "PA") else "RGB").convert(mode)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(photos((9, 7)).array("", image), expected)


def test_what_is_transparent_shows_the_background() -> None:
    image = Image.new("RGBA", (4, 4), (200, 100, 0, 0))
    half = Image.new("RGBA", (4, 4), (200, 100, 0, 128))
    of_palette = Image.new("P", (4, 4), 3)
    of_palette.info["transparency"] = 3

    teal = photos((4, 4), background=(0, 128, 128))
    assert (teal.array("", image) == (0, 128, 128)).all()
    assert (teal.array("", of_palette) == (0, 128, 128)).all()
    assert np.abs(teal.array("", half).astype(int) - (100, 114, 64)).max() <= 1


def test_grey_of_16_bits_keeps_its_upper_8_bits(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for ending in ("png", "tif"):
        Image.fromarray(values * 257).save(tmp_path / f"deep.{ending}")
        read = photos((16, 16), channels=1).batch([tmp_path / f"deep.{ending}"])
        assert np.array_equal(read, values[None, None])


def test_a_grey_value_of_16_bits_that_is_transparent_shows_the_background(tmp_path: Path) -> None:
    values = np.full((4, 4), 40000, np.uint16)
    values[0, 0] = 300
    Image.fromarray(values).save(tmp_path / "deep.png", transparency=300)
    read = photos((4, 4), background=(7, 7, 7), channels=1).batch([tmp_path / "deep.png"])
    assert (read[0, 0, 0, 0], read[0, 0, 1, 1]) == (7, 40000 >> 8)


def test_grey_of_32_bits_is_refused_because_its_range_is_unknown() -> None:
    for mode in ("I", "F"):
        with pytest.raises(InputError, match=r"^row 1 has grey values of 32 bits, of which no range is known; save"):
            photos().batch([greys(), Image.new(mode, (4, 4))])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_upright_before_it_is_cropped(orientation: int, tmp_path: Path) -> None:
    seen = colours(4, 8)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose, the opposite of what the reader does
    held = seen if orientation == 1 else seen.transpose(Image.Transpose(turns[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    held.save(tmp_path / "photo.png", exif=exif)

    for fit in FITS:
        reading = photos((4, 4), fit=fit)
        assert np.array_equal(reading.batch([tmp_path / "photo.png"]), reading.batch([seen]))


def test_a_folder_of_all_sizes_and_kinds_is_a_task_of_one_size_in_colour(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = [
        greys(9, 7),
        colours(5, 20),
        colours(30, 6).convert("P"),
        colours(6, 6).convert("RGBA"),
        greys().convert("1"),
    ]
    folder = folder_of(tmp_path, [image.resize((k + 5, 9)) for k in range(2) for image in kinds])
    with caplog.at_level(logging.INFO, "autokd"):
        task = opened(folder, size="6x5")
    assert (task.x.shape, task.x.dtype) == ((20, 3, 6, 5), np.uint8)
    assert "Images are resized to 6x5 (height x width, fit: crop) and have three channels, because" in caplog.text


def test_a_folder_of_grey_images_has_one_channel(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deep = Image.fromarray(RNG.integers(0, 65536, (8, 8), dtype=np.uint16))
    folder = folder_of(tmp_path, [greys(4 + i, 9) for i in range(8)] + [deep, greys().convert("LA")])
    with caplog.at_level(logging.INFO, "autokd"):
        task = opened(folder)
    assert task.input_shape == (1, 6, 6)
    assert "have one channel, because all of them are grey" in caplog.text


def test_images_of_one_size_are_the_same_with_and_without_a_reading(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [colours(6, 6) for _ in range(10)])
    plain = open_task(str(folder), seed=0, folder=tmp_path / "plain")
    rows = torch.arange(plain.num_rows)
    for fit in FITS:
        assert torch.equal(opened(folder, into=fit, fit=fit).inputs(rows), plain.inputs(rows))


def test_the_order_in_which_files_were_written_does_not_matter(tmp_path: Path) -> None:
    images = [(f"{kind}/{i:02}.png", colours(5 + i, 9)) for kind in ("cat", "dog") for i in range(10)]
    digests = set()
    for at in ("first", "second"):
        random.Random(at).shuffle(images)
        for name, image in images:
            (tmp_path / at / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / at / "pets" / name)
        digests.add(opened(tmp_path / at / "pets").digest)
    assert len(digests) == 1


def test_a_task_of_photos_is_opened_again_without_its_photos_being_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [colours(5 + i, 9) for i in range(10)])
    task = opened(folder, fit="pad")
    for file in folder.glob("*/*.png"):
        kept = file.stat()
        file.write_bytes(bytes(kept.st_size))
        os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))

    again = load_task(tmp_path / "task")
    assert (again.digest, again.photos) == (task.digest, photos(fit="pad"))
    assert opened(folder, fit="pad").digest == task.digest
    assert "holds the task of other settings: reading" in refused(folder, fit="crop")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [colours(40, 40 + i) for i in range(10)])
    (folder / "dog" / "03.png").write_bytes((folder / "dog" / "03.png").read_bytes()[:900])
    assert "dog/03.png cannot be read: " in refused(folder)
    (folder / "cat" / "00.png").write_text("no image")
    assert "cat/00.png cannot be read: Pillow finds no image in it; mend or remove it" in refused(folder)
    assert not (tmp_path / "task").exists()


@given(st.sampled_from(["png", "jpeg", "gif", "bmp", "webp", "tiff"]), st.floats(0, 1), st.integers(0, 255))
def test_a_damaged_image_is_read_or_refused_in_one_line(kind: str, at: float, byte: int) -> None:
    whole = BytesIO()
    colours(20, 16).save(whole, kind)
    damaged = bytearray(whole.getvalue())
    damaged[int(at * (len(damaged) - 1))] = byte
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what it mends
        file = Path(folder, "damaged")
        file.write_bytes(damaged)
        with suppress(InputError):  # any other error fails
            assert photos().batch([file]).shape == (1, 3, 6, 6)


def test_a_tiff_whose_next_frame_has_no_size_is_refused_in_one_line(tmp_path: Path) -> None:
    colours().save(tmp_path / "photo.tif")
    held = bytearray((tmp_path / "photo.tif").read_bytes())
    first = int.from_bytes(held[4:8], "little")
    following = first + 2 + 12 * int.from_bytes(held[first : first + 2], "little")
    held[following : following + 4] = len(held).to_bytes(4, "little")
    (tmp_path / "photo.tif").write_bytes(held + bytes(6))
    with pytest.raises(InputError, match=r"photo.tif cannot be read: it is damaged \(TypeError: "):
        photos().batch([tmp_path / "photo.tif"])


def test_a_damaged_image_among_arrays_is_refused_in_one_line() -> None:
    whole = BytesIO()
    colours(40, 40).save(whole, "png")
    images = [Image.open(BytesIO(whole.getvalue())), Image.open(BytesIO(whole.getvalue()[:900]))]
    with pytest.raises(InputError, match=r"^x_train and y_train cannot be read: image file is truncated"):
        from_arrays(images, [0, 1])


def test_broken_files_are_left_out_and_listed_if_the_reading_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of(tmp_path, [colours(40, 40 + i) for i in range(10)])
    (folder / "dog" / "03.png").write_bytes((folder / "dog" / "03.png").read_bytes()[:900])
    (folder / "cat" / "00.png").write_text("no image")
    task = opened(folder, on_error="skip")
    assert "2 of 20 images cannot be read and are left out: cat/00.png and dog/03.png." in caplog.text
    for file in (folder / "dog" / "03.png", folder / "cat" / "00.png"):
        file.unlink()
    assert opened(folder, into="without").digest == task.digest


def test_a_class_of_which_no_image_is_left_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [colours() for _ in range(10)])
    for file in (folder / "dog").iterdir():
        file.write_text("no image")
    assert "no image of the class 'dog' can be read: " in refused(folder, on_error="skip")


def test_images_of_several_sizes_without_a_reading_are_told_the_most_common_size(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [colours(5, 8)] + [colours(12, 9)] * 5 + [colours(7, 7)] * 3)
    said = refused_search(tmp_path, {"task": str(folder)})
    assert "cat/01.png has shape (12, 9, 3) and type uint8" in said
    assert "write reading: {size: 12x9} (height and width, here the most common ones) under task" in said


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        ({}, "task.reading: {} given; it should be a mapping with one of the keys size"),
        ({"size": 0}, "task.reading.size"),
        ({"size": [8, 8, 8]}, "task.reading.size"),
        ({"size": 8, "fit": "scale"}, "task.reading.fit: 'scale' given"),
        ({"size": 8, "background": [0, 0, 256]}, "task.reading.background"),
        ({"size": 8}, "task.reading: this is for folders of images, and digits has none; leave it out"),
    ],
)
def test_readings_that_cannot_be_meant_are_refused(reading: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_task({"data": "digits", "reading": reading}, seed=0, folder=tmp_path / "task")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_reading_of_photos_is_plain_data_and_that_of_arrays_is_as_before() -> None:
    before = Pixels((1.0,) * 3, (2.0,) * 3, "uint8", (3, 6, 6))
    assert "photos" not in before.plain()
    reading = Pixels((1.0,) * 3, (2.0,) * 3, "uint8", (3, 6, 6), photos(fit="pad"))
    assert reading_of(reading.plain()) == reading
    for wrong in ({"channels": 2}, {"fit": "scale"}, {"size": [5, 6]}, {"size": [0, 6]}, {"size": 6}):
        plain = reading.plain()
        with pytest.raises(InputError, match="these data describe no reading"):
            reading_of({**plain, "photos": {**plain["photos"], **wrong}})


def test_rows_that_are_no_photos_are_refused(tmp_path: Path) -> None:
    colours(40, 40).save(tmp_path / "whole.png")
    reading = Pixels((1.0,) * 3, (2.0,) * 3, "uint8", (3, 6, 6), photos())
    assert reading.batch([]).shape == (0, 3, 6, 6)
    cut = Image.open(BytesIO((tmp_path / "whole.png").read_bytes()[:900]))
    for rows, said in [
        (["nowhere.png"], "nowhere.png cannot be read: No such file or directory; mend or remove it"),
        ([colours(), 3], "row 1 is of type int; give paths of images, or images of Pillow"),
        ([Image.new("RGB", (0, 4))], "row 0 has no pixels; mend or remove it"),
        ([cut], "row 0 cannot be read: image file is truncated"),
    ]:
        with pytest.raises(InputError) as caught:
            reading.batch(rows)
        assert str(caught.value).startswith(said)
    for alone in ("nowhere.png", colours()):
        with pytest.raises(InputError, match="give a list of image files or of Pillow's images, or an array of uint8"):
            reading.batch(alone)


def exported(tmp_path: Path) -> tuple[list[Path], ArrayTask, torch.Tensor]:
    """The photos of a task, the task, and what a student answers to them, which is exported to `tmp_path / "out"`."""
    folder = folder_of(tmp_path, [colours(5 + i, 9) for i in range(5)] + [greys(7, 4 + i) for i in range(5)])
    task = opened(folder, fit="pad", background=[0, 90, 0])
    torch.manual_seed(0)
    student = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 2))
    card = sample_card(task=task_shape(task).model_dump(), reading=task.reading.plain())
    (tmp_path / "space.py").write_text(
        "from torch import nn\n\ndef suggest(trial): return {}\n\n"
        "def build(arch, task): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 2))\n"
    )
    export_student(student, task.inputs(torch.arange(4)), tmp_path / "out" / "s.safetensors", card=card)
    return sorted(folder.glob("*/*.png")), task, student(task.inputs(torch.arange(task.num_rows))).detach()


def test_an_exported_student_answers_photos_as_the_search_did(tmp_path: Path) -> None:
    files, task, answers = exported(tmp_path)
    predictor = load_predictor(tmp_path / "out", space=str(tmp_path / "space.py"))
    assert torch.equal(predictor.outputs(files), answers)
    held = [Image.open(BytesIO(file.read_bytes())) for file in files]
    assert torch.equal(predictor.outputs(held), answers)
    assert torch.equal(predictor.outputs(task.x), answers)
    assert predictor.predict(files).tolist() == [("cat", "dog")[best] for best in answers.argmax(dim=1)]
    assert "Rows are a list of image files or of Pillow's images, or" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_an_exported_student_answers_photos_in_a_fresh_process(tmp_path: Path) -> None:
    files, _, answers = exported(tmp_path)
    program = (
        "import sys, autokd, torch; "
        f"student = autokd.load_predictor({str(tmp_path / 'out')!r}, space={str(tmp_path / 'space.py')!r}); "
        f"torch.save(student.outputs(sys.argv[1:]), {str(tmp_path / 'answers.pt')!r})"
    )
    subprocess.run([sys.executable, "-c", program, *map(str, files)], check=True)
    assert torch.equal(torch.load(tmp_path / "answers.pt"), answers)
