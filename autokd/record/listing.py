"""All trials of a run as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autokd.errors import printable
from autokd.files import given_path
from autokd.frames import data_frame
from autokd.record.reading import read_seconds, read_trials
from autokd.study.run import read_setup

if TYPE_CHECKING:
    import pandas

    from autokd.study import Study


def trials_dataframe(run: str | Path, *, study: Study | None = None) -> pandas.DataFrame:
    """Every trial of a run as a row of a pandas data frame; the search may still be running. Nothing is changed.

    Its columns are

    - `trial`: the number by which tables and commands name the trial;
    - `state`: complete, running, pruned (stopped early), infeasible, failed or duplicate;
    - `epochs`: the number of epochs trained so far;
    - `seconds`: the time from the trial's proposal to its end, waiting included; missing while the trial runs;
    - `reason`: why the trial is not complete; empty if there is nothing to say;
    - a column for each objective, such as `accuracy` and `parameters`: its value at the last epoch at which the student
      was scored on validation; missing if it is not known;
    - `recipe.alpha` and so on: how the student was trained;
    - `arch.width` and so on: the architecture. Nested settings are named with dots; a list stays a list;
    - `reading.size` and so on: how rows are read, if this is searched.

    Args:
        run: the run folder.
        study: the caller's own study, as `load_front` takes it.

    Raises:
        InputError: `run` is not a run folder, its record is elsewhere or damaged, or pandas is not installed.
    """
    run = given_path("run", run)
    record = "sqlite" if study is None else study.record
    objectives, seconds = list(read_setup(run).reference_point), read_seconds(run, record)
    rows = [
        {
            "trial": trial.number,
            "state": trial.state,
            "epochs": trial.epoch,
            "seconds": seconds.get(trial.number),
            "reason": trial.reason,
            **{name: trial.values.get(name) for name in objectives},
            "recipe": trial.recipe,
            "arch": trial.arch or {},
            "reading": trial.reading,
        }
        for trial in read_trials(run, record)
    ]
    found = data_frame(rows, ["trial", "state", "epochs", "seconds", "reason", *objectives])
    return found.astype(dict.fromkeys(("seconds", *map(printable, objectives)), float))
