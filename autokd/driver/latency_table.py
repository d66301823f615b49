"""Measures a table of latencies ahead of any search, on the machine on which a study's searches measure them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from autokd.driver.costs import draw_students, latencies_of
from autokd.driver.workplaces import open_place
from autokd.errors import FOREIGN, InputError, UnmeasuredError
from autokd.latency.meter import idle_calibration_ms
from autokd.latency.prediction import LatencyPrediction
from autokd.record import student_key
from autokd.study import Study, resolve_objectives, resolve_space
from autokd.tasks import open_task
from autokd.trial import Context, reason_of
from autokd.types import Arch

_DRAWS_EACH = 20


def measure_device(
    study: Study, out: str | Path, number: int, *, notify: Callable[[str], None]
) -> tuple[int, LatencyPrediction | None]:
    """Measures random architectures of a study's space, and keeps them in a file for searches on this machine.

    The same architectures are drawn every time, so a second call goes on where the first one stopped. Nothing is
    trained.

    Args:
        study: the study whose space, data and settings of the timed objective are used.
        out: the path of the file; architectures that it has already are not measured again.
        number: the number of different architectures; a small space may have fewer.
        notify: is told how far the measuring is.

    Returns:
        how many of these architectures the file has now, and how well others can be predicted from all in the file;
        None if they cannot be predicted.

    Raises:
        InputError: the study or the file cannot be used, or no architecture can be measured.
    """
    out = Path(out)
    if study.table:
        raise InputError(
            "a study of a table builds no networks, so nothing can be measured; give a study with a space and a task"
        )
    timed = next((objective for objective in resolve_objectives(study) if objective.timed), None)
    if timed is None:
        raise InputError(
            "objectives: none of them is timed; add latency_ms, with the runtime, threads and batch to measure"
        )
    with tempfile.TemporaryDirectory(prefix="autokd-") as folder, open_place(study) as place:
        named: Any = study.task  # an object is refused, as it is no name
        task = open_task(named, seed=study.seed, folder=Path(folder) / "task")
        context = Context(study, resolve_space(study), task, torch.empty(0), (timed,))
        calibration_ms = idle_calibration_ms([timed], place.meter)
        latencies = latencies_of(
            context, replace(timed, table=str(out)), Path(folder), meter=place.meter, calibration_ms=calibration_ms
        )
        done, reason = 0, ""
        for seen, arch in islice(_different(context, number), number):
            notify(f"Measuring latencies: {done} of {number} architectures are done.")
            try:
                if latencies.known(seen.reading, arch) is None:
                    latencies.measure(seen.reading, arch)
                done += 1
            except (InputError, UnmeasuredError):
                raise
            except FOREIGN as error:  # it cannot be built; a search records why
                reason = reason_of(error)
    if not done:
        raise InputError(
            f"space {study.space!r}: none of {number} architectures can be measured; the last one {reason}"
        )
    return done, latencies.prediction()


def _different(context: Context, number: int) -> Iterator[tuple[Context, Arch]]:
    known = set()
    for seen, arch in draw_students(context, _DRAWS_EACH * number):
        key = student_key(seen.reading, arch)
        if key not in known:
            known.add(key)
            yield seen, arch
