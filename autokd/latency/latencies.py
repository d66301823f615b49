"""Latencies of a run's students: known from a table, predicted if measuring is slow, or measured now."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from urllib.parse import quote

from autokd.errors import InputError
from autokd.latency.meter import Candidates, Meter, conditions_of
from autokd.latency.prediction import LatencyPrediction, fit_latency
from autokd.latency.table import LatencyTable, Measurement
from autokd.latency.timing import SECONDS
from autokd.types import Arch, Objective

_LOG = logging.getLogger("autokd")
_FEWEST_MEASURED = 16
_FEWEST_TO_STAND_IN = 40
_SLOW_SECONDS = 1.0
_LEAST_SPEARMAN = 0.8


class Latencies:
    """A timed objective of one run.

    Args:
        candidates: builds the students.
        objective: the timed objective; measurements are read from and added to its `table`, or else to a file in the
            run folder.
        folder: the run folder.
        space: what recognises the search space in a table: `space`, the digest of its source, "" if it has none, and
            `attribute`, its name in that source.
        meter: measures the latencies.
        calibration_ms: the idle time of the calibration network on the meter's machine when the run began, in ms.

    Raises:
        InputError: the table cannot be used.
    """

    def __init__(
        self,
        candidates: Candidates,
        objective: Objective,
        folder: Path,
        *,
        space: Mapping[str, str],
        meter: Meter,
        calibration_ms: float,
    ) -> None:
        if objective.table and not space["space"]:
            raise InputError(
                f"objectives.{objective.name}.table: the space lives in no source file, by which later runs would "
                "recognise it; put the space into a file, or leave the table out"
            )
        self.candidates, self.objective, self.meter, self.calibration_ms = candidates, objective, meter, calibration_ms
        self.table = LatencyTable(
            Path(objective.table) if objective.table else folder / f"{quote(objective.name, safe='')}.jsonl",
            {
                **space,
                "input_shape": list(candidates.task.input_shape),
                "num_outputs": candidates.task.num_outputs,
                **meter.conditions(**conditions_of(objective)),
            },
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
            self.candidates, self.objective.settings, [arch], calibration_ms=self.calibration_ms, seconds=seconds
        )
        self.table.add(measured)
        return measured.median_ms

    def measure_together(self, archs: Sequence[Arch]) -> list[Measurement]:
        """The latencies of students, timed together now so that they can be compared with each other."""
        return self.meter.measure(self.candidates, self.objective.settings, archs, calibration_ms=self.calibration_ms)

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
        return measurement.median_ms / measurement.calibration_ms * self.calibration_ms
