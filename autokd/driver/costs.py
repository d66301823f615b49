"""The costs of a student, which are known before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from autokd.checkpoints import deaths, in_mortal_danger
from autokd.errors import FOREIGN, InputError, LateError
from autokd.latency.latencies import Latencies
from autokd.latency.meter import Meter
from autokd.record import TrialRecord, student_key, without_log
from autokd.registry import reference_of, source_digest
from autokd.study import space_itself
from autokd.trial import Context, Searched, breaks, in_time, reason_of
from autokd.types import Arch, Objective, choices_of

MOST_LOST = 3
"""The number of draws of a sample at which a space may hang, or end its process; then no more are drawn."""

_NOTES = "sample"
_GLANCE_SECONDS = 0.05  # the students on the final front are timed anew, for longer


class Costs:
    """The costs of the students of a run. A student is not timed if one of its exact costs breaks its bound.

    Args:
        context: what is searched.
        latencies: the timed objectives by name.
    """

    def __init__(self, context: Searched, latencies: Mapping[str, Latencies]) -> None:
        self.context, self.latencies = context, latencies

    def measure(self, reading: Mapping[str, Any], arch: Arch) -> dict[str, float]:
        """The untrained objectives of a reading and an architecture by name."""
        costs = self.context.seen_through(reading).costs(arch)
        for name in self._to_time(costs):
            costs[name] = self._measure_latency(name, reading, arch)
        return costs

    def estimate(self, reading: Mapping[str, Any], arch: Arch) -> tuple[dict[str, float], dict[str, float]]:
        """The same costs as `measure`, but with latencies predicted if a prediction replaces timing.

        Returns:
            the costs by name, and for the predicted ones the standard deviations of log(predicted / measured).
        """
        costs, spreads = self.context.seen_through(reading).costs(arch), {}
        for name in self._to_time(costs):
            known = self.latencies[name].known(reading, arch) is not None
            prediction = None if known else self.latencies[name].stand_in()
            if prediction is None:
                costs[name] = self._measure_latency(name, reading, arch)
            else:
                choices = [choices_of(reading, arch)]
                costs[name], spreads[name] = float(prediction.predict(choices)[0]), prediction.spread
        return costs, spreads

    def notes(self, trials: Iterable[TrialRecord]) -> list[str]:
        """Notes on costs that were predicted and never measured, which are those of students stopped early."""
        names = [name for trial in trials for name in trial.predicted]
        return [
            f"{name} of {names.count(name)} students that were stopped early is predicted, {latencies.prediction()}"
            for name, latencies in self.latencies.items()
            if name in names
        ]

    def _to_time(self, costs: Mapping[str, float]) -> list[str]:
        broken = any(breaks(objective, costs) for objective in self.context.objectives)
        return [] if broken else list(self.latencies)

    def _measure_latency(self, name: str, reading: Mapping[str, Any], arch: Arch) -> float:
        latencies = self.latencies[name]
        known = latencies.known(reading, arch)
        return latencies.measure(reading, arch, seconds=_GLANCE_SECONDS) if known is None else known


def open_latencies(context: Context, folder: Path, *, meter: Meter, calibration_ms: float) -> dict[str, Latencies]:
    """The timed objectives of a context by name, with what was measured before; see `latencies_of`."""
    timed = (objective for objective in context.objectives if objective.timed)
    return {
        each.name: latencies_of(context, each, folder, meter=meter, calibration_ms=calibration_ms) for each in timed
    }


def latencies_of(
    context: Context, objective: Objective, folder: Path, *, meter: Meter, calibration_ms: float
) -> Latencies:
    """The latencies of a timed objective of a run; see `Latencies`."""
    space = space_itself(context.space)
    known_by = {"space": source_digest(space), "attribute": (reference_of(space) or "").partition(":")[2]}
    seen_through = context.seen_through
    return Latencies(seen_through, objective, folder, space=known_by, meter=meter, calibration_ms=calibration_ms)


def random_study(seed: int) -> optuna.Study:
    """An Optuna study in memory from which to draw random parameters; nothing is recorded, and nothing is logged."""
    with without_log():
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed % 2**32))


def draw_students(context: Context, number: int, *, folder: Path | None = None) -> Iterator[tuple[Context, Arch]]:
    """Random architectures from the space, the same ones for the same study; nothing is recorded.

    With each comes the context of its reading, which is drawn as well if it is searched.

    Args:
        context: what the trials share.
        number: the number of draws; drawing ends when three draws are lost because `suggest` hung or a process ended.
        folder: the run folder, in which a note says at which draw the process ended, in `suggest` or in the caller's
            work on the architecture; such a draw is left out. If it is None, nothing is noted.

    Raises:
        InputError: `suggest` gives no plain dict, or raises, hangs or ends its process every time.
    """
    notes = None if folder is None else folder / _NOTES
    died = [] if notes is None else deaths([notes])
    drawn, given, lost, reason = random_study(context.study.seed), 0, 0, ""
    for draw in (f"at draw {each}" for each in range(number)):
        trial = drawn.ask()
        if draw in died:
            lost, reason = lost + 1, f"or build ended the process of the search {draw}"
        else:
            with nullcontext() if notes is None else in_mortal_danger(notes, draw):
                try:
                    suggest = partial(context.suggest_student, trial)
                    seen, arch = in_time(context.study.budget.trial_minutes, suggest, what="suggest")
                except InputError:
                    raise
                except FOREIGN as error:  # some draws may fail; the search records them
                    lost, reason = lost + isinstance(error, LateError), reason_of(error)
                else:
                    given += 1
                    yield seen, arch
        if lost == MOST_LOST:
            break
    if not given:
        raise InputError(f"space {context.study.space!r}: suggest gave nothing in {number} draws; it {reason}")


def refuse_hopeless_bounds(context: Searched, students: Iterable[tuple[Searched, Arch]]) -> None:
    """Refuses bounds that none of these students meets, as far as this is known without training or timing.

    Args:
        context: what is searched.
        students: architectures, each with what is searched as seen through its reading.

    Raises:
        InputError: no architecture meets them; the message says how near they come.
    """
    bounded = [o for o in context.objectives if o.bound is not None and not o.trained and not o.timed]
    found: dict[str, dict[str, float]] = {}
    late: set[str] = set()
    for seen, arch in students if bounded else ():
        key = student_key(seen.reading, arch)
        if key in found or key in late:
            continue
        try:
            costs = seen.costs(arch)
        except InputError:
            raise
        except LateError:
            late.add(key)
            if len(late) == MOST_LOST:
                break
            continue
        except FOREIGN:  # there is no such student; the search records why
            continue
        if not any(breaks(objective, costs) for objective in bounded):
            return
        found[key] = costs
    if found:
        hopeless = [o for o in bounded if all(breaks(o, costs) for costs in found.values())] or bounded
        words = ", ".join(_nearest_to(o, [costs[o.name] for costs in found.values()]) for o in hopeless)
        raise InputError(
            f"objectives: none of {len(found)} different architectures tried is within the bounds: {words}; loosen "
            "the bounds or widen the space"
        )


def _nearest_to(objective: Objective, values: Sequence[float]) -> str:
    nearest = min(values) if objective.direction == "minimize" else max(values)
    return f"{objective.name} bound {objective.bound:g}, the nearest has {nearest:g}"
