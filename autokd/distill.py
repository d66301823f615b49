"""Trains a student for a stretch of epochs over the teacher's cached outputs, and reads its answers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from autokd import weights
from autokd.devices import Compute, batches
from autokd.errors import InfeasibleError
from autokd.heads import Weighing, hard_losses, heads_of, soft_losses, weighing
from autokd.networks import Laid, as_given, columns, in_fast_format, laid_for

if TYPE_CHECKING:
    from autokd.types import DistillationLoss, Recipe, Task

_ON_CPU = Compute()
_HEAD_WEIGHTS = "head_weights"
"""The name of learned weights of heads beside the optimizer's state; they are no part of the student."""
Schedule = Callable[[float], float]
"""The learning rate as a share of its peak, at a share (0 .. 1) of the full budget."""


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0.

    Early epochs rank students better under it than under one-cycle (Kendall .78 against .62 between epochs 3 and 27),
    so every search with rungs uses it.

    Source: Loshchilov, Hutter (2017), https://arxiv.org/abs/1608.03983, equation 5 without restarts.
    """
    return 0.5 * (1 + math.cos(math.pi * progress))


def one_cycle(progress: float) -> float:
    """A rise from 1/25 to 1 over the first 30 %, and a fall to 0 after that; for searches that stop no trial early.

    Source: Smith, Topin (2018), https://arxiv.org/abs/1708.07120, with cosine annealing as in torch's `OneCycleLR`.
    """
    if progress < 0.3:
        return 1 - (1 - 1 / 25) * cosine(progress / 0.3)
    return cosine((progress - 0.3) / 0.7)


class AdamW(torch.optim.AdamW):
    """torch's AdamW, step for step, without its import of torch's compiler.

    torch wraps these methods to tell its compiler to leave them alone, and imports the compiler for that. This import
    would cost the driver and every worker more than a second before the first step, so the unwrapped methods are used.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class Training:
    """A student in training: its weights, its optimizer, and the data from which it learns.

    Epoch e draws its batches and its dropout from (seed, e) alone, and the learning rate follows from the full budget.
    So a training that was saved and restored between epochs is, bit for bit, the same training.

    Args:
        student: is trained in place.
        task: gives inputs, labels, what the outputs mean, and the hard loss.
        answers: the teacher's answers by view and row, shape (views, rows, num_outputs); not read if `recipe.alpha` is
            0.
        recipe: how to train.
        loss: the soft term that `recipe.method` names.
        seed: the seed of batches and dropout; the caller has drawn the initial weights.
        schedule: the learning rate over the budget.
        compute: the device and the precision; `task` must give its inputs on this device, as `devices.on_device` does.

    Raises:
        InfeasibleError: the student has no trainable parameters, or the weights of all heads are 0.
    """

    def __init__(
        self,
        student: nn.Module,
        task: Task,
        answers: Tensor,
        recipe: Recipe,
        *,
        loss: DistillationLoss,
        seed: int,
        schedule: Schedule = cosine,
        compute: Compute = _ON_CPU,
    ) -> None:
        parameters = [parameter for parameter in student.parameters() if parameter.requires_grad]
        if not parameters:
            raise InfeasibleError("the student has no trainable parameters")
        self.student = student.to(compute.device)
        self._laid: Laid = as_given
        if len(task.input_shape) == 3:
            self.student, self._laid = in_fast_format(self.student, task.inputs(task.splits["train"][:2]))
        self.task, self.answers, self.recipe, self.loss = task, answers, recipe, loss
        self.seed, self.schedule, self.compute = seed, schedule, compute
        self._forward = compute.forward(self.student, task)
        fused = all(parameter.is_floating_point() for parameter in parameters)  # complex parameters cannot be fused
        self.heads = heads_of(task)
        self._only = next(iter(self.heads.values())) if len(self.heads) == 1 else None
        self._weigh = None if self._only is not None else weighing(recipe.head_weights, [*self.heads], compute.device)
        parameters += self._learned_weights
        self.optimizer = AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)

    def run(self, start: int, stop: int) -> None:
        """Trains epochs `start` .. `stop` - 1, and leaves the student in train mode.

        Raises:
            FloatingPointError: the loss is no longer finite.
        """
        device = self.compute.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            self.student.train()
            for epoch in range(start, stop):
                self._train_epoch(epoch)

    def save(self, folder: Path) -> None:
        """Writes weights and optimizer state into an existing folder, as safetensors.

        Raises:
            InfeasibleError: the student's state dict holds something that such a file cannot hold.
            OSError: a file cannot be written.
        """
        weights.save_weights(self.student, folder / "weights.safetensors")
        state = self.optimizer.state_dict()["state"]
        flat = {f"{i}.{key}": value for i, entry in state.items() for key, value in entry.items()}
        flat |= {f"{_HEAD_WEIGHTS}.{i}": weight.detach() for i, weight in enumerate(self._learned_weights)}
        weights.save_tensors(flat, folder / "optimizer.safetensors")

    def restore(self, folder: Path) -> None:
        """Loads what `save` wrote, so that the training goes on from there."""
        load_weights(self.student, folder)
        group = self.optimizer.param_groups[0]["params"]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in weights.load_tensors(folder / "optimizer.safetensors").items():
            index, key = name.split(".", 1)
            if index == _HEAD_WEIGHTS:
                self._learned_weights[int(key)].data.copy_(value)
                continue
            like = group[int(index)]  # files hold no memory format, so the parameter's is used
            moment = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(index), {})[key] = moment
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _train_epoch(self, epoch: int) -> None:
        torch.manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        task, recipe = self.task, self.recipe
        labelled, transfer = task.splits["train"], task.splits["transfer"]
        steps = math.ceil((len(labelled) + len(transfer)) / recipe.batch_size)
        drawn = draw(labelled, steps, recipe.batch_size)
        num_labelled = drawn.shape[1]
        if recipe.alpha > 0 and len(transfer):
            drawn = torch.cat([drawn, draw(transfer, steps, recipe.batch_size)], dim=1)
        view = epoch % task.views
        answers, device = self.answers[view], self.compute.device
        total = torch.zeros(())
        with closing(batches(task, drawn, view)) as given:
            for step, (rows, inputs) in enumerate(zip(drawn.to(device), given, strict=True)):
                progress = (epoch + step / steps) / recipe.epochs
                self.optimizer.param_groups[0]["lr"] = recipe.lr * self.schedule(progress)
                with self.compute.precision():
                    outputs = self._forward(self._laid(inputs))
                outputs = columns(outputs, self.heads).float()
                targets = task.targets(rows[:num_labelled])
                soft = answers[rows.to(answers.device)].to(device) if recipe.alpha > 0 else outputs
                total = self._total_loss(outputs, soft, targets)
                self.optimizer.zero_grad()
                total.backward()
                self.optimizer.step()
        if not math.isfinite(total.item()):
            raise FloatingPointError(f"the loss is {total.item()} in epoch {epoch}")

    @property
    def _learned_weights(self) -> list[nn.Parameter]:
        return [] if self._weigh is None else self._weigh.learned

    def _total_loss(self, outputs: Tensor, answers: Tensor, targets: Any) -> Tensor:
        """alpha * soft + (1 - alpha) * hard, without computing a term of weight 0; the labelled rows come first."""
        if self._weigh is not None:
            return self._total_of_heads(outputs, answers, targets, self._weigh)
        alpha = self.recipe.alpha
        if alpha == 0:
            return self.task.hard_loss(outputs, targets)
        soft = self._soft_loss(outputs, answers, targets)
        if alpha == 1:
            return soft
        return alpha * soft + (1 - alpha) * self.task.hard_loss(outputs[: len(targets)], targets)

    def _soft_loss(self, outputs: Tensor, answers: Tensor, targets: Tensor) -> Tensor:
        head, loss, temperature = self._only, self.loss, self.recipe.temperature
        assert head is not None
        if len(head.shape) > 1:
            outputs, answers = (each.view(len(each), *head.shape) for each in (outputs, answers))
        return head.soft_loss(outputs, answers, targets, loss=loss, temperature=temperature)

    def _total_of_heads(self, outputs: Tensor, answers: Tensor, targets: dict[str, Tensor], weigh: Weighing) -> Tensor:
        """The weighted sum of the total of each head, which is alpha * soft + (1 - alpha) * hard, as for one head."""
        alpha, loss, temperature = self.recipe.alpha, self.loss, self.recipe.temperature
        if alpha == 0:
            return weigh(hard_losses(outputs, targets, self.heads))
        soft = soft_losses(outputs, answers, targets, self.heads, loss=loss, temperature=temperature)
        if alpha == 1:
            return weigh(soft)
        hard = hard_losses(outputs[: len(next(iter(targets.values())))], targets, self.heads)
        return weigh({name: alpha * soft[name] + (1 - alpha) * hard[name] for name in self.heads})


