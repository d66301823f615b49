"""Views depend on seed, row and view alone, and are shifts, mirrored images and images with a hole."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autokd.tasks.views import _GOLDEN, _mix, augment

KEYS = {"seed": st.integers(0, 2**40), "view": st.integers(1, 1000)}


def images(count: int, *, channels: int = 2, height: int = 5, width: int = 4) -> Tensor:
    """Images without a zero, all pixels different."""
    return 1.0 + torch.arange(count * channels * height * width).float().view(count, channels, height, width)


def vary(
    x: Tensor, rows: Tensor, *, view: int = 1, seed: int = 0, flip: bool = True, crop: int = 2, cutout: int = 2
) -> Tensor:
    return augment(x, rows, view, seed=seed, flip=flip, crop=crop, cutout=cutout)


def test_view_0_is_the_image_itself() -> None:
    x = images(3)

    assert vary(x, torch.arange(3), view=0) is x


@settings(deadline=None)
@given(order=st.permutations(range(6)), **KEYS)
def test_an_image_is_the_same_in_any_batch_and_order(order: list[int], seed: int, view: int) -> None:
    x, rows = images(6), torch.tensor([3, 1, 4, 15, 9, 2**50])

    whole = vary(x, rows, view=view, seed=seed)
    shuffled = vary(x[order], rows[order], view=view, seed=seed)
    alone = torch.cat([vary(x[i : i + 1], rows[i : i + 1], view=view, seed=seed) for i in range(6)])

    assert torch.equal(shuffled, whole[order])
    assert torch.equal(alone, whole)


@settings(deadline=None)
@given(crop=st.integers(0, 3), flip=st.booleans(), **KEYS)
def test_without_cutout_an_image_is_a_crop_of_the_padded_one(crop: int, flip: bool, seed: int, view: int) -> None:
    x = images(1)
    padded = F.pad(x, (crop,) * 4)
    crops = [
        padded[:, :, i : i + x.shape[2], j : j + x.shape[3]] for i in range(2 * crop + 1) for j in range(2 * crop + 1)
    ]

    found = vary(x, torch.tensor([7]), view=view, seed=seed, flip=flip, crop=crop, cutout=0)

    possible = crops + [each.flip(3) for each in crops] * flip
    assert any(torch.equal(found, each) for each in possible)


@settings(deadline=None)
@given(cutout=st.integers(1, 4), **KEYS)
def test_cutout_zeroes_one_rectangle_and_leaves_the_rest(cutout: int, seed: int, view: int) -> None:
    x = images(1, height=6, width=6)

    found = vary(x, torch.tensor([7]), view=view, seed=seed, flip=False, crop=0, cutout=cutout)

    hole = (found == 0)[0]
    rows, columns = hole[0].any(dim=1).nonzero(), hole[0].any(dim=0).nonzero()
    assert torch.equal(found[0][~hole], x[0][~hole])
    assert hole.sum() == 2 * len(rows) * len(columns)
    assert 1 <= len(rows) <= cutout
    assert 1 <= len(columns) <= cutout


def test_shifts_and_mirrors_are_equally_likely() -> None:
    rows = torch.arange(6000)
    x = torch.zeros(6000, 1, 3, 3)
    x[:, :, 1, 1] = 1.0
    mirrored = vary(images(1).expand(6000, -1, -1, -1), rows, crop=0, cutout=0)[:, 0, 0, 0] != 1.0

    places = vary(x, rows, flip=False, crop=1, cutout=0).sum(dim=(0, 1))

    assert places.sum() == 6000
    assert (places - 6000 / 9).abs().max() < 4 * (6000 * (1 / 9) * (8 / 9)) ** 0.5
    assert abs(float(mirrored.float().mean()) - 0.5) < 4 * (0.25 / 6000) ** 0.5


def test_rows_views_and_seeds_each_change_the_image() -> None:
    x = images(1, height=20, width=20).expand(40, -1, -1, -1)

    def distinct(batches: list[Tensor]) -> int:
        return len({image.contiguous().numpy().tobytes() for batch in batches for image in batch})

    assert distinct([vary(x, torch.arange(40), cutout=8)]) > 35
    assert distinct([vary(x[:1], torch.tensor([5]), view=view, cutout=8) for view in range(1, 41)]) > 35
    assert distinct([vary(x[:1], torch.tensor([5]), seed=seed, cutout=8) for seed in range(40)]) > 35


def test_images_come_out_in_channels_last_format() -> None:
    x = images(4).contiguous(memory_format=torch.channels_last)

    assert vary(x, torch.arange(4)).is_contiguous(memory_format=torch.channels_last)


def test_the_mixer_is_that_of_splitmix64() -> None:
    # The first three outputs of the reference generator started at 0.
    counter = _GOLDEN * np.arange(1, 4, dtype=np.uint64)

    assert _mix(counter).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_views_do_not_drift() -> None:
    # Cached teacher outputs belong to these very images: another result here needs another cache format.
    x = images(2, channels=1, height=4, width=4)

    found = vary(x, torch.tensor([0, 1]), view=1, seed=0, flip=True, crop=1, cutout=2)

    assert found.int().tolist() == [
        [[[0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15], [0, 0, 0, 0]]],
        [[[0, 0, 0, 0], [18, 19, 20, 0], [22, 23, 24, 0], [26, 27, 28, 0]]],
    ]


@settings(deadline=None)
@given(crop=st.floats(0.01, 0.5), cutout=st.floats(0.01, 0.5), flip=st.booleans(), **KEYS)
def test_fractions_move_and_cut_the_same_part_of_an_image_of_any_size(
    crop: float, cutout: float, flip: bool, seed: int, view: int
) -> None:
    small = torch.stack(torch.meshgrid(torch.linspace(1, 2, 16), torch.linspace(1, 2, 16), indexing="ij"))[None]
    large = F.interpolate(small, (64, 64), mode="bilinear")
    coarse, fine = (
        vary(x, torch.tensor([5]), view=view, seed=seed, flip=flip, crop=crop, cutout=cutout) for x in (small, large)
    )
    shown = F.avg_pool2d((fine != 0).float(), 4)
    assert ((shown > 0.75) <= (F.max_pool2d(coarse, 3, 1, 1) != 0)).all()
    both = (shown == 1) & (coarse != 0)
    assert ((coarse - F.avg_pool2d(fine, 4)).abs() * both).max() < 0.06


def test_a_fraction_shifts_by_up_to_that_share_of_height_and_width() -> None:
    x = torch.zeros(500, 1, 20, 40)
    x[:, :, 10, 20] = 1
    moved = vary(x, torch.arange(500), flip=False, crop=0.2, cutout=0)
    found = moved.nonzero()[:, 2:] - torch.tensor([10, 20])
    assert len(found) == 500
    assert found.abs().max(0).values.tolist() == [4, 8]
    assert found.min(0).values.tolist() == [-4, -8]


def test_a_fraction_cuts_out_that_share_of_height_and_width() -> None:
    x = torch.ones(500, 1, 20, 40)
    hole = vary(x, torch.arange(500), flip=False, crop=0, cutout=0.25) == 0
    heights, widths = hole.any(3).sum(2), hole.any(2).sum(2)
    assert (int(heights.max()), int(widths.max())) == (5, 10)
    assert hole.any(dim=0).all()
