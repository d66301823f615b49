"""A prepared run, and the comparison of what it was begun with and what a search is about to do."""

from __future__ import annotations

import os
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch

from autokd.driver.events import Notify
from autokd.errors import FOREIGN, OTHER_FOLDER, START_OVER, InputError, said
from autokd.front import Student
from autokd.latency.latencies import Latencies
from autokd.record import TrialRecord, has_own_database, read_study
from autokd.study import (
    FORMAT,
    SETUP_FILE,
    SPACE,
    STUDY,
    Setup,
    Study,
    changed_keys,
    dump,
    not_importable,
    read_setup,
    readings_of,
    refuse_elsewhere,
)
from autokd.study.section import Section
from autokd.tasks.stored import StoredTask
from autokd.trial import Searched
from autokd.types import Task

_WIDER = "; if it only got more choices, `--widen` (`widened=True` from Python) goes on with it"

DIGESTS = {
    "task": "the data",
    "teacher": "the teacher",
    "space": "the source of the space",
    "origins": "the weights from which students begin",
}
"""What the digests of a run stand for, in words."""


class ReadTest(Protocol):
    """Scores the students of a settled front on the test split, after which nothing is chosen."""

    def __call__(
        self,
        students: Sequence[Student],
        folders: Mapping[int, Sequence[Path]],
        trials: Mapping[int, TrialRecord],
        notify: Notify,
    ) -> tuple[list[Student], dict[str, float]]:
        """The students with their values on the test split, and the teacher's values there.

        Args:
            students: the students of the front.
            folders: by trial, the folders of the trainings of which a student's values are means.
            trials: the record by trial number.
            notify: is told how far asking the teacher is.
        """


def no_test(
    students: Sequence[Student],
    folders: Mapping[int, Sequence[Path]],
    trials: Mapping[int, TrialRecord],
    notify: Notify,
) -> tuple[list[Student], dict[str, float]]:
    """A `ReadTest` for when there is no test split."""
    return list(students), {}


@dataclass(frozen=True)
class Run:
    """A run that is ready to be driven.

    Args:
        folder: the run folder.
        context: what is searched.
        setup: the content of `study.json`.
        latencies: the timed objectives by name.
        read_test: scores the students of the front on the test split.
        shared: the study's keys by which its baselines search with the same data and the same teacher's answers.
    """

    folder: Path
    context: Searched
    setup: Setup
    latencies: Mapping[str, Latencies] = field(default_factory=dict)
    read_test: ReadTest = no_test
    shared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def worst(self) -> dict[str, float]:
        """The worst value by objective, for the hypervolume; it was fixed when the run began."""
        return dict(self.setup.reference_point)

    @property
    def ideal(self) -> dict[str, float]:
        """The best value by objective, for the hypervolume; it was fixed when the run began."""
        return ideal_point(self.setup, self.context)

    @property
    def calibration_ms(self) -> float:
        """The idle time of the calibration network when the run began, in ms; 0 if nothing is timed."""
        return self.setup.calibration_ms


def environment() -> dict[str, str]:
    """The versions and the machine with which a run begins."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "optuna": version("optuna"),
        "autokd": version("autokd"),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def record_names(study: Study) -> tuple[str, ...]:
    """The name of the Optuna study of a new run; it is unique if the database may hold other studies."""
    return (STUDY if study.record == "sqlite" else f"{study.name}-{uuid.uuid4().hex[:8]}",)


def ideal_point(setup: Setup, context: Searched) -> dict[str, float]:
    """The best value by objective from which a run's hypervolume counts; old runs count from `context.ideal`."""
    return dict(setup.ideal_point or context.ideal)


def setup_to_go_on(run: Path, record: str) -> Setup | None:
    """The setup of a run that was begun before; None if there is none.

    Args:
        run: the run folder.
        record: the `record` of the caller's study.

    Raises:
        InputError: the run was begun, and a part of it is lost or damaged.
    """
    begun, recorded = (run / SETUP_FILE).exists(), (run / "record.db").exists() or not has_own_database(run)
    if not begun and not recorded:
        return None
    setup = read_setup(run)
    refuse_elsewhere(run, setup)
    if (run / "trials").exists():
        if not recorded:
            raise InputError(f"{run} has trials, but its record.db, which describes them, is gone; {START_OVER}")
        read_study(run, record)
    return setup


