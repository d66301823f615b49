"""`search_study` runs one study in one run folder and gives one front, from Python and from the command line alike."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from autokd.checkpoints import clean
from autokd.driver.events import Tell, before_trials, of_baseline, signed, tell_no_one
from autokd.driver.preparation import prepare
from autokd.driver.prior import prior_note
from autokd.driver.run import Run
from autokd.driver.session import Session, hypervolume_of
from autokd.driver.settling import finish
from autokd.driver.stored_front import RunDoor, still_answers
from autokd.driver.workplaces import Place, open_place
from autokd.errors import InputError, NoFrontError, gone, said
from autokd.executors import modes_of_a_new_process
from autokd.files import write_json
from autokd.front import Front, Student
from autokd.record import canonical, read_trials, shown_url, student_key
from autokd.study import Study, baseline_study, changed_keys, dump, not_importable, override, read_setup
from autokd.tasks.stored import StoredTask
from autokd.teachers.files import digest_of

_LOG = logging.getLogger("autokd")


def search_study(
    study: Study,
    *,
    run: str | Path | None = None,
    prior: str | Path | None = None,
    widened: bool = False,
    seconds: float | None = None,
    tell: Tell = tell_no_one,
) -> Front:
    """Runs a study, or goes on with it if its run folder holds an unfinished search, and returns its front.

    Args:
        study: what to search.
        run: the run folder; `runs/<study name>` if None.
        prior: the folder of an earlier run of the same space, maybe with another teacher or other data. Its trials
            inform the sampler only. A run that goes on keeps the earlier run with which it began.
        widened: whether the space or the recipe may have more choices than when the run was begun.
        seconds: no training of the search begins after so many seconds; fresh seeds and baselines take more time.
        tell: is told each event, and about twice a second how the search stands; an error that it raises ends the
            search.

    Raises:
        InputError: something that the study names cannot be used.
        NoFrontError: no student was trained to the end.
        KeyboardInterrupt: the user pressed Ctrl-C; the same call goes on where the search stopped.
    """
    # The path is absolute, as are the files that the study names, so a change of the current folder does no harm.
    folder = Path(os.path.abspath(Path("runs") / study.name if run is None else run))
    tell = signed(tell, study=study.name, run=str(folder))
    try:
        with open_place(study) as place, modes_of_a_new_process():
            notify, earlier = before_trials(study, tell), None if prior is None else Path(os.path.abspath(prior))
            prepared = prepare(study, folder, earlier, widened=widened, place=place, notify=notify)
            with Session(prepared, tell) as session:
                front = _search(prepared, place, seconds, session)
                if any(front.baselines.get(name, {}).get("overrides") != own for name, own in study.baselines.items()):
                    rivals = _baselines(prepared, session.record.epochs_spent, seconds, tell)
                    front = replace(front, baselines=rivals)
                    write_json(folder / "front.json", front.to_dict())
                    session.notify("The search and its baselines have ended.")  # so that its own state is seen last
                session.refuse_moved()
    except (OSError, SQLAlchemyError, StorageInternalError) as error:
        if not folder.is_dir():
            raise gone(folder) from error
        reason = _reason(error)
        if study.record == "sqlite" or isinstance(error, OSError):
            raise InputError(
                f"{folder} cannot be written ({reason}); free some disk and run the same search again, which goes on "
                "where it stopped"
            ) from error
        raise InputError(
            f"the connection to the record in {shown_url(study.record)} was lost ({reason}); when it is back, run "
            "the same search again, which goes on where it stopped"
        ) from error
    tell({"event": "search_ended", **front.to_dict()})
    space = study.space["space"] if isinstance(study.space, Mapping) else study.space
    # What no other process can import lies in no file; the study has a reference to all else.
    lost = not_importable(study)
    task = study.task if "task" in lost and not isinstance(study.task, StoredTask) else None
    return front.with_door(RunDoor(folder, study, space if "space" in lost else None, task))


def _reason(error: Exception) -> str:
    """The message of the operating system or of the database, in one line."""
    if isinstance(error, OSError):
        return error.strerror or said(error)
    return said(error.__cause__ or error).partition(" [SQL:")[0]


def unused(folder: str | Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3`, ... that does not exist."""
    folder = Path(folder)
    candidates = (folder.with_name(f"{folder.name}-{i}") for i in range(2, 10_000))
    return next((path for path in candidates if not path.exists()), folder) if folder.exists() else folder


