"""The script that checks a GPU: its checks run with the CPU in the GPU's place, and one that fails is told as such."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from claims import load_claim

gpu = load_claim("gpu")


def test_weights_that_differ_are_told_as_a_share_of_their_size() -> None:
    import torch

    here = gpu.Trained(0.9, {"w": torch.tensor([4.0, -1.0]), "n": torch.tensor(3)})
    there = gpu.Trained(0.9, {"w": torch.tensor([4.0, -0.8]), "n": torch.tensor(9)})
    assert here.differs(there) == pytest.approx(0.04)


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(device: str, folder: Path) -> list[Any]:
        raise RuntimeError("no kernel image")

    def sound(device: str, folder: Path) -> list[Any]:
        return [gpu.Finding("what", device, "cpu", device == "cpu")]

    monkeypatch.setattr(gpu, "CHECKS", {"broken": broken, "sound": sound})
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--out", str(tmp_path / "gpu.jsonl")])
    for _ in range(2):  # the second time all is there
        gpu.main()
    assert [json.loads(line)["check"] for line in (tmp_path / "gpu.jsonl").read_text().splitlines()] == [
        "broken",
        "sound",
    ]
    said = capsys.readouterr().out
    assert "| broken | the check itself | RuntimeError: no kernel image | no error | no |" in said
    assert "| sound | what | cpu | cpu | yes |" in said
    assert "missing checks: none" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["training", "numbers", "data", "teacher", "moving", "workers", "latency", "speed"])
def test_on_a_cpu_each_check_finds_what_it_should(name: str) -> None:
    assert name in gpu.CHECKS
    cell = gpu.run_check(name, "cpu")
    timed = ("repeats", "spread", "take longer", "wall")  # what depends on the load of the machine
    assert [each for each in cell["findings"] if not each["holds"] and not any(t in each["what"] for t in timed)] == []
