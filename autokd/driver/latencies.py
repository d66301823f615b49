"""Latencies of a run's students: known from a table, predicted if measuring is slow, or measured now."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from autokd.driver.meter import Meter
from autokd.errors import InputError
from autokd.objectives.latency import SECONDS
from autokd.objectives.latency_prediction import LatencyPrediction, fit_latency
from autokd.objectives.latency_table import LatencyTable, Measurement
from autokd.registry import reference_of, resolve, source_digest
from autokd.trial import Context
from autokd.types import Arch, Objective

_LOG = logging.getLogger("autokd")
_FEWEST_MEASURED = 16
_FEWEST_TO_STAND_IN = 40
_SLOW_SECONDS = 1.0
_LEAST_SPEARMAN = 0.8


class Latencies:
    """A timed objective of one run.

    Args:
        context: what the trials share.
        objective: the timed objective; measurements are read from and added to its `table`, or else to a file in the
            run folder.
        folder: the run folder.
        meter: measures the latencies.
        reference_ms: the idle time of the reference network on the meter's machine when the run began, in ms.

    Raises:
        InputError: the table cannot be used.
    """

    def __init__(
        self, context: Context, objective: Objective, folder: Path, *, meter: Meter, reference_ms: float
    ) -> None:
        self.context, self.objective, self.meter, self.reference_ms = context, objective, meter, reference_ms
        self.table = LatencyTable(
            Path(objective.table) if objective.table else folder / f"{quote(objective.name, safe='')}.jsonl",
            _key(context, objective, meter),
        )
        self._fitted: LatencyPrediction | None = None
        self._told = False

    def known(self, arch: Arch) -> float | None:
        """Milliseconds on this run's scale, if the architecture was ever measured on such a device."""
        found = self.table.find(arch)
        return None if found is None else self._scaled(found)

    def measure(self, arch: Arch, *, seconds: float = SECONDS) -> float:
        """Milliseconds, which are timed now for so many seconds and kept in the table."""
        (measured,) = self.meter.measure(
            self.context, self.objective, [arch], reference_ms=self.reference_ms, seconds=seconds
        )
        self.table.add(measured)
        return measured.median_ms

    def prediction(self) -> LatencyPrediction | None:
        """The model that predicts latencies on this run's scale; None before 16 architectures were measured.

        The model is fitted anew when a tenth more architectures were measured.
        """
        measured = list(self.table.known.values())
        fitted = self._fitted.measured if self._fitted else 0
        if len(measured) >= max(_FEWEST_MEASURED, 1.1 * fitted):
            self._fitted = fit_latency([each.arch for each in measured], [self._scaled(each) for each in measured])
        return self._fitted

    def stand_in(self) -> LatencyPrediction | None:
        """The `prediction`, if it replaces measuring.

        It does so when 40 architectures were measured, the median time for one was more than a second, and predicted
        and measured latencies rank them alike (Spearman .8 or more, cross-validated).
        """
        seconds = [each.seconds for each in self.table.known.values()]
        if len(seconds) < _FEWEST_TO_STAND_IN or median(seconds) <= _SLOW_SECONDS:
            return None
        found = self.prediction()
        if found is None or found.spearman < _LEAST_SPEARMAN:
            return None
        if not self._told:
            self._told = True
            _LOG.info(
                "%s is predicted until a student is trained to the end. The prediction is %s.",
                self.objective.name,
                found,
            )
        return found

    def _scaled(self, measurement: Measurement) -> float:
        return measurement.median_ms / measurement.reference_ms * self.reference_ms


def conditions_of(objective: Objective) -> dict[str, Any]:
    """The settings of a timed objective on which a latency depends."""
    given = objective.settings
    return {
        "runtime": given.get("runtime", "eager"),
        "threads": given.get("threads", 1),
        "batch": given.get("batch", 1),
        "device": given.get("device", "cpu"),
    }


def idle_reference_ms(objectives: Sequence[Objective], meter: Meter) -> float:
    """The time of the reference network now, on the device of the timed objectives, in ms; 0 if none is timed.

    Raises:
        InputError: the objectives are timed on several devices, or nothing can be timed on their device.
    """
    how = [conditions_of(objective) for objective in objectives if objective.timed]
    devices = sorted({str(each["device"]) for each in how})
    if len(devices) > 1:
        raise InputError(
            f"objectives are timed on {' and '.join(devices)}; a run times on one device only, so choose one of them"
        )
    return meter.reference_ms(threads=max(each["threads"] for each in how), device=devices[0]) if how else 0.0


def _key(context: Context, objective: Objective, meter: Meter) -> dict[str, Any]:
    """Everything except the architecture on which a latency depends; for the space, its source and its name there."""
    named = context.study.space
    while isinstance(named, Mapping):
        named = named["space"]
    space = resolve("search_spaces", named)
    digest = source_digest(space)
    if objective.table and not digest:
        raise InputError(
            f"objectives.{objective.name}.table: the space lives in no source file, by which later runs would "
            "recognise it; put the space into a file, or leave the table out"
        )
    return {
        "space": digest,
        "attribute": (reference_of(space) or "").partition(":")[2],
        "input_shape": list(context.task.input_shape),
        "num_outputs": context.task.num_outputs,
        **meter.conditions(**conditions_of(objective)),
    }
