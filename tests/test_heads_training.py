"""How students of several heads are trained, measured and taught."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from small_heads import HEADS, SPLITS, TARGETS, task_of
from torch import Tensor, nn

from autokd.distill import Training, predict
from autokd.errors import InfeasibleError, InputError
from autokd.heads import Values, heads_of, weighing
from autokd.losses import kd
from autokd.study import RecipeSpace, Study, dump, override, resolve_objectives
from autokd.study.teacher import OutputsSection
from autokd.tasks import load_task, save_task
from autokd.teachers.answers import ask
from autokd.teachers.answers_file import from_outputs
from autokd.teachers.ensemble import Ensemble
from autokd.teachers.networks import NetworkTeacher
from autokd.types import Recipe, settings_of
from autokd.weights import load_tensors

SEVERAL = task_of("several")
WIDTH = SEVERAL.num_outputs


def student(width: int = WIDTH) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, width))


def answers(width: int = WIDTH) -> Tensor:
    return torch.randn(1, SEVERAL.num_rows, width, generator=torch.Generator().manual_seed(3))


def training(recipe: Recipe, network: nn.Module | None = None) -> Training:
    return Training(network or student(), SEVERAL, answers(), recipe, loss=kd, seed=1)


def study(task: object, **given: Any) -> Study:
    told = {"name": "heads", "task": task, "teacher": {"space": "mlp", "arch": {}, "epochs": 1}, "space": "mlp"}
    return Study.model_validate({**told, **given})


# training


@pytest.mark.parametrize("weights", [{}, {"classes": 3, "labels": 0.5}, "uncertainty"])
def test_resumed_training_of_several_heads_is_the_same_training(weights: Any, tmp_path: Path) -> None:
    recipe = Recipe(alpha=0.5, batch_size=32, epochs=4, lr=0.01, head_weights=weights)
    whole = training(recipe)
    whole.run(0, 4)
    first = training(recipe)
    first.run(0, 2)
    first.save(tmp_path)
    second = training(recipe)
    second.restore(tmp_path)
    second.run(2, 4)
    for name, weight in whole.student.state_dict().items():
        assert second.student.state_dict()[name].equal(weight)


def test_learned_weights_are_no_part_of_the_student(tmp_path: Path) -> None:
    trained = training(Recipe(alpha=0.5, batch_size=32, epochs=1, head_weights="uncertainty"))
    trained.run(0, 1)
    trained.save(tmp_path)
    assert load_tensors(tmp_path / "weights.safetensors").keys() == student().state_dict().keys()
    (learned,) = trained._learned_weights
    assert learned.abs().min() > 0
    assert load_tensors(tmp_path / "optimizer.safetensors")["head_weights.0"].equal(learned.detach())


def test_the_total_is_the_weighted_mean_over_heads() -> None:
    recipe = Recipe(alpha=0.25, batch_size=32, temperature=2.0, head_weights={"classes": 2, "values": 1, "labels": 0})
    rows = SPLITS["train"][:8]
    outputs, taught, targets = torch.randn(8, WIDTH), torch.randn(8, WIDTH), SEVERAL.targets(rows + 40)
    total = training(recipe)._total_loss(outputs, taught, targets)
    terms = []
    for name, start, stop, weight in (("classes", 0, 3, 2 / 3), ("values", 3, 5, 1 / 3)):
        head, own = HEADS[name], slice(start, stop)
        soft = head.soft_loss(outputs[:, own], taught[:, own], targets[name], loss=kd, temperature=2.0)
        terms.append(weight * (0.25 * soft + 0.75 * head.hard_loss(outputs[:, own], targets[name])))
    torch.testing.assert_close(total, torch.stack(terms).sum())


def test_only_the_ratios_of_weights_count() -> None:
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(5.0)}
    small, large = (weighing({"a": each, "b": 3 * each}, ["a", "b"], torch.device("cpu")) for each in (0.1, 10.0))
    assert small(losses).item() == pytest.approx(large(losses).item())
    assert small(losses).item() == pytest.approx(4.0)


def test_learned_weights_settle_where_each_head_counts_the_inverse_of_its_loss() -> None:
    weigh = weighing("uncertainty", ["a", "b"], torch.device("cpu"))
    optimizer = torch.optim.SGD(weigh.learned, lr=0.3)
    losses = {"a": torch.tensor(0.5), "b": torch.tensor(4.0)}
    for _ in range(300):
        optimizer.zero_grad()
        weigh(losses).backward()
        optimizer.step()
    torch.testing.assert_close((-weigh.learned[0]).exp(), torch.tensor([1.0, 0.125]))


def test_weights_that_sum_to_nothing_are_refused() -> None:
    with pytest.raises(InfeasibleError, match="the weights of all heads are 0"):
        weighing({"a": 0, "b": 0}, ["a", "b"], torch.device("cpu"))


class ByHead(nn.Module):
    """A network that answers each head by its name, in another order than that of the task."""

    def __init__(self) -> None:
        super().__init__()
        self.of_labels, self.of_values, self.of_classes = nn.Linear(6, 2), nn.Linear(6, 2), nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"labels": self.of_labels(inputs), "values": self.of_values(inputs), "classes": self.of_classes(inputs)}


def test_a_network_may_answer_by_the_names_of_heads() -> None:
    network = ByHead()
    training(Recipe(alpha=0.5, batch_size=32, epochs=1), network).run(0, 1)
    rows = SPLITS["validation"]
    given = network(SEVERAL.inputs(rows))
    expected = torch.cat([given[name] for name in ("classes", "values", "labels")], dim=1)
    assert predict(network, SEVERAL, rows).equal(expected.detach())


def test_a_network_may_answer_positions_in_their_own_shape() -> None:
    task = task_of("positions")
    network = nn.Sequential(nn.Linear(6, 9), nn.Unflatten(1, (3, 3)))
    trained = Training(
        network, task, torch.zeros(1, task.num_rows, 9), Recipe(batch_size=32, epochs=1), loss=kd, seed=0
    )
    trained.run(0, 1)
    assert predict(network, task, SPLITS["test"]).shape == (30, 9)


# the recipe


def test_a_recipe_without_weights_is_the_plain_data_it_was() -> None:
    assert "head_weights" not in settings_of(Recipe())
    assert settings_of(Recipe(head_weights={"a": 2.0}))["head_weights"] == {"a": 2.0}
    assert "head_weights" not in dump(study("digits"))["recipe"]


def test_weights_are_suggested_by_head() -> None:
    space = RecipeSpace.model_validate(
        {"head_weights": {"classes": {"low": 0.1, "high": 10, "log": True}, "values": 1}}
    )
    drawn = []
    optuna.create_study().optimize(
        lambda trial: drawn.append((space.suggest(trial, epochs=1), trial)) or 0.0, n_trials=1
    )
    ((recipe, trial),) = drawn
    assert recipe.head_weights == {"classes": trial.params["recipe.head_weights.classes"], "values": 1}


@pytest.mark.parametrize("kind", ["values", "gaussian"])
def test_values_alone_have_neither_temperature_nor_method(kind: str) -> None:
    trial = optuna.trial.FixedTrial({"recipe.alpha": 0.5, "recipe.lr": 0.01})
    recipe = RecipeSpace().suggest(trial, epochs=1, heads=heads_of(task_of(kind)))
    assert (recipe.temperature, recipe.method) == (1.0, "kd")


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"class": 2}, "no head 'class'; its heads are classes, values, labels; did you mean 'classes'"),
        ({"classes": 0, "values": 0, "labels": 0}, "the weights of all heads are 0"),
    ],
)
def test_weights_that_do_not_fit_the_heads_are_refused(weights: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        RecipeSpace.model_validate({"head_weights": weights}).refuse_heads(SEVERAL.heads)


def test_weights_for_one_head_are_refused() -> None:
    with pytest.raises(InputError, match="the task has one head, so there is nothing to weigh"):
        RecipeSpace.model_validate({"head_weights": "uncertainty"}).refuse_heads(task_of("values").heads)


# objectives


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("classes", ["accuracy", "parameters"]),
        ("labels", ["auc", "parameters"]),
        ("values", ["rmse", "parameters"]),
        ("positions", ["miou", "parameters"]),
        ("several", ["classes.accuracy", "values.rmse", "labels.auc", "parameters"]),
    ],
)
def test_the_default_objectives_are_those_of_the_heads(kind: str, names: list[str]) -> None:
    task = task_of(kind)
    assert [objective.name for objective in resolve_objectives(study(task), task.heads)] == names


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("values", "accuracy", "accuracy is for classes and labels and positions, and the task's answers are values; "),
        ("several", "accuracy", "has the heads classes, values, labels; write classes.accuracy or values.accuracy"),
        (
            "several",
            "values.f1",
            "and head 'values' answers with values; write one of values.mae, values.r2, values.rm",
        ),
        ("several", "class.f1", "the task has the heads classes, values, labels"),
        ("values", "values.rmse", "the task has one head; write rmse"),
        ("several", "values.parameters", "parameters is not measured on a head; write parameters"),
    ],
)
def test_an_objective_that_does_not_fit_a_head_is_refused(kind: str, name: str, words: str) -> None:
    task = task_of(kind)
    with pytest.raises(InputError, match=words):
        resolve_objectives(study(task, objectives={name: {}, "flops": {}}), task.heads)


def test_a_bound_of_an_objective_of_a_head_can_be_overridden() -> None:
    before = study(SEVERAL, objectives={"values.rmse": {}, "parameters": {}})
    after = override(before, {"objectives.values.rmse.bound": 30.0})
    assert after.objectives == {"values.rmse": {"bound": 30.0}, "parameters": {}}


# teachers


@dataclass(frozen=True)
class Told:
    """A teacher that gives these outputs to the first rows."""

    given: Any
    name: str = "told"
    digest: str = "0" * 64

    def outputs(self, inputs: Tensor) -> Any:
        given = self.given
        return {k: v[: len(inputs)] for k, v in given.items()} if isinstance(given, dict) else given[: len(inputs)]


@pytest.mark.parametrize("kind", ["values", "gaussian"])
def test_a_teacher_answers_values_in_the_users_unit(kind: str) -> None:
    task = task_of(kind)
    rows = SPLITS["train"][:5]
    given = ask(Told(TARGETS["values"]), task, rows, 0)
    assert given.shape == (5, task.num_outputs)
    torch.testing.assert_close(task.heads[""].in_units(given).float(), TARGETS["values"][:5])


def test_a_teacher_that_a_space_builds_answers_as_a_student_does() -> None:
    task, network = task_of("values"), nn.Linear(6, 2)
    rows = SPLITS["train"][:5]
    theirs = ask(NetworkTeacher("theirs", "0" * 64, network), task, rows, 0)
    ours = ask(NetworkTeacher("ours", "0" * 64, network, standardised=True), task, rows, 0)
    torch.testing.assert_close(ours, network(task.inputs(rows)).detach())
    torch.testing.assert_close(task.heads[""].in_units(theirs).float(), ours)


def test_a_teacher_of_one_value_may_leave_out_the_last_dimension() -> None:
    one = replace(task_of("values"), y=TARGETS["values"][:, :1], own_heads={"": Values(("cm",), (100.0,), (20.0,))})
    given = ask(Told(TARGETS["values"][:, 0]), one, SPLITS["train"][:5], 0)
    torch.testing.assert_close(given, (TARGETS["values"][:5, :1] - 100) / 20)


def test_a_teacher_of_several_heads_may_answer_by_their_names() -> None:
    rows = SPLITS["train"][40:45]
    given = {"labels": torch.randn(5, 2), "values": TARGETS["values"][40:45], "classes": torch.randn(5, 3)}
    found = ask(Told(given), SEVERAL, rows, 0)
    assert found[:, :3].equal(given["classes"])
    torch.testing.assert_close(HEADS["values"].in_units(found[:, 3:5]).float(), given["values"])
    assert found[:, 5:].equal(given["labels"])


def test_a_teacher_without_one_of_the_heads_is_refused() -> None:
    with pytest.raises(InputError, match=r"'told' answers labels, classes, but .* values is missing"):
        ask(Told({"labels": torch.randn(5, 2), "classes": torch.randn(5, 3)}), SEVERAL, SPLITS["train"][:5], 0)


def test_several_teachers_answer_each_head_with_its_own_mean() -> None:
    rows = SPLITS["train"][:5]
    members = [
        Told(torch.cat([torch.randn(5, 3), TARGETS["values"][:5] + shift, torch.randn(5, 2)], 1)) for shift in (-1, 1)
    ]
    mean = ask(Ensemble(tuple(members), (1.0, 1.0)), SEVERAL, rows, 0)
    torch.testing.assert_close(HEADS["values"].in_units(mean[:, 3:5]).float(), TARGETS["values"][:5])
    both = [each.given[:, 5:].sigmoid() for each in members]
    torch.testing.assert_close(mean[:, 5:].sigmoid(), (both[0] + both[1]) / 2)


def test_a_file_of_answers_holds_values_in_the_users_unit(tmp_path: Path) -> None:
    task = task_of("values")
    np.save(tmp_path / "answers.npy", TARGETS["values"].numpy())
    teacher = from_outputs(OutputsSection(outputs=str(tmp_path / "answers.npy")), task)
    given = ask(teacher, task, SPLITS["test"], 0)
    torch.testing.assert_close(task.heads[""].in_units(given).float(), TARGETS["values"][SPLITS["test"]])


# on disk


@pytest.mark.parametrize("kind", ["classes", "labels", "values", "gaussian", "positions", "several"])
def test_a_task_comes_back_from_its_folder(kind: str, tmp_path: Path) -> None:
    task = task_of(kind)
    there = load_task(save_task(task, tmp_path / "task") and tmp_path / "task")
    assert there.heads == task.heads
    assert there.class_names == task.class_names
    rows = torch.arange(task.num_rows)
    given, expected = there.targets(rows), task.targets(rows)
    if isinstance(expected, dict):
        assert all(torch.equal(given[name].nan_to_num(), each.nan_to_num()) for name, each in expected.items())
    else:
        assert given.equal(expected)
    assert there.score(torch.zeros(50, task.num_outputs), task.targets(SPLITS["validation"])) <= task.chance + 1e-6
