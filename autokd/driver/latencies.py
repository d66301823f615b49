"""Latencies of a run's students: known from a table, predicted where measuring is slow, or measured now."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from autokd.driver.costs import draw_archs
from autokd.errors import InputError
from autokd.objectives.latency import measure_reference_ms, time_student
from autokd.objectives.latency_table import LatencyTable, Measurement, conditions
from autokd.record import canonical
from autokd.registry import reference_of, resolve, source_digest
from autokd.trial import Context, build_student, reason_of
from autokd.types import Arch, Objective

if TYPE_CHECKING:
    import numpy as np

    from autokd.objectives.latency_prediction import LatencyPrediction

_LOG = logging.getLogger("autokd")
_FEWEST_MEASURED = 40
_SLOW_SECONDS = 1.0
_LEAST_SPEARMAN = 0.8
_DRAWS_A_NEW_ONE = 20


class Latencies:
    """A timed objective of one run.

    Args:
        context: what the trials share.
        objective: the timed one; its `table` is read and added to, or else a file in the run folder.
        folder: the run folder.
        reference_ms: the idle time of the reference network on this machine when the run began.

    Raises:
        InputError: the table cannot be used.
    """

    def __init__(self, context: Context, objective: Objective, folder: Path, *, reference_ms: float) -> None:
        self.context, self.objective, self.reference_ms = context, objective, reference_ms
        self.table = LatencyTable(
            Path(objective.table) if objective.table else folder / f"{objective.name}.jsonl", _key(context, objective)
        )
        self._fitted: LatencyPrediction | None = None
        self._told = False

    def known(self, arch: Arch) -> float | None:
        """Milliseconds on this run's scale, if the architecture was ever measured on this device."""
        found = self.table.find(arch)
        return None if found is None else self._scaled(found)

    def measure(self, arch: Arch, student: nn.Module) -> float:
        """Milliseconds, timed now and kept in the table."""
        start = time.perf_counter()
        inputs = torch.zeros(1, *self.context.task.input_shape)
        timing = time_student(student, inputs, reference_ms=self.reference_ms, **self.objective.settings)
        seconds = time.perf_counter() - start
        self.table.add(Measurement(arch, timing.median_ms, timing.cv, self.reference_ms, seconds))
        return timing.median_ms

    def prediction(self) -> LatencyPrediction | None:
        """What predicts latencies on this run's scale; None before 40 architectures were measured.

        It is fitted anew once there are a tenth more.
        """
        measured = list(self.table.known.values())
        fitted = self._fitted.measured if self._fitted else 0
        if len(measured) >= max(_FEWEST_MEASURED, 1.1 * fitted):
            from autokd.objectives.latency_prediction import fit_latency  # scikit-learn takes a second to import

            self._fitted = fit_latency([each.arch for each in measured], [self._scaled(each) for each in measured])
        return self._fitted

    def stand_in(self) -> LatencyPrediction | None:
        """`prediction`, if it is to be used instead of measuring.

        It is where measuring an architecture has taken more than a second on median, and predicted and measured
        latencies rank architectures alike (Spearman .8 or more, cross-validated).
        """
        seconds = [each.seconds for each in self.table.known.values()]
        found = self.prediction() if seconds and median(seconds) > _SLOW_SECONDS else None
        if found is None or found.spearman < _LEAST_SPEARMAN:
            return None
        if not self._told:
            self._told = True
            _LOG.info("%s is predicted until a student is trained in full: %s", self.objective.name, found)
        return found

    def _scaled(self, measurement: Measurement) -> float:
        return measurement.median_ms / measurement.reference_ms * self.reference_ms


def measure_latencies(
    context: Context, objective: Objective, number: int, *, notify: Callable[[str], None]
) -> LatencyTable:
    """Measures random architectures of a space until the objective's table holds so many of them, and returns it.

    The same are drawn every time, so that it goes on where it stopped; a small space may hold fewer.

    Args:
        context: of the study; its teacher is not asked.
        objective: a timed one with a table.
        number: architectures.
        notify: told how far it is.

    Raises:
        InputError: the table cannot be used, or none of the architectures can be measured.
    """
    reference_ms = measure_reference_ms(threads=_settings(objective)["threads"])
    latencies = Latencies(context, objective, Path(), reference_ms=reference_ms)
    drawn = {canonical(arch): arch for arch in draw_archs(context, _DRAWS_A_NEW_ONE * number)}
    done, reason = 0, ""
    for arch in drawn.values():
        if done == number:
            break
        notify(f"{done} of {number} measured")
        try:
            if latencies.known(arch) is None:
                latencies.measure(arch, build_student(context, arch, seed=context.study.seed))
            done += 1
        except InputError:
            raise
        except Exception as error:  # one that cannot be built; a search would record why
            reason = reason_of(error)
    if not done:
        raise InputError(f"space {context.study.space!r}: no architecture can be measured for this task; it {reason}")
    return latencies.table