def draw(rows: Tensor, steps: int, batch_size: int) -> Tensor:
    """`steps` batches of rows, shape (steps, min(batch_size, len(rows))), cut from shuffles of all rows.

    Every batch is full, so no batch holds a single row unless `rows` does. Each row is drawn equally often, to within
    one.
    """
    size = min(batch_size, len(rows))
    shuffles = [rows[torch.randperm(len(rows))] for _ in range(math.ceil(steps * size / len(rows)))]
    return torch.cat(shuffles)[: steps * size].view(steps, size)


def predict(student: nn.Module, task: Task, rows: Tensor, *, batch_size: int = 512) -> Tensor:
    """The student's outputs in eval mode on unaugmented rows, on the CPU, shape (len(rows), num_outputs)."""
    if not len(rows):
        return torch.empty(0, task.num_outputs)
    training, device, heads = student.training, next(student.parameters()).device, heads_of(task)
    student.eval()
    try:
        laid = laid_for(student, task.inputs(rows[:2]).to(device))
        with torch.inference_mode(), closing(batches(task, rows.split(batch_size))) as given:
            outputs = [columns(student(laid(inputs.to(device))), heads).cpu() for inputs in given]
    finally:
        student.train(training)
    return torch.cat(outputs).float().clone()


def load_weights(student: nn.Module, folder: Path) -> None:
    """Loads the weights of a checkpoint strictly."""
    weights.load_weights(student, folder / "weights.safetensors")
