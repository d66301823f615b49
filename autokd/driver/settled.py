"""The front of a run, read from its folder without torch and without code that the run names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autokd.driver.doors import RunDoor
from autokd.driver.front_file import read_front
from autokd.files import given_path
from autokd.front import Front
from autokd.record import read_counts, read_trials
from autokd.study import read_setup

if TYPE_CHECKING:
    from autokd.study import Study


def load_front(run: str | Path, *, study: Study | None = None, space: object = None, task: object = None) -> Front:
    """The front of a run: the final front in `front.json` if no trial was added since, else the raw front so far.

    Nothing that the run names is imported until a student is loaded, retrained or exported.

    Args:
        run: the run folder.
        study: the caller's own study of this run. It is needed if the run's record is in a database outside the folder,
            and to load, retrain or export students whose code is not an installed plug-in.
        space: the search space of the run, to load, retrain or export students: the file that holds the space, a
            reference, or the space itself. It is needed if the space is not an installed plug-in and `study` does not
            name it, or if the space was edited since.
        task: the task of the run, for the same purposes, if no file in the run folder holds the task: the file that
            makes the task, a reference, or the task itself.

    Raises:
        InputError: `run` is not a run folder, or its record is elsewhere.
    """
    run = given_path("run", run)
    record = "sqlite" if study is None else study.record
    tally, setup, front = read_counts(run, record), read_setup(run), final_front(run)
    if front is None or not still_answers(front, tally):
        from autokd.driver.glance import glance

        front = glance(run, setup, read_trials(run, record), study)
    return front.with_door(RunDoor(run.absolute(), study, space, task))


def final_front(run: Path) -> Front | None:
    """The front that a search of this run answered last; None if no search has.

    Raises:
        InputError: `front.json` is damaged.
    """
    path = run / "front.json"
    return read_front(path) if path.exists() else None


def still_answers(front: Front, tally: Mapping[str, int]) -> bool:
    """Whether nothing but repeated proposals came into the record since `front` was answered.

    Args:
        front: the front that was answered.
        tally: the number of trials in each state now.
    """
    return {**front.trials, "duplicate": 0} == {**tally, "duplicate": 0}
