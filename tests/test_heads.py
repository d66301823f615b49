from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autokd.errors import InfeasibleError, InputError
from autokd.heads import (
    Classes,
    Labels,
    Own,
    Positions,
    Values,
    apart,
    flat,
    hard_losses,
    head_of,
    heads_of,
    soft_losses,
    width,
)
from autokd.losses import dist, dkd, kd, logit_std
from autokd.testing import TinyTask
from autokd.types import Head

CLASSES = Classes(("a", "b", "c"))
LABELS = Labels(("x", "y"))
VALUES = Values(("u", "v"), centre=(10.0, -2.0), scale=(4.0, 0.5))
GAUSSIAN = Values(("u", "v"), centre=(10.0, -2.0), scale=(4.0, 0.5), variance=True)
POSITIONS = Positions(("a", "b", "c"), (2, 3))
KINDS = {"classes": CLASSES, "labels": LABELS, "values": VALUES, "gaussian": GAUSSIAN, "positions": POSITIONS}
NAN = math.nan


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some_targets(head: Head, rows: int) -> Tensor:
    """Targets that are all known."""
    generator = torch.Generator().manual_seed(1)
    if head.kind == "classes":
        return torch.randint(3, (rows,), generator=generator)
    if head.kind == "labels":
        return torch.randint(2, (rows, 2), generator=generator).float()
    if head.kind == "positions":
        return torch.randint(3, (rows, 2, 3), generator=generator)
    return torch.tensor([10.0, -2.0]) + torch.tensor([4.0, 0.5]) * noise(rows, 2, seed=1)


def unknown(head: Head, targets: Tensor) -> Tensor:
    """A value for targets that are not known."""
    return torch.full_like(targets, {"classes": -1, "positions": -100}.get(head.kind, NAN))


every_kind = pytest.mark.parametrize("head", KINDS.values(), ids=KINDS)


@every_kind
def test_a_student_that_equals_its_teacher_has_a_soft_loss_of_0(head: Head) -> None:
    answers = noise(6, *head.shape)
    loss = head.soft_loss(answers, answers.clone(), some_targets(head, 6), loss=kd, temperature=3.0)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


@every_kind
@pytest.mark.parametrize("loss", [kd, dkd, dist, logit_std])
def test_no_student_has_a_smaller_soft_loss_than_the_teacher_itself(head: Head, loss: object) -> None:
    student, teacher = noise(2, 6, *head.shape)
    targets = some_targets(head, 4)
    at_teacher, elsewhere = (
        head.soft_loss(each, teacher, targets, loss=loss, temperature=2.0) for each in (teacher, student)
    )
    assert at_teacher < elsewhere


@every_kind
def test_no_gradient_of_the_soft_loss_reaches_the_teacher(head: Head) -> None:
    student, teacher = (noise(6, *head.shape, seed=seed).requires_grad_() for seed in (0, 1))
    head.soft_loss(student, teacher, some_targets(head, 6), loss=kd, temperature=2.0).backward()
    assert student.grad is not None
    assert student.grad.any()
    assert teacher.grad is None or not teacher.grad.any()


@every_kind
def test_the_hard_loss_is_a_mean_over_rows_in_any_order(head: Head) -> None:
    outputs, targets = noise(6, *head.shape), some_targets(head, 6)
    once = head.hard_loss(outputs, targets)
    torch.testing.assert_close(head.hard_loss(outputs.flip(0), targets.flip(0)), once)
    torch.testing.assert_close(head.hard_loss(torch.cat([outputs, outputs]), torch.cat([targets, targets])), once)


@every_kind
def test_right_outputs_score_best_and_blind_ones_no_better_than_others(head: Head) -> None:
    targets = some_targets(head, 40)
    right, blind = head.right(targets), head.blind(targets).expand(40, *head.shape)
    assert head.score(right, targets) == pytest.approx(1.0, abs=1e-6)
    assert head.score(blind, targets) < 0.7
    assert head.hard_loss(right, targets) < head.hard_loss(blind, targets)


