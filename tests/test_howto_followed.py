"""The how-tos answer their question: whoever does what a page says gets what it promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from command_line import autokd, write_study
from conftest import ROOT
from following import blocks, follow
from PIL import Image
from sklearn.datasets import load_digits

from autokd.registry import resolve

HOWTO = ROOT / "docs" / "howto"


def zeros_and_ones(folder: Path) -> None:
    """120 images of digits by class under photos/, the same as arrays, and weights for the page's own teacher."""
    images, labels = load_digits(n_class=2, return_X_y=True)
    images = (images[:120].reshape(-1, 8, 8) * 15).astype(np.uint8)
    for i, (image, label) in enumerate(zip(images, labels, strict=False)):
        at = folder / "photos" / ("cat", "dog")[label]
        at.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(at / f"{i:03d}.png")
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels[:120])
    (folder / "teacher_of_the_page.py").write_text(
        next(block.text for block in blocks(HOWTO / "own_images.md") if block.title == "my_teacher.py")
    )
    network = resolve("teachers", f"{folder / 'teacher_of_the_page.py'}:network")()
    inputs, targets = torch.tensor(images / 127.5 - 1).float().unsqueeze(1), torch.tensor(labels[:120])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    safetensors.torch.save_file(network.state_dict(), folder / "my_teacher.safetensors")


def nothing(folder: Path) -> None:
    """The page brings all it needs."""


def a_run(folder: Path) -> None:
    """`runs/digits`: a run in which students were seen to be better than chance."""
    objectives = {"accuracy": {}, "latency_ms": {}, "parameters": {"bound": 2000}}
    study = write_study(folder, {"name": "digits", "objectives": objectives})
    assert autokd("search", study).code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "needed", "runs"),
    [
        ("own_images", zeros_and_ones, {"photos", "photos_with_teacher", "search"}),
        ("choosing", a_run, {"digits"}),
        ("latency", nothing, {"quick", "for_device"}),
        ("resuming", nothing, {"mine", "mine-2", "other"}),
    ],
)
def test_who_does_what_a_page_says_gets_what_it_promises(
    page: str, needed: Callable[[Path], None], runs: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    needed(tmp_path)
    follow(HOWTO / f"{page}.md")
    assert {run.name for run in (tmp_path / "runs").iterdir()} == runs
