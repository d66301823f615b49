"""Latencies of a run's students: known from a table, predicted if measuring is slow, or measured now."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from autokd.errors import InputError
from autokd.latency.meter import Candidates, Meter, conditions_of
from autokd.latency.prediction import LatencyPrediction, fit_latency
from autokd.latency.table import LatencyTable, Measurement
from autokd.latency.timing import SECONDS
from autokd.types import Arch, Objective, choices_of

_LOG = logging.getLogger("autokd")
_FEWEST_MEASURED = 16
_FEWEST_TO_STAND_IN = 40
_SLOW_SECONDS = 1.0
_LEAST_SPEARMAN = 0.8


class Latencies:
    """A timed objective of one run.

    Args:
        seen_through: gives the candidates that build the students of a reading, which is empty if none is searched.
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
        seen_through: Callable[[Mapping[str, Any]], Candidates],
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
        self.objective, self.meter, self.calibration_ms = objective, meter, calibration_ms
        self._seen_through = seen_through
        self._path = Path(objective.table) if objective.table else folder / f"{quote(objective.name, safe='')}.jsonl"
        self._space, self._conditions = space, meter.conditions(**conditions_of(objective))
        self._tables: dict[str, tuple[Mapping[str, Any], LatencyTable]] = {}
        self.table = self._table({})
        self._fitted: LatencyPrediction | None = None
        self._told = False

    def known(self, reading: Mapping[str, Any], arch: Arch) -> float | None:
        """Milliseconds on this run's scale, if the architecture was ever measured so on such a device."""
        found = self._table(reading).find(arch)
        return None if found is None else self._scaled(found)

    def measure(self, reading: Mapping[str, Any], arch: Arch, *, seconds: float = SECONDS) -> float:
        """Milliseconds, which are timed now for so many seconds and kept in the table."""
        (measured,) = self._timed([(reading, arch)], seconds=seconds)
        self._table(reading).add(measured)
        return measured.median_ms

    def measure_together(self, students: Sequence[tuple[Mapping[str, Any], Arch]]) -> list[Measurement]:
        """The latencies of readings and architectures, timed together now so that they can be compared."""
        return self._timed(students, seconds=SECONDS)

    def prediction(self) -> LatencyPrediction | None:
        """The model that predicts latencies on this run's scale; None before 16 architectures were measured.

        The model is fitted anew when a tenth more architectures were measured.
        """
        measured = self._measured()
        fitted = self._fitted.measured if self._fitted else 0
        if len(measured) >= max(_FEWEST_MEASURED, 1.1 * fitted):
            choices = [choices_of(reading, each.arch) for reading, each in measured]
            self._fitted = fit_latency(choices, [self._scaled(each) for _, each in measured])
        return self._fitted

    def stand_in(self) -> LatencyPrediction | None:
        """The `prediction`, if it replaces measuring.

        It does so when 40 architectures were measured, the median time for one was more than a second, and predicted
        and measured latencies rank them alike (Spearman .8 or more, cross-validated).
        """
        seconds = [each.seconds for _, each in self._measured()]
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

    def _timed(self, students: Sequence[tuple[Mapping[str, Any], Arch]], *, seconds: float) -> list[Measurement]:
        seen = [(self._seen_through(reading), arch) for reading, arch in students]
        return self.meter.measure(seen, self.objective.settings, calibration_ms=self.calibration_ms, seconds=seconds)

    def _table(self, reading: Mapping[str, Any]) -> LatencyTable:
        """The measurements of students with this reading, all of which are in one file."""
        key = json.dumps(reading, sort_keys=True)
        if key not in self._tables:
            task = self._seen_through(reading).task
            shapes = {"input_shape": list(task.input_shape), "num_outputs": task.num_outputs}
            vocabulary = getattr(task, "vocabulary", 0)
            shapes |= {"vocabulary": vocabulary} if vocabulary else {}
            also = {"reading": dict(reading)} if reading else {}
            table = LatencyTable(self._path, {**self._space, **shapes, **self._conditions, **also})
            self._tables[key] = reading, table
        return self._tables[key][1]

    def _measured(self) -> list[tuple[Mapping[str, Any], Measurement]]:
        """All measurements with the readings that this run has met so far."""
        return [(reading, each) for reading, table in self._tables.values() for each in table.known.values()]

    def _scaled(self, measurement: Measurement) -> float:
        return measurement.median_ms / measurement.calibration_ms * self.calibration_ms
