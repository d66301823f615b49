"""The front of a run as its folder has it; read without torch where the search has ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from autokd.errors import InputError
from autokd.front import Front
from autokd.record import TrialRecord, counts, read_trials
from autokd.study import read_setup


def load_front(run: str | Path) -> Front:
    """The front of a run: the final one of `front.json` as long as no trial was added, else a glance at the record.

    Raises:
        InputError: `run` is not a run folder.
    """
    run = Path(run)
    trials, setup = read_trials(run), read_setup(run)
    front = final_front(run)
    if front is not None and still_answers(front, trials):
        return front
    from autokd.driver.after import readable_context
    from autokd.driver.answer import glance

    return glance(run, readable_context(run, setup), setup, trials)


def final_front(run: Path) -> Front | None:
    """The front that a search of this run answered last; None where none has.

    Raises:
        InputError: `front.json` is damaged.
    """
    path = run / "front.json"
    try:
        return Front.from_dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it and run the search again") from error


def still_answers(front: Front, trials: Sequence[TrialRecord]) -> bool:
    """Whether nothing but repeated proposals came into the record since `front` was answered."""
    return {**front.trials, "duplicate": 0} == {**counts(trials), "duplicate": 0}
