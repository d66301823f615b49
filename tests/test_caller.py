"""A search from Python leaves the state of its caller as it was."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from sklearn.datasets import load_digits

from autokd import search
from autokd.tasks import from_arrays


class Teacher(torch.nn.Module):
    """A teacher as people have it: in train mode, with a frozen layer, a hook and weights in channels_last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 4, 3).requires_grad_(False)
        self.norm = torch.nn.BatchNorm2d(4).eval()
        self.head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(144, 10))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.asked: list[int] = []
        self.register_forward_hook(lambda module, given, outputs: self.asked.append(len(outputs)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.first(x)))


def state_of(network: torch.nn.Module) -> list[Any]:
    """All of a network that a caller can see."""
    weights = [*network.named_parameters(), *network.named_buffers()]
    return [
        [(name, module.training, type(module), len(module._forward_hooks)) for name, module in network.named_modules()],
        [(name, id(w), w.tolist(), w.dtype, w.device, w.stride(), w.requires_grad, w.grad) for name, w in weights],
    ]


def state_of_process() -> list[Any]:
    """All of this process that a caller can see and a search could change."""
    loggers = {name: each for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger)}
    known = {name: loggers[name] for name in ("autokd", "optuna", "torch", "sqlalchemy") if name in loggers}
    return [
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
        random.getstate(),
        (torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()),
        (torch.backends.mha.get_fastpath_enabled(), np.geterr()),
        (list(sys.path), list(sys.meta_path), list(warnings.filters), warnings.showwarning),
        {name: (each.level, each.propagate, list(each.handlers), each.disabled) for name, each in known.items()},
        (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        (optuna.logging.get_verbosity(), gc.isenabled(), os.getcwd(), dict(os.environ)),
        {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
    ]


@contextmanager
def float64() -> Iterator[None]:
    """As callers do who calculate with more digits."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "as it is": nullcontext,
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "float64": float64,
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_search_leaves_the_callers_module_and_process_as_they_were(mode: str, tmp_path: Path) -> None:
    images, labels = load_digits(return_X_y=True)
    x, y = images.reshape(-1, 1, 8, 8).astype(np.float32)[:400], labels[:400]
    task, teacher = from_arrays(x, y, validation=60, test=0.2), Teacher()
    optimizer = torch.optim.Adam([weight for weight in teacher.parameters() if weight.requires_grad], lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(teacher(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
    teacher.asked.clear()
    with MODES[mode]():
        before = state_of(teacher), state_of_process()
        search(
            teacher=teacher,
            task=task,
            space="mlp",
            trials=2,
            rungs=[1, 2],
            objectives=["accuracy", "parameters", "flops", "latency_ms"],
            run=tmp_path / "run",
        )
        after = state_of(teacher), state_of_process()
    assert teacher.asked
    for was, now in zip([*before[0], *before[1]], [*after[0], *after[1]], strict=True):
        assert was == now