@every_kind
def test_blind_answers_have_the_least_loss_of_all_that_do_not_look(head: Head) -> None:
    targets = some_targets(head, 200)
    blind = head.blind(targets)
    best = head.hard_loss(blind.expand(200, *head.shape), targets)
    for seed in range(10):
        other = blind + 0.3 * noise(*head.shape, seed=seed)
        assert head.hard_loss(other.expand(200, *head.shape), targets) > best


@every_kind
def test_a_head_is_made_again_from_its_plain_data(head: Head) -> None:
    assert head_of(head.plain()) == head


@every_kind
def test_unknown_targets_are_left_out_of_the_hard_loss(head: Head) -> None:
    outputs, targets = noise(6, *head.shape), some_targets(head, 6)
    partly = torch.cat([targets[:4], unknown(head, targets[4:])])
    torch.testing.assert_close(head.hard_loss(outputs, partly), head.hard_loss(outputs[:4], targets[:4]))
    assert head.known(partly).tolist() == [True] * 4 + [False] * 2


def test_one_known_label_or_value_of_a_row_counts() -> None:
    labels = torch.tensor([[1.0, NAN], [NAN, 0.0]])
    outputs = noise(2, 2)
    alone = F.binary_cross_entropy_with_logits(outputs.diagonal(), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(LABELS.hard_loss(outputs, labels), alone)
    values = torch.tensor([[14.0, NAN], [NAN, -2.0]])
    torch.testing.assert_close(
        VALUES.hard_loss(outputs, values), ((outputs.diagonal() - torch.tensor([1.0, 0.0])) ** 2).mean()
    )
    assert LABELS.known(labels).all()
    assert VALUES.known(values).all()


def test_masked_places_are_left_out_of_both_losses() -> None:
    student, teacher, targets = noise(3, 3, 2, 3), noise(3, 3, 2, 3, seed=1), some_targets(POSITIONS, 3)
    masked = targets.clone()
    masked[:, :, 0] = -100
    moved_student, moved_teacher = student.clone(), teacher.clone()
    moved_student[..., 0] += 7
    moved_teacher[..., 0] -= noise(3, 3, 2)
    for loss in (kd, dkd):
        before = POSITIONS.soft_loss(student, teacher, masked, loss=loss, temperature=2.0)
        after = POSITIONS.soft_loss(moved_student, moved_teacher, masked, loss=loss, temperature=2.0)
        torch.testing.assert_close(after, before)
    torch.testing.assert_close(POSITIONS.hard_loss(moved_student, masked), POSITIONS.hard_loss(student, masked))


def test_a_loss_at_positions_gets_the_logits_of_each_place() -> None:
    seen = []

    def loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        seen.append((student, teacher))
        return kd(student, teacher, temperature=temperature)

    student, teacher = noise(4, 3, 2, 3), noise(4, 3, 2, 3, seed=1)
    POSITIONS.soft_loss(student, teacher, some_targets(POSITIONS, 2), loss=loss, temperature=1.0)
    (given,) = seen
    assert [tuple(each.shape) for each in given] == [(24, 3), (24, 3)]
    torch.testing.assert_close(given[0][0], student[0, :, 0, 0])
    torch.testing.assert_close(given[1][-1], teacher[-1, :, -1, -1])


def test_labels_are_distilled_as_problems_of_two_classes() -> None:
    student, teacher = noise(5, 2), noise(5, 2, seed=1)
    loss = LABELS.soft_loss(student, teacher, torch.empty(0, 2), loss=kd, temperature=2.0)
    p, q = (teacher / 2).sigmoid().double(), (student / 2).sigmoid().double()
    written_out = 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    assert loss.item() == pytest.approx(written_out.item(), rel=1e-5)


@given(temperature=st.floats(1.0, 16.0))
@settings(max_examples=20, deadline=None)
def test_the_gradient_of_soft_labels_grows_with_temperature_as_that_of_classes_does(temperature: float) -> None:
    student, teacher = noise(5, 2).requires_grad_(), noise(5, 2, seed=1)
    LABELS.soft_loss(student, teacher, torch.empty(0, 2), loss=kd, temperature=temperature).backward()
    difference = (student / temperature).sigmoid() - (teacher / temperature).sigmoid()
    torch.testing.assert_close(student.grad, temperature * difference.detach() / 10, rtol=1e-3, atol=1e-6)


def test_values_are_answered_in_the_users_unit() -> None:
    outputs = torch.tensor([[0.0, 1.0], [-2.0, 0.0]])
    assert VALUES.in_units(outputs).tolist() == [[10.0, -1.5], [2.0, -2.0]]
    assert GAUSSIAN.in_units(torch.cat([outputs, outputs], dim=1)).tolist() == [[10.0, -1.5], [2.0, -2.0]]


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2))
@settings(max_examples=50, deadline=None)
def test_values_come_back_from_standardised_units(given: list[float]) -> None:
    there = torch.tensor([given])
    for head in (VALUES, GAUSSIAN):
        torch.testing.assert_close(head.in_units(head.from_units(there)).float(), there, rtol=1e-4, atol=1e-3)


