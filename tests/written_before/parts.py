"""Parts as the public protocols of `autokd.types` describe them, which no how-to shows."""

import hashlib
from collections import namedtuple

import torch
from torch import nn
from torch.nn import functional

from autokd.types import Objective


class Ordered:
    """A task by the protocol alone: five grades of a patient, of which near misses are better than far ones."""

    name = "grades"
    input_shape = (6,)
    num_outputs = 5
    num_rows = 500
    views = 2
    digest = hashlib.sha256(b"grades, first version").hexdigest()

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self._x = torch.randn(self.views, self.num_rows, 6, generator=generator)
        self._x[1] = self._x[0] + 0.1 * self._x[1]
        self._y = (self._x[0, :, 0] + self._x[0, :, 1] > torch.tensor([[-1.5], [-0.5], [0.5], [1.5]])).sum(dim=0)
        parts = torch.arange(self.num_rows).split([120, 150, 130, 70, 30])
        self.splits = dict(zip(("train", "transfer", "validation", "test", "reserve"), parts, strict=True))

    @property
    def chance(self):
        """The score of the grade that is nearest to all others."""
        targets = self.targets(self.splits["validation"])
        return max(self.score(functional.one_hot(targets * 0 + grade, 5), targets) for grade in range(5))

    def inputs(self, rows, view=0):
        return self._x[view, rows]

    def targets(self, rows):
        return self._y[rows]

    def hard_loss(self, outputs, targets):
        misses = (outputs.softmax(dim=1) * (torch.arange(5) - targets[:, None]).abs()).sum(dim=1).mean()
        return functional.cross_entropy(outputs, targets) + 0.1 * misses

    def score(self, outputs, targets):
        """Minus the mean distance between grades; 0 is the best, and no score is above it."""
        return -float((outputs.argmax(dim=1) - targets).abs().double().mean())


class Halves(nn.Module):
    """A network as a teacher, whose answer is a named tuple with logits."""

    Answer = namedtuple("Answer", ["logits", "hidden"])

    def __init__(self, scale=1.0):
        super().__init__()
        self.register_buffer("edges", torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]) * scale)

    def forward(self, x):
        value = x[:, :1] + x[:, 1:2]
        return self.Answer(-((value - self.edges) ** 2), value)


halves = Halves()


def margin(student, teacher, *, temperature, labels):
    """A loss that wants labels: rows that the teacher answers wrongly count half."""
    right = teacher.argmax(dim=1) == labels
    soft = functional.kl_div(
        (student / temperature).log_softmax(dim=1), (teacher / temperature).softmax(dim=1), reduction="none"
    )
    return temperature**2 * (soft.sum(dim=1) * torch.where(right, 1.0, 0.5)).mean()


def measure_within(evaluation, *, grades=1):
    """The share of rows that are at most so many grades off. It also looks at the teacher's answers."""
    assert evaluation.teacher.shape == evaluation.outputs.shape
    return float(((evaluation.outputs.argmax(dim=1) - evaluation.targets).abs() <= grades).double().mean())


def measure_weights(student, inputs):
    assert inputs.shape == (1, 6)
    return float(sum(weight.numel() for weight in student.parameters()))


within = Objective("within", "maximize", "", trained=True, measure=measure_within, ideal=1.0, worst=0.0)
weights = Objective("weights", "minimize", "", trained=False, measure=measure_weights)


def first_half(objectives, rungs):
    """A scheduler: at each rung the better half by the first trained objective trains on."""
    name = next(objective.name for objective in objectives if objective.trained)

    def advance(point, peers):
        if point.epoch == 0:
            return True
        better = sum(peer.values[name] > point.values[name] for peer in peers)
        return better <= len(peers) / 2

    return advance


def suggest(trial, task):
    return {
        "widths": [trial.suggest_int("width", task.num_outputs, 16)],
        "act": trial.suggest_categorical("act", ["relu", "tanh"]),
    }


def build(arch, task):
    layers, before = [], task.input_shape[0]
    for width in arch["widths"]:
        layers += [nn.Linear(before, width), {"relu": nn.ReLU, "tanh": nn.Tanh}[arch["act"]]()]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, task.num_outputs))


def write_sizes(student, inputs, path, card):
    """An exporter: the shape of each weight, and the names of what is known of it."""
    lines = [f"{name} {tuple(value.shape)}" for name, value in student.state_dict().items()]
    path.write_text("\n".join([str(tuple(student(inputs).shape)), *lines, *sorted(card.values)]) + "\n")
    return f"the sizes of {len(lines)} tensors"
