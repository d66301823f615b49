"""Segmentation as the study `shapes` has it: its images, its space, and the simple models beside its students."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from claims import load_claim
from conftest import ROOT

from autokd.heads import Positions
from autokd.tasks import from_arrays
from autokd.testing import SearchSpaceContract

sys.path.insert(0, str(ROOT))
from studies import segment, shapes

pixel_rivals = load_claim("pixel_rivals")
rivals = load_claim("rivals")


def task_of(x: Any, y: Any) -> Any:
    return from_arrays(x, y, heads="positions")


def test_the_images_of_shapes_are_the_same_every_time_and_hold_every_class() -> None:
    x, y = shapes.images(40, np.random.default_rng(0))
    again, _ = shapes.images(40, np.random.default_rng(0))
    assert np.array_equal(x, again)
    assert x.dtype == np.uint8
    assert set(np.unique(y)) == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_a_shape_has_the_area_of_its_kind(kind: int) -> None:
    areas = [shapes.shape(kind, np.random.default_rng(seed)).sum() for seed in range(20)]
    of_radius_1 = {1: np.pi, 2: (2 * 0.85) ** 2, 3: 3 * 3**0.5 * 0.6**2}[kind]
    assert min(areas) > of_radius_1 * 4.5**2 / 2.5  # some of it may lie outside of the image
    assert max(areas) < of_radius_1 * 8**2 * 1.05


@pytest.mark.slow  # it builds and trains twenty networks
class TestSegment(SearchSpaceContract):
    space = segment
    tasks = (task_of(*shapes.images(12, np.random.default_rng(0))),)


def test_a_network_answers_with_a_class_at_every_pixel_of_any_size() -> None:
    task = task_of(np.zeros((8, 3, 13, 10), np.uint8), np.arange(8 * 130).reshape(8, 13, 10) % 3)
    arch = segment.suggest(optuna.create_study().ask())
    assert segment.build(arch, task)(task.inputs(torch.arange(2))).shape == (2, 3, 13, 10)


def test_a_task_of_other_answers_is_refused() -> None:
    task = from_arrays(np.zeros((40, 3, 6, 6), np.uint8), np.arange(40) % 2)
    with pytest.raises(ValueError, match="needs images and a class at every pixel"):
        segment.build({}, task)


def test_a_linear_model_of_a_pixel_knows_colours_and_a_classical_one_also_what_is_around() -> None:
    generator = np.random.default_rng(0)
    kind = generator.integers(0, 2, (30, 1, 2, 2)).repeat(6, axis=2).repeat(6, axis=3)
    by_colour = np.where(kind == 1, 200, 50).astype(np.uint8)
    stripes = np.where(np.arange(12) % 2 == 0, 50, 200)  # across or along, which no single pixel tells
    by_direction = np.where(kind == 1, stripes[None, None, None, :], stripes[None, None, :, None]).astype(np.uint8)
    found = {}
    for name, x in {"colour": by_colour, "direction": by_direction}.items():
        task = task_of(x, kind[:, 0].astype(np.int64))
        (head,) = task.heads.values()
        found[name] = pixel_rivals.pixel_scores(task, head, task.targets(torch.arange(30)), ("validation",))
    assert found["colour"]["linear"]["validation"] == 1
    assert found["colour"]["blind"]["validation"] < 0.6
    assert found["direction"]["linear"]["validation"] < 0.6
    assert found["direction"]["classical"]["validation"] > 0.8


def test_positions_that_are_no_pixels_are_refused() -> None:
    task = from_arrays(np.zeros((40, 3, 6, 6), np.uint8), np.arange(40) % 2)
    with pytest.raises(ValueError, match="are not the pixels"):
        pixel_rivals.pixel_scores(task, Positions(("a", "b"), (3, 3)), torch.zeros(8, 3, 3), ("test",))
