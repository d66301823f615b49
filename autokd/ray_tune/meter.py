"""Measures latencies on a node that is reserved for it: one with the custom resource `meter`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from autokd.driver.meter import Meter, ThisProcess, measure_archs
from autokd.errors import UnmeasuredError
from autokd.objectives.latency import SECONDS, measure_reference_ms
from autokd.objectives.latency_table import Measurement, conditions
from autokd.study import Study, dump, resolve_objectives, resolve_space
from autokd.tasks import ArrayTask
from autokd.trial import Context
from autokd.types import Arch, Objective

_METER = "meter"
_PATIENCE_SECONDS = 60.0


def meter_of_cluster(*, retries: int) -> Meter:
    """The meter on the cluster's node for measuring, if it has one, or else in this process."""
    if _is_there():
        return MeterNode(retries=retries)
    return ThisProcess("by the driver, because no node of the cluster has the resource 'meter'")


class MeterNode:
    """Measures in Ray tasks that reserve `{"meter": 1}`, so that no two measurements run at once.

    If a process or node dies while it measures, another node with the resource takes over, also one that joins within a
    minute.

    Args:
        retries: how many times a measurement is repeated when its process or node dies.
    """

    where = "on the node with the resource 'meter'"

    def __init__(self, *, retries: int) -> None:
        self._task = ray.remote(num_cpus=0, resources={_METER: 1}, max_retries=retries)(_call)
        self._shipped: dict[str, Any] = {}

    def conditions(self, *, runtime: str, threads: int, batch: int, device: str = "cpu") -> dict[str, Any]:
        """The conditions on that node, see `latency_table.conditions`."""
        found: dict[str, Any] = self._there(conditions, runtime=runtime, threads=threads, batch=batch, device=device)
        return found

    def reference_ms(self, *, threads: int, device: str = "cpu") -> float:
        """The time of the reference network on that node, see `latency.measure_reference_ms`."""
        return float(self._there(measure_reference_ms, threads=threads, device=device))

    def measure(
        self,
        context: Context,
        objective: Objective,
        archs: Sequence[Arch],
        *,
        reference_ms: float,
        seconds: float = SECONDS,
    ) -> list[Measurement]:
        """Measures architectures on that node, see `measure_archs`. The task is sent once; students are built there."""
        task = context.task
        if task.digest not in self._shipped:
            # A copy is sent, because the original may also hold all inputs normalised.
            self._shipped[task.digest] = ray.put(replace(task) if isinstance(task, ArrayTask) else task)
        given = (dump(context.study), objective.name, list(archs), reference_ms, seconds)
        measured: list[Measurement] = self._there(_measure, self._shipped[task.digest], *given)
        return measured

    def _there(self, function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
        reference = self._task.remote(function, *args, **settings)
        seen = time.monotonic()
        while not ray.wait([reference], timeout=1.0)[0]:
            if _is_there():
                seen = time.monotonic()
            elif time.monotonic() - seen > _PATIENCE_SECONDS:
                ray.cancel(reference, force=True)
                raise UnmeasuredError(
                    "latencies: the node with the resource 'meter' is gone; start one with `ray start --num-cpus=0 "
                    """--resources='{"meter": 1}'` and run the same search again, which goes on where it stopped"""
                )
        try:
            return ray.get(reference)
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            raise UnmeasuredError(
                f"latencies: {type(error).__name__} on the node with the resource 'meter' in every attempt"
            ) from error


def _is_there() -> bool:
    return bool(ray.cluster_resources().get(_METER, 0) >= 1)


def _call(function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    torch.set_num_threads(1)  # as in the driver
    return function(*args, **settings)


def _measure(
    task: ArrayTask, study: Mapping[str, Any], name: str, archs: Sequence[Arch], reference_ms: float, seconds: float
) -> list[Measurement]:
    told = Study.model_validate(study)
    context = Context(told, resolve_space(told), task, torch.empty(0), resolve_objectives(told))
    objective = next(objective for objective in context.objectives if objective.name == name)
    return measure_archs(context, objective, archs, reference_ms=reference_ms, seconds=seconds)
