"""A node of a Ray cluster that is reserved for measuring latencies: one with the custom resource `meter`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from autokd.errors import UnmeasuredError
from autokd.latency.meter import Candidates, Meter

_METER = "meter"
_PATIENCE_SECONDS = 60.0


def meter_of_cluster(*, retries: int, send: Callable[[Candidates], Candidates]) -> Meter:
    """The meter on the cluster's node for measuring, if it has one, or else in this process.

    Args:
        retries: how many times a measurement is repeated when its process or node dies.
        send: gives candidates in a form that Ray can pass to another node.
    """
    if _is_there():
        return Meter("on the node with the resource 'meter'", run=MeterNode(retries=retries).run, send=send)
    return Meter("by the driver, because no node of the cluster has the resource 'meter'")


class MeterNode:
    """Measures in Ray tasks that reserve `{"meter": 1}`, so that no two measurements run at once.

    If a process or node dies while it measures, another node with the resource takes over, also one that joins within a
    minute.

    Args:
        retries: how many times a measurement is repeated when its process or node dies.
    """

    def __init__(self, *, retries: int) -> None:
        self._task = ray.remote(num_cpus=0, resources={_METER: 1}, max_retries=retries)(_call)

    def run(self, function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
        """The result of a function that is called on that node.

        Raises:
            UnmeasuredError: the node is gone, or every attempt ended with its process.
        """
        result = self._task.remote(function, *args, **settings)
        seen = time.monotonic()
        while not ray.wait([result], timeout=1.0)[0]:
            if _is_there():
                seen = time.monotonic()
            elif time.monotonic() - seen > _PATIENCE_SECONDS:
                ray.cancel(result, force=True)
                raise UnmeasuredError(
                    "latencies: the node with the resource 'meter' is gone; start one with `ray start --num-cpus=0 "
                    """--resources='{"meter": 1}'` and run the same search again, which goes on where it stopped"""
                )
        try:
            return ray.get(result)
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