def test_the_gradient_of_squared_error_is_twice_the_difference_shared_among_all_values() -> None:
    student, teacher = noise(4, 2).requires_grad_(), noise(4, 2, seed=1)
    VALUES.soft_loss(student, teacher, torch.empty(0, 2), loss=kd, temperature=5.0).backward()
    torch.testing.assert_close(student.grad, 2 * (student - teacher).detach() / 8)


def test_a_gaussian_has_the_likelihood_that_torch_gives_it() -> None:
    outputs, targets = noise(6, 4), some_targets(GAUSSIAN, 6)
    means, logs = outputs.split(2, dim=1)
    theirs = F.gaussian_nll_loss(means, GAUSSIAN.standardised(targets), logs.exp())
    torch.testing.assert_close(GAUSSIAN.hard_loss(outputs, targets), theirs)


def test_the_soft_loss_of_gaussians_is_the_divergence_that_torch_gives() -> None:
    student, teacher = noise(6, 4), noise(6, 4, seed=1)
    p, q = (torch.distributions.Normal(each[:, :2], (each[:, 2:] / 2).exp()) for each in (teacher, student))
    loss = GAUSSIAN.soft_loss(student, teacher, torch.empty(0, 2), loss=kd, temperature=1.0)
    torch.testing.assert_close(loss, torch.distributions.kl_divergence(p, q).mean())


def test_several_teachers_of_values_have_the_variance_of_their_mixture() -> None:
    first, second = torch.tensor([[0.0, 0.0, 0.0, 0.0]]), torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    mean = GAUSSIAN.mean([first, second], [0.5, 0.5])
    torch.testing.assert_close(mean, torch.tensor([[1.0, 0.0, math.log(2.0), 0.0]]))
    torch.testing.assert_close(VALUES.mean([first[:, :2], second[:, :2]], [0.25, 0.75]), torch.tensor([[1.5, 0.0]]))


def test_teachers_of_values_without_variance_have_that_of_their_means() -> None:
    certain = [GAUSSIAN.from_units(torch.tensor([[10.0 + each, -2.0]])) for each in (-4.0, 4.0)]
    variances = GAUSSIAN.mean(certain, [0.5, 0.5])[0, 2:].exp()
    torch.testing.assert_close(variances, torch.tensor([1.0001, 0.0001]))


def test_several_teachers_of_labels_and_positions_have_the_mean_of_their_probabilities() -> None:
    first, second = noise(4, 2), noise(4, 2, seed=1)
    mean = LABELS.mean([first, second], [0.3, 0.7]).sigmoid()
    torch.testing.assert_close(mean, 0.3 * first.sigmoid() + 0.7 * second.sigmoid())
    first, second = noise(4, 3, 2, 3), noise(4, 3, 2, 3, seed=1)
    mean = POSITIONS.mean([first, second], [0.3, 0.7]).softmax(dim=1)
    torch.testing.assert_close(mean, 0.3 * first.softmax(dim=1) + 0.7 * second.softmax(dim=1))


