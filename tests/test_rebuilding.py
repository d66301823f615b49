from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small import small_context, small_driver, small_run, small_study
from torch import Tensor, nn

from autokd.checkpoints import ANSWERS, checkpoint, read_result, write_result
from autokd.driver import export_trial, search_study
from autokd.driver.settling import finish
from autokd.driver.workplaces import HERE
from autokd.errors import InputError, NoFrontError
from autokd.pareto import as_losses, non_dominated
from autokd.trial import Stretch, run_stretch, why_lost
from autokd.types import Recipe
from autokd.weights import load_tensors, save_tensors


class Space:
    """Two layers with something between them; its students differ in nothing."""

    def __init__(self, between: Callable[[], nn.Module], first: Callable[[], nn.Module]) -> None:
        self.between, self.first = between, first

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {"n": trial.suggest_int("n", 1, 2)}

    def build(self, arch: dict[str, Any], task: Any) -> nn.Module:
        return nn.Sequential(nn.Flatten(), self.first(), self.between(), nn.Linear(12, task.num_outputs))


def linear() -> nn.Module:
    return nn.Linear(64, 12)


def trained(tmp_path: Path, between: Callable[[], nn.Module] = nn.ReLU, first: Callable[[], nn.Module] = linear) -> Any:
    """What a stretch over such a student gives, and its context."""
    context = small_context(tmp_path, space=Space(between, first))
    stretch = Stretch(
        trial=0,
        arch={"n": 1},
        recipe=Recipe(epochs=2),
        seed=5,
        start=0,
        stop=2,
        source="",
        folder=str(tmp_path / "stretch"),
    )
    return run_stretch(context, stretch), context


class Held(nn.Module):
    """Multiplies by a table that is drawn when it is made."""

    def __init__(self, table: Any, *, buffer: bool = False, persistent: bool = True) -> None:
        super().__init__()
        if buffer:
            self.register_buffer("table", table, persistent=persistent)
        else:
            self.table = table

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.table["draw"] if isinstance(self.table, dict) else self.table)


class Counting(nn.Module):
    """Keeps a running mean as a plain attribute, or in a buffer."""

    def __init__(self, persistent: bool | None = None) -> None:
        super().__init__()
        if persistent is None:
            self.mean = torch.zeros(12)
        else:
            self.register_buffer("mean", torch.zeros(12), persistent=persistent)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean


class Stated(nn.Module):
    """Keeps a number that training moves in its extra state."""

    def __init__(self, state: Callable[[float], Any] = lambda scale: {"scale": scale, "of": ["x", None, True]}) -> None:
        super().__init__()
        self.scale, self.state = 1.0, state

    def forward(self, x: Tensor) -> Tensor:
        self.scale += 0.1 * self.training
        return x * self.scale

    def get_extra_state(self) -> Any:
        return self.state(self.scale)

    def set_extra_state(self, state: Any) -> None:
        self.scale = float(state["scale"])