def _said_of(overrides: Mapping[str, Any]) -> str:
    """How a stage of a baseline differs from the search, in a sentence."""
    listed = ", ".join(f"{key}: {value}" for key, value in overrides.items())
    return f"It differs from the search in {listed}." if listed else "It has the settings of the search."


def _home(folder: Path, part: Study) -> Path:
    """The folder of a stage of a baseline; another folder if this one was begun with other overrides."""
    try:
        begun = read_setup(folder).study
    except InputError:  # there is no run, or its search will say what is wrong
        return folder
    now = dump(part)
    return folder.with_name(f"{folder.name}-{digest_of(canonical(now))[:8]}") if changed_keys(begun, now) else folder


def _search(run: Run, place: Place, seconds: float | None, session: Session) -> Front:
    study = run.context.study
    try:
        ended = place.run_trials(run, session.driver, seconds=seconds, notify=session.searching)
    except KeyboardInterrupt:
        session.take_stock()  # the last results were recorded, and the next search will not tell them
        raise
    session.searching("Settling the front.")
    if session.answered is not None and still_answers(session.answered, session.record.tally):
        return session.answered  # no trial was added, so the test split is not read again
    prior = prior_note(run.folder, study, run.setup)
    note = "; ".join([ended, *session.driver.costs.notes(session.record.trials), *([prior] if prior else [])])
    front = finish(run, session.record.trials, place, note=note, notify=session.notify)
    members = {student.trial for student in front}
    clean(run.folder, session.record.trials, front=members, limit_gb=study.budget.disk_gb)
    return front


def _baselines(run: Run, epochs: int, seconds: float | None, tell: Tell) -> dict[str, Any]:
    """The study's baselines, each the same study with keys overridden, over the same data and teacher's outputs.

    Each baseline may search for as many epochs as the search did, and trains fresh seeds near its front on top of that,
    as the search did. A baseline that trains no student to the end with these epochs has an empty front.
    """
    study = run.context.study
    found: dict[str, Any] = {}
    for name, stages in study.baselines.items():
        front: list[Student] = []
        spent = 0
        for stage in range(len(stages)):
            members = dict(sorted({student_key(each.reading, each.arch): each for each in front}.items()))
            archs, readings = [each.arch for each in members.values()], [each.reading for each in members.values()]
            searched = readings if any(readings) else []
            part = baseline_study(study, name, stage=stage, epochs=epochs, archs=archs, readings=searched)
            # If a search goes on, the front of a stage may change, and the next stage then begins anew.
            own = f"{name}-{stage}-{digest_of(*members)[:8]}" if stage else f"{name}-{stage}"
            part = override(part, run.shared)
            folder = _home(run.folder / "baselines" / own, part)
            _LOG.info(
                "Searching baseline %s, stage %d of %d. %s", name, stage + 1, len(stages), _said_of(stages[stage])
            )
            try:
                ended = search_study(part, run=folder, seconds=seconds, tell=of_baseline(tell, name))
            except NoFrontError as error:
                _LOG.warning("Baseline %s has no front: %s", name, error)
                front, spent = [], spent + sum(trial.epoch for trial in read_trials(folder, part.record))
                break
            front, spent = ended.front, spent + ended.epochs_spent
        found[name] = {
            "overrides": stages,
            "epochs_spent": spent,
            "hypervolume": hypervolume_of([s.values for s in front], run),
            "front": [student.to_dict() for student in front],
        }
    return found