@contextmanager
def no_half_folder(folder: Path) -> Iterator[None]:
    """Makes the folder; if the block fails, the folder is deleted again, unless it existed before."""
    try:
        os.fsencode(folder.absolute()).decode("utf-8")
    except UnicodeDecodeError:  # safetensors would refuse to write there
        raise InputError(
            f"{folder}: the path is not UTF-8 text, and weights cannot be saved there; {OTHER_FOLDER}"
        ) from None
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror or said(error)}); {OTHER_FOLDER}") from error
    try:
        yield
    except FOREIGN:
        if missing:
            shutil.rmtree(folder, ignore_errors=True)
            for parent in missing[1:]:
                parent.rmdir()
        raise


def unimportable(study: Study) -> list[str]:
    """The sections of a study that worker processes can neither import nor read from the run folder."""
    kept_in_no_file = not isinstance(study.task, str | Section | StoredTask)
    own = [name for name in not_importable(study) if name not in ("task", "teacher")]  # those travel as files
    return [*(["task"] if kept_in_no_file else []), *own]


def refuse_unimportable(study: Study) -> None:
    """Refuses a study of which worker processes cannot import a part."""
    missing = [name for name in unimportable(study) if name != "task"]  # opening the task says more
    if study.executor != "inline" and missing:
        raise InputError(
            f"{', '.join(missing)}: worker processes cannot import what was given; put it into a module or a file and "
            "name it 'module:attr' or 'path.py', or use executor='inline'"
        )


def searches_otherwise(setup: Setup, study: Study, changed: Mapping[str, str]) -> bool:
    """Whether a study has another space, source of the space, or recipe than the run was begun with.

    Args:
        setup: what the run was begun with.
        study: the study now.
        changed: the changed parts, as `changed_sources` gives them.
    """
    return any(_says_what_is_searched(key, setup) for key in changed_keys(setup.study, dump(study))) or SPACE in changed


def refuse_other_readings(folder: Path, setup: Setup | None, task: Task, *, widened: bool) -> bool:
    """Whether a task has other choices of how its rows are read than the run was begun with.

    Raises:
        InputError: the choices are others, and they may not have changed.
    """
    if setup is None or setup.readings == readings_of(task):
        return False
    if not widened:
        _refuse(folder, setup, ["the choices of the reading"], _WIDER)
    return True


def refuse_other_study(
    folder: Path, setup: Setup | None, study: Study, changed: Mapping[str, str], *, widened: bool = False
) -> None:
    """Refuses to go on in a run that was begun with another study, or with other code of its parts.

    Args:
        folder: the run folder.
        setup: what the run was begun with; None if no run was begun.
        study: the study now.
        changed: the changed parts, as `changed_sources` gives them.
        widened: whether the space, the recipe and the choices of the reading may have changed.
    """
    if setup is None:
        return
    keys = changed_keys(setup.study, dump(study))
    named = {f"the {key.partition('.')[0]}" for key in keys}  # if a study names another part, its source differs, too
    parts = [part for part in changed if part not in named]
    searched = [key for key in keys if _says_what_is_searched(key, setup)] + [part for part in parts if part == SPACE]
    left = [each for each in [*keys, *parts] if not (widened and each in searched)]
    hint = _WIDER if len(searched) == len(left) else ""
    _refuse(folder, setup, [changed.get(each, each) for each in left], hint)


def refuse_other_digests(folder: Path, setup: Setup | None, **digests: object) -> None:
    """Refuses to go on in a run that was begun with other data or another teacher, by their digests of now."""
    if setup is not None:
        _refuse(folder, setup, [DIGESTS[key] for key, now in digests.items() if now != getattr(setup.digests, key)])


def _refuse(folder: Path, setup: Setup, changed: Sequence[str], hint: str = "") -> None:
    if changed:
        if setup.format < FORMAT:
            hint += (
                f"; an earlier version of AutoKD began it (its {SETUP_FILE} is of format {setup.format}, now it is "
                f"{FORMAT}), and may have made other data or another teacher from the same study"
            )
        raise InputError(
            f"{folder} was begun with another study: {', '.join(changed)} changed; undo the change to go on, or "
            f"{START_OVER}{hint}"
        )


def _says_what_is_searched(key: str, setup: Setup) -> bool:
    """Whether a key of a study belongs to what is searched, as lists of choices do of its task.

    The digest of the task tells whether such a list changes anything else.
    """
    was: Any = setup.study
    for name in key.split("."):
        was = was.get(name) if isinstance(was, Mapping) else None
    return key.partition(".")[0] in ("space", "recipe") or (
        key.startswith(("task.reading.", "task.args.")) and isinstance(was, list)
    )