class Waves(nn.Module):
    """A filter in the frequency domain."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.ones(7, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * self.filter, n=12).to(x.dtype)


COME_BACK: dict[str, Callable[[], nn.Module]] = {
    "a buffer with a draw": lambda: Held(torch.rand(12), buffer=True),
    "a constant outside the state dict": lambda: Held(torch.linspace(0, 1, 12)),
    "a constant buffer that is not saved": lambda: Held(torch.linspace(0, 1, 12), buffer=True, persistent=False),
    "a running mean in a buffer": lambda: Counting(persistent=True),
    "extra state": Stated,
    "a tensor in extra state": lambda: Stated(lambda scale: {"scale": torch.tensor(scale)}),
    "complex weights": lambda: Waves(torch.complex64),
    "twofold complex weights": lambda: Waves(torch.complex128),
    "dropout": lambda: nn.Dropout(0.5),
}


@pytest.mark.parametrize("what", COME_BACK)
def test_a_student_comes_back_from_what_was_saved_of_it(tmp_path: Path, what: str) -> None:
    result, context = trained(tmp_path, COME_BACK[what])
    assert "error" not in result
    assert why_lost(context, {"n": 1}, tmp_path / "stretch") == ""


def test_lazy_layers_come_back(tmp_path: Path) -> None:
    result, _ = trained(tmp_path, nn.ReLU, lambda: nn.LazyLinear(12))
    assert "error" not in result


LOST: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a draw outside the state dict": (lambda: Held(torch.rand(12)), "a tensor outside the state dict, '2.table'"),
    "a draw in a dict": (lambda: Held({"draw": torch.rand(12)}), "a tensor outside the state dict, '2.table.draw'"),
    "a draw in a buffer that is not saved": (
        lambda: Held(torch.rand(12), buffer=True, persistent=False),
        "a tensor outside the state dict, '2.table'",
    ),
    "a running mean outside the state dict": (Counting, "a tensor outside the state dict, '2.mean'"),
    "a running mean that is not saved": (
        lambda: Counting(persistent=False),
        "a tensor outside the state dict, '2.mean'",
    ),
    "Python's random numbers": (lambda: Held(random.random()), "build makes another network each time: '2.table'"),
    "another structure each time": (
        lambda: nn.Sequential(*[nn.Linear(12, 12) for _ in range(next(DEPTHS))]),
        "built anew, it raises RuntimeError",
    ),
    "what only a closure knows": (lambda: Hidden(), "random numbers, global variables"),
    "extra state of another kind": (lambda: Stated(lambda scale: {"scale": {1, 2}}), "holds a set in '2._extra_state"),
}
DEPTHS = iter(range(1, 1000))


class Hidden(nn.Module):
    """Multiplies by what no attribute shows."""

    def __init__(self) -> None:
        super().__init__()
        draw = random.random()
        self.scaled = lambda x: x * draw

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x)


@pytest.mark.parametrize("what", LOST)
def test_a_student_that_does_not_come_back_fails_in_words_that_name_the_cause(tmp_path: Path, what: str) -> None:
    between, reason = LOST[what]
    result, _ = trained(tmp_path, between)
    assert result["error"].startswith("does not come back from its saved weights: ")
    assert reason in result["error"]


def test_a_student_that_answers_otherwise_than_it_was_scored_is_lost(tmp_path: Path) -> None:
    _, context = trained(tmp_path)
    folder = tmp_path / "stretch"
    context.space.between = nn.Tanh
    assert "its answers differ" in why_lost(context, {"n": 1}, folder)
    (folder / ANSWERS).unlink()  # as a checkpoint of an earlier version
    assert why_lost(context, {"n": 1}, folder) == ""


def test_a_search_whose_students_do_not_come_back_ends_with_the_reason(tmp_path: Path) -> None:
    study = small_study(space=Space(lambda: Held(torch.rand(12)), linear))
    with pytest.raises(NoFrontError, match=r"does not come back .* outside the state dict, '2.table'"):
        search_study(study, run=tmp_path / "run")


def test_what_does_not_come_back_is_left_out_of_the_front_and_not_exported(tmp_path: Path) -> None:
    run = small_run(tmp_path, **{"budget.rungs": [1]})
    driver = small_driver(run)
    HERE.run_trials(run, driver, seconds=None, notify=lambda message: None)
    complete = driver.record.completed
    kept = non_dominated(as_losses([trial.values for trial in complete], run.context.objectives))
    best = next(trial for trial, keep in zip(complete, kept, strict=True) if keep)
    folder = checkpoint(run.folder, best)
    assert folder is not None
    scored = load_tensors(folder / ANSWERS)["answers"]
    save_tensors({"answers": scored + 1}, folder / ANSWERS)
    write_result(folder, read_result(folder) or {})
    front = finish(run, driver.record.trials, HERE, note="over", notify=lambda message: None)
    driver.record.close()
    assert best.number not in {student.trial for student in front}
    assert f"left out of the front: trial {best.number}, which does not come back" in front.note
    with pytest.raises(InputError, match=f"trial {best.number} does not come back"):
        export_trial(run.folder, best.number, tmp_path / "out" / "student.safetensors")
    assert not (tmp_path / "out").exists()
    export_trial(run.folder, front.front[0].trial, tmp_path / "out" / "student.safetensors")
