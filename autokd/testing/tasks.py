"""The contract of a task, as a class of tests."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor

from autokd.heads import by_head, head_of, heads_of
from autokd.registry import resolve
from autokd.tasks.made import made
from autokd.types import Head, Task, Teacher

_MADE_APART = """
import sys
from autokd.tasks.made import made
sys.stdout.write(made(sys.argv[1], {}).digest)
"""
_SPLITS = {"train", "transfer", "validation", "test", "reserve"}


def assert_digest(owner: Task | Teacher) -> None:
    """Checks that a digest is hexadecimal and the same each time, and that its owner has a name."""
    digest = owner.digest
    assert len(digest) >= 8, f"digest {digest!r} is too short to tell anything apart"
    assert set(digest) <= set("0123456789abcdef"), f"digest {digest!r} is not in hexadecimal"
    assert owner.digest == digest, "digest changes from one reading to the next"
    assert owner.name, "name is empty"


def _assert_ids(ids: Tensor, input_shape: tuple[int, ...], vocabulary: int) -> None:
    """Checks the ids of texts."""
    assert ids.dtype == torch.int64, f"ids are {ids.dtype}, not int64"
    assert ids.ndim == 2, f"ids have shape {tuple(ids.shape)}, not (rows, tokens)"
    assert ids.shape[1] <= input_shape[0], f"a text has {ids.shape[1]} tokens; input_shape says {input_shape[0]}"
    assert ((ids >= 0) & (ids < vocabulary)).all(), f"ids leave 0 .. {vocabulary - 1}"
    assert (ids[:, 0] != 0).all(), "a text begins with padding, or has no token"
    assert ((ids[:, :-1] != 0) | (ids[:, 1:] == 0)).all(), "a token stands after padding"


class TaskContract:
    """Tests a task: its splits do not overlap, its inputs are the same each time, and chance is its best blind score.

    Attributes:
        task: the task, or a reference to it or to a function that makes it.
    """

    task: object

    def test_splits_are_row_numbers_that_do_not_overlap(self) -> None:
        """There are all five splits, and only `train` must hold rows."""
        task = self._task()
        assert set(task.splits) == _SPLITS, f"splits are {sorted(task.splits)}, not {sorted(_SPLITS)}"
        assert len(task.splits["train"]) > 0, "the split 'train' is empty"
        for name, rows in task.splits.items():
            assert rows.dtype == torch.int64, f"split '{name}' is {rows.dtype}, not int64"
            assert rows.ndim == 1, f"split '{name}' has {rows.ndim} dimensions, not 1"
            assert ((rows >= 0) & (rows < task.num_rows)).all(), f"split '{name}' leaves 0 .. num_rows - 1"
            assert len(rows.unique()) == len(rows), f"split '{name}' holds a row twice"
        for (name, rows), (other, others) in combinations(task.splits.items(), 2):
            assert not torch.isin(rows, others).any(), f"splits '{name}' and '{other}' share rows"

    def test_inputs_have_the_stated_shape(self) -> None:
        """Inputs are float32 and finite in every view. The shape is right even for no rows.

        If the task has a `vocabulary`, inputs are the ids of texts: int64, with 0 for padding after at least one token.
        """
        task = self._task()
        vocabulary = getattr(task, "vocabulary", 0)
        if vocabulary:
            for view in range(task.views):
                _assert_ids(task.inputs(self._rows(), view), task.input_shape, vocabulary)
            assert len(task.inputs(torch.empty(0, dtype=torch.int64))) == 0
            example: Tensor = task.example(3)  # type: ignore[attr-defined]
            _assert_ids(example, task.input_shape, vocabulary)
            assert example.shape == (3, *task.input_shape), f"example gives shape {tuple(example.shape)}"
            return
        for view in range(task.views):
            inputs = task.inputs(self._rows(), view)
            assert inputs.dtype == torch.float32, f"inputs are {inputs.dtype}, not float32"
            assert inputs.isfinite().all(), f"inputs of view {view} hold NaN or infinity"
            assert inputs.shape == (len(self._rows()), *task.input_shape), f"inputs have {tuple(inputs.shape)}"
        assert task.inputs(torch.empty(0, dtype=torch.int64)).shape == (0, *task.input_shape)

    def test_a_row_is_the_same_whenever_and_beside_whatever_it_is_read(self) -> None:
        """An augmentation depends on the row and the view only, not on the caller's random state or on other rows."""
        task, rows = self._task(), self._rows()
        for view in range(task.views):
            together = task.inputs(rows, view).clone()
            torch.rand(1)
            assert torch.equal(task.inputs(rows.flip(0), view).flip(0), together), "order changes what is read"
            alone = task.inputs(rows[:1], view)
            beside = together[:1]
            if getattr(task, "vocabulary", 0):  # a batch of texts is as long as its longest
                alone, beside = alone[alone != 0], beside[beside != 0]
            assert torch.equal(alone, beside), "other rows change what is read"

    def test_targets_go_into_loss_and_score(self) -> None:
        """The loss is a finite mean with a gradient, and the score is a finite number."""
        task, rows = self._task(), self._rows()
        outputs = torch.zeros(len(rows), task.num_outputs, requires_grad=True)
        targets = task.targets(rows)
        for each in by_head(targets, heads_of(task)).values():
            assert len(each) == len(rows), f"{len(each)} targets for {len(rows)} rows"
        loss = task.hard_loss(outputs, targets)
        assert loss.shape == (), f"hard_loss has shape {tuple(loss.shape)}, not ()"
        (gradient,) = torch.autograd.grad(loss, outputs)
        assert gradient.isfinite().all(), "the gradient of hard_loss holds NaN or infinity"
        assert gradient.any(), "the gradient of hard_loss is zero everywhere"
        assert math.isfinite(task.score(outputs.detach(), targets)), "the score is not finite"
        twice = task.hard_loss(outputs.repeat(2, 1), task.targets(torch.cat([rows, rows])))
        assert torch.allclose(twice, loss, rtol=1e-4), "hard_loss is no mean over the batch"

    def test_no_constant_answer_scores_above_chance(self) -> None:
        """`chance` is the best score on validation of an answer that ignores the inputs."""
        task = self._task()
        rows = task.splits["validation"]
        targets = task.targets(rows)
        for answer in torch.eye(task.num_outputs) if len(rows) else ():
            score = task.score(answer.expand(len(rows), -1), targets)
            assert score <= task.chance + 1e-6, f"a constant answer scores {score}, chance is {task.chance}"

    def test_digest_is_hexadecimal_and_stays(self) -> None:
        """Caches are found by the digest."""
        assert_digest(self._task())

    def test_another_process_makes_the_same_task(self) -> None:
        """Workers make a task again from its reference, and refuse one with another digest."""
        if not isinstance(self.task, str):
            return  # an object stays in the process that made it
        surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "7"}
        command = [sys.executable, "-c", _MADE_APART, self.task]
        done = subprocess.run(command, env=surroundings, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, f"another process cannot make the task: {done.stderr.strip()}"
        assert done.stdout == self._task().digest, "another process makes a task with another digest"

    def test_a_head_answers_what_it_is_asked(self) -> None:
        """Right outputs and blind outputs have the shape of the head, and right ones score at least as much."""
        for name, head, targets in self._asked():
            known = targets[head.known(targets)]
            right, blind = head.right(known), head.blind(known)
            assert right.shape == (len(known), *head.shape), f"head '{name}': right outputs are {tuple(right.shape)}"
            assert blind.shape == head.shape, f"head '{name}': the blind answer is {tuple(blind.shape)}"
            best, least = head.score(right, known), head.score(blind.expand(len(known), *head.shape), known)
            assert not best < least, f"head '{name}': right outputs score {best}, and a blind answer scores {least}"

    def test_unknown_targets_change_no_loss(self) -> None:
        """The hard loss of a head is the mean over the rows of which the target is known."""
        for name, head, targets in self._asked():
            known = head.known(targets)
            assert known.shape == (len(targets),), f"head '{name}': known has shape {tuple(known.shape)}"
            assert known.dtype == torch.bool, f"head '{name}': known is {known.dtype}, not bool"
            assert known.any(), f"head '{name}': no row of train has a known target"
            outputs = torch.zeros(int(known.sum()), *head.shape, requires_grad=True)
            (gradient,) = torch.autograd.grad(head.hard_loss(outputs, targets[known]), outputs)
            assert gradient.isfinite().all(), f"head '{name}': the gradient of the loss holds NaN or infinity"

    def test_heads_are_plain_data(self) -> None:
        """An exported student keeps what its outputs mean; a task without heads has its own loss, which stays here."""
        for name, head in heads_of(self._task()).items():
            plain = head.plain()
            assert json.loads(json.dumps(plain)) == plain, f"head '{name}' is no plain data: {plain}"
            assert not head.kind or head_of(plain).plain() == plain, f"head '{name}' does not come back from {plain}"

    def _asked(self) -> Iterator[tuple[str, Head, Tensor]]:
        """Each head, with its name and its targets of the first training rows."""
        task = self._task()
        heads = heads_of(task)
        wanted = by_head(task.targets(task.splits["train"][:32]), heads)
        yield from ((name, head, wanted[name]) for name, head in heads.items())

    def _task(self) -> Task:
        return made(self.task, {}) if isinstance(self.task, str) else resolve("tasks", self.task)

    def _rows(self) -> Tensor:
        return self._task().splits["train"][:8]