def test_the_scores_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import jaccard_score, r2_score

    outputs, targets = noise(30, *POSITIONS.shape), some_targets(POSITIONS, 30)
    given = outputs.argmax(1).flatten().numpy()
    assert POSITIONS.score(outputs, targets) == pytest.approx(
        jaccard_score(targets.flatten().numpy(), given, average="macro")
    )
    outputs, targets = noise(30, 2), some_targets(VALUES, 30)
    assert VALUES.score(outputs, targets) == pytest.approx(r2_score(targets, VALUES.in_units(outputs)), rel=1e-5)


@every_kind
def test_outputs_that_are_not_numbers_have_no_score(head: Head) -> None:
    assert math.isnan(head.score(torch.full((4, *head.shape), NAN), some_targets(head, 4)))


def test_heads_own_the_columns_in_their_order() -> None:
    heads = {"digit": CLASSES, "place": POSITIONS, "size": VALUES}
    parts = {name: noise(4, *head.shape, seed=seed) for seed, (name, head) in enumerate(heads.items())}
    columns = flat({name: parts[name] for name in ("size", "digit", "place")}, heads)
    assert columns.shape == (4, width(heads))
    assert width(heads) == 3 + 18 + 2
    assert columns[:, :3].equal(parts["digit"])
    assert all(part.equal(parts[name]) for name, part in apart(columns, heads).items())


def test_the_answer_of_one_plain_head_is_not_copied() -> None:
    outputs = noise(4, 3)
    assert apart(outputs, {"": CLASSES})[""] is outputs


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"digit": noise(4, 3)}, "'digit'|size is missing"),
        ({"digit": noise(4, 3), "size": noise(4, 3)}, r"'size' with shape \(4, 3\); it should be \(batch, 2\)"),
    ],
)
def test_a_network_that_does_not_answer_a_head_is_refused(given: dict[str, Tensor], words: str) -> None:
    with pytest.raises(InfeasibleError, match=words):
        flat(given, {"digit": CLASSES, "size": VALUES})


def test_a_head_of_which_nothing_is_known_has_no_loss_and_keeps_the_graph() -> None:
    heads = {"digit": CLASSES, "size": VALUES}
    outputs = noise(4, 5).requires_grad_()
    targets = {"digit": torch.full((4,), -1), "size": torch.tensor([[14.0, NAN]] + [[NAN, NAN]] * 3)}
    losses = hard_losses(outputs, targets, heads)
    assert losses["digit"].item() == 0
    sum(losses.values(), torch.zeros(())).backward()
    assert outputs.grad is not None
    assert outputs.grad.nonzero().tolist() == [[0, 3]]


def test_a_row_of_unknown_class_is_distilled_without_its_label() -> None:
    heads = {"digit": CLASSES, "size": VALUES}
    student, teacher = noise(5, 5), noise(5, 5, seed=1)
    targets = {"digit": torch.tensor([-1, 2, -1]), "size": some_targets(VALUES, 3)}
    losses = soft_losses(student, teacher, targets, heads, loss=dkd, temperature=2.0)
    one = dkd(student[1:2, :3], teacher[1:2, :3], temperature=2.0, labels=torch.tensor([2]))
    rest = torch.tensor([0, 2, 3, 4])
    others = kd(student[rest, :3], teacher[rest, :3], temperature=2.0)
    torch.testing.assert_close(losses["digit"], one / 5 + others * 4 / 5)
    torch.testing.assert_close(losses["size"], ((student[:, 3:] - teacher[:, 3:]) ** 2).mean())


def test_a_task_without_heads_has_one_with_its_own_loss_and_score() -> None:
    task = TinyTask()
    ((name, head),) = heads_of(task).items()
    rows = task.splits["train"]
    outputs, targets = noise(len(rows), task.num_outputs), task.targets(rows)
    assert name == ""
    assert isinstance(head, Own)
    assert head.shape == (task.num_outputs,)
    assert head.hard_loss(outputs, targets).equal(task.hard_loss(outputs, targets))
    assert head.score(outputs, targets) == task.score(outputs, targets)


@pytest.mark.parametrize(
    ("plain", "words"),
    [({"kind": "ranks"}, "'ranks' is not known; the kinds are"), ({"kind": "classes", "nams": []}, "cannot be made")],
)
def test_plain_data_that_are_no_head_are_refused(plain: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        head_of(plain)
