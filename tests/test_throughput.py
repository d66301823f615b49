"""The script that measures how fast students train: its rivals minimise the same loss, and its cells are kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from claims import load_claim
from torch import nn

from autokd.distill import Training
from autokd.losses import kd
from autokd.testing import TinyTask

throughput = load_claim("throughput")


def test_the_rivals_minimise_what_a_trial_minimises() -> None:
    task, teacher = TinyTask(input_shape=(6,), num_outputs=4), nn.Linear(6, 4)
    rows = task.splits["train"]
    inputs, labels, outputs = task.inputs(rows), task.targets(rows), torch.randn(len(rows), 4)
    training = Training(nn.Linear(6, 4), task, torch.empty(0), throughput.RECIPE, loss=kd, seed=0)
    ours = training._total_loss(outputs, teacher(inputs), labels).item()
    rivals = throughput.rivals(teacher)
    assert rivals["plain"](outputs, inputs, labels).item() == pytest.approx(task.hard_loss(outputs, labels).item())
    for rival in rivals.keys() - {"plain"}:
        assert rivals[rival](outputs, inputs, labels).item() == pytest.approx(ours, rel=1e-5)


@pytest.mark.slow
def test_every_cell_is_measured_once_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "throughput.jsonl"
    small = {"mlp": ((1, 8, 8), 2, throughput._mlp), "resnet": ((3, 8, 8), 2, throughput._resnet(4, 1, 2))}
    for name, value in {
        "STUDENTS": small,
        "FACTORS": (1, 4),
        "ROUNDS": 3,
        "SIZES": {"none": (8,), "halving": (8,)},
    }.items():
        monkeypatch.setattr(throughput, name, value)
    monkeypatch.setattr(sys, "argv", ["throughput.py", "--out", str(out)])
    throughput.main()
    said, before = capsys.readouterr().out, out.read_text()
    cells = [json.loads(line)["cell"] for line in before.splitlines()]
    assert cells == [["mlp", 1], ["mlp", 4], ["resnet", 1], ["resnet", 4], ["driver", "none"], ["driver", "halving"]]
    assert "missing cells: none" in said
    throughput.main()
    assert out.read_text() == before
