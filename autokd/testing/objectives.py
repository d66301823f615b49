"""The contract of an objective, as a class of tests."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from autokd.heads import Classes, Labels, Positions, Values
from autokd.registry import resolve
from autokd.types import Evaluation, Head, Objective


class ObjectiveContract:
    """Tests an objective: it gives one finite number, the same each time unless timed, and changes none of its inputs.

    Attributes:
        objective: the objective, or a reference to it.
    """

    objective: object

    def test_its_name_and_direction_say_what_it_is(self) -> None:
        """The name of a timed objective ends in its unit."""
        objective = self._objective()
        assert objective.name.isidentifier(), f"name {objective.name!r} is no identifier"
        assert objective.direction in ("maximize", "minimize"), f"direction is {objective.direction!r}"
        assert not (objective.timed and objective.trained), "what is timed reads a student, not its answers"
        if objective.timed:
            assert objective.unit, f"{objective.name} is timed and has no unit"
            assert objective.name.endswith(f"_{objective.unit}"), f"{objective.name} lacks _{objective.unit}"

    def test_its_range_holds_what_it_measures(self) -> None:
        """The ideal is better than the worst value, and no value is better than the ideal, if these are declared.

        If a trained objective declares a formula for its standard error, the error is finite and not negative.
        """
        for value in self._measure():
            self._hold_in_range(value)

    def _hold_in_range(self, value: float) -> None:
        objective = self._objective()
        sign = -1 if objective.direction == "maximize" else 1
        if objective.ideal is not None and objective.worst is not None:
            assert sign * objective.worst > sign * objective.ideal, (
                f"worst {objective.worst} is no worse than ideal {objective.ideal}"
            )
        if objective.ideal is not None:
            assert math.isfinite(objective.ideal), f"ideal is {objective.ideal}"
            assert sign * value >= sign * objective.ideal, f"{value} is better than the ideal, {objective.ideal}"
        if objective.standard_error is not None:
            error = objective.standard_error(value, 30)
            assert 0 <= error < math.inf, f"the standard error of {value} on 30 rows is {error}"

    def test_it_is_a_finite_number(self) -> None:
        """The value is a float of Python, so that JSON can hold it."""
        for value in self._measure():
            assert type(value) is float, f"measure returned a {type(value).__name__}, not a float"
            assert math.isfinite(value), f"measure returned {value}"

    def test_it_is_the_same_each_time_unless_timed(self) -> None:
        """The numbers of a trial depend on its architecture, its recipe and its seed only."""
        first, second = self._measure(), self._measure()
        assert self._objective().timed or first == second, f"{first}, and then {second}"

    def test_the_order_of_rows_does_not_matter(self) -> None:
        """An objective that measures answers ignores the place of a row."""
        objective = self._objective()
        for evaluation in _evaluations(objective) if objective.trained else ():
            student, targets, teacher = (part.flip(0) for part in _parts(evaluation))
            turned = Evaluation(student, targets, teacher, evaluation.head)
            first = objective.measure(evaluation, **objective.settings)
            second = objective.measure(turned, **objective.settings)
            assert math.isclose(first, second, rel_tol=1e-5, abs_tol=1e-6), f"{first}, in other order {second}"

    def test_what_it_reads_is_left_as_it_was(self) -> None:
        """The objective changes no weights, running statistics, train mode, gradients, inputs or answers."""
        objective = self._objective()
        student, inputs = _student()
        state = copy.deepcopy(student.state_dict())
        student[1].eval()
        for evaluation, before in zip(_evaluations(objective), _evaluations(objective), strict=True):
            if objective.trained:
                objective.measure(evaluation, **objective.settings)
            else:
                objective.measure(student, inputs, **objective.settings)
            for part, original in zip(_parts(evaluation), _parts(before), strict=True):
                assert torch.equal(part, original), "measure changed the answers it was given"
        for name, tensor in student.state_dict().items():
            assert torch.equal(tensor, state[name]), f"measure changed the student's {name}"
        assert [module.training for module in student] == [True, False, True, True, True], (
            "measure left the student, or a part of it, in another mode"
        )
        assert all(weight.grad is None for weight in student.parameters()), "measure left gradients behind"
        assert torch.equal(inputs, torch.ones(1, 1, 8, 8)), "measure changed its inputs"

    def _objective(self) -> Objective:
        return resolve("objectives", self.objective)

    def _measure(self) -> list[float]:
        """What it measures; a trained objective measures each kind of head that it is for."""
        objective = self._objective()
        if objective.trained:
            return [objective.measure(each, **objective.settings) for each in _evaluations(objective)]
        return [objective.measure(*_student(), **objective.settings)]


def _student() -> tuple[nn.Sequential, Tensor]:
    """A small network in train mode with layers that differ between modes, and one sample as a batch of one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 10)
    return nn.Sequential(*layers), torch.ones(1, 1, 8, 8)


def _evaluations(objective: Objective) -> list[Evaluation]:
    """Answers to 30 rows, most of them right, for each kind of head that a trained objective measures."""
    return [_evaluation(kind) for kind in objective.heads or ("",)]


def _evaluation(kind: str) -> Evaluation:
    generator = torch.Generator().manual_seed(0)
    names = tuple("abcdefghij")
    head: Head | None = None
    targets = torch.arange(30) % 10
    right = 2 * nn.functional.one_hot(targets, 10).float()
    match kind:
        case "classes":
            head = Classes(names)
        case "labels":
            head, targets = Labels(names), (right > 0).float()
        case "values":
            head, targets = Values(names, centre=(0.0,) * 10, scale=(1.0,) * 10), right
        case "positions":
            targets, right = targets.view(15, 2), right.view(15, 2, 10).transpose(1, 2)
            head = Positions(names, (2,))
    outputs, teacher = (right + torch.randn(right.shape, generator=generator) for _ in range(2))
    return Evaluation(outputs, targets, teacher, head)


def _parts(evaluation: Evaluation) -> tuple[Tensor, Tensor, Tensor]:
    return evaluation.outputs, evaluation.targets, evaluation.teacher
