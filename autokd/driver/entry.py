"""`search`: one study, one run folder, one front; from Python and from the command line alike."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from autokd.checkpoints import DiskBudget, clean
from autokd.driver.answer import finish
from autokd.driver.core import Driver
from autokd.driver.doors import RunDoor
from autokd.driver.places import Place, open_place
from autokd.driver.preparation import prepare
from autokd.driver.prior import prior_note, prior_trials
from autokd.driver.progress import Progress, before_trials
from autokd.driver.settled import final_front, still_answers
from autokd.driver.setup import Run
from autokd.errors import InputError, NoFrontError, gone, said
from autokd.executors import modes_of_a_new_process
from autokd.files import write_json
from autokd.front import Front, Student
from autokd.pareto import as_losses, non_dominated, scaled_hypervolume
from autokd.record import Record, TrialRecord, canonical, read_trials, shown_url
from autokd.registry import resolve
from autokd.samplers import sampler_for
from autokd.study import Budget, Study, baseline_study, changed_keys, dump, not_importable, override, read_setup
from autokd.teachers.files import digest_of

_LOG = logging.getLogger("autokd")


def search_study(
    study: Study,
    *,
    run: str | Path | None = None,
    prior: str | Path | None = None,
    widened: bool = False,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Front:
    """Runs a study, or goes on with it where its run folder holds an unfinished one, and returns its front.

    Args:
        study: what to search.
        run: the run folder; `runs/<study name>` if None.
        prior: the folder of an earlier run of the same space, maybe with another teacher or other data; the sampler
            learns from its trials, which count as nothing else. A run that goes on keeps what it began with.
        widened: whether the space or the recipe may have got more choices since the run was begun.
        seconds: no training of the search begins after so long; fresh seeds and baselines come on top.
        progress: told about twice a second.

    Raises:
        InputError: anything the study names cannot be used.
        NoFrontError: no student was trained to the end.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    # Absolute, as are the files that the study names: whoever changes the current folder changes nothing here.
    folder = Path(os.path.abspath(Path("runs") / study.name if run is None else run))
    try:
        with open_place(study) as place, modes_of_a_new_process():
            notify, earlier = before_trials(study, progress), None if prior is None else Path(os.path.abspath(prior))
            prepared = prepare(study, folder, earlier, widened=widened, place=place, notify=notify)
            with _Session(prepared, progress) as session:
                front = _search(prepared, place, seconds, session)
                if any(front.baselines.get(name, {}).get("overrides") != own for name, own in study.baselines.items()):
                    rivals = _baselines(prepared, session.record.epochs_spent, seconds, progress)
                    front = replace(front, baselines=rivals)
                    write_json(folder / "front.json", front.to_dict())
                session.refuse_moved()
    except (OSError, SQLAlchemyError, StorageInternalError) as error:
        if not folder.is_dir():
            raise gone(folder) from error
        reason = _reason(error)
        if study.record == "sqlite" or isinstance(error, OSError):
            raise InputError(
                f"{folder} cannot be written ({reason}); free some disk and search again: it goes on"
            ) from error
        raise InputError(
            f"the record in {shown_url(study.record)} was lost ({reason}); search again when it is back: it goes on"
        ) from error
    space = study.space["space"] if isinstance(study.space, Mapping) else study.space
    # A space that no other process can import lies in no file; of any other, the study has a reference.
    return front.with_door(RunDoor(folder, study, space if "space" in not_importable(study) else None))


def _reason(error: Exception) -> str:
    """What the operating system or the database says, in one line."""
    if isinstance(error, OSError):
        return error.strerror or said(error)
    return said(error.__cause__ or error).partition(" [SQL:")[0]


def search(
    *,
    teacher: object,
    task: object,
    space: object,
    trials: int = 60,
    rungs: Sequence[int] = (3, 9, 27),
    objectives: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("accuracy", "parameters", "latency_ms"),
    name: str = "search",
    seed: int = 0,
    run: str | Path | None = None,
) -> Front:
    """Searches in this process for students of `teacher`, and returns their front: `search_study` for the impatient.

    Args:
        teacher: a torch module that takes the task's inputs, or whatever a study's `teacher` may be.
        task: as `autokd.tasks.from_arrays` makes it, or whatever a study's `task` may be.
        space: a search space, or a reference to one.
        trials: students to train.
        rungs: epochs at which it is decided who trains on; the last is the full training.
        objectives: by name, or by name with bounds and settings.
        name: of the study and its run folder.
        seed: what all draws come from.
        run: the run folder; `runs/<name>` if None.

    Raises:
        InputError: something given cannot be used.
        NoFrontError: no student was trained to the end.
    """
    wanted = objectives if isinstance(objectives, Mapping) else {objective: {} for objective in objectives}
    study = Study(
        name=name,
        task=task,
        teacher=teacher,
        space=space,
        objectives={key: dict(value) for key, value in wanted.items()},
        budget=Budget(trials=trials, rungs=tuple(rungs)),
        executor="inline",
        workers=1,
        seed=seed,
    )
    return search_study(study, run=run)


def unused(folder: str | Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3`, ... that does not exist."""
    folder = Path(folder)
    candidates = (folder.with_name(f"{folder.name}-{i}") for i in range(2, 10_000))
    return next((path for path in candidates if not path.exists()), folder) if folder.exists() else folder


class _Session:
    """A run while it is driven: its record is open, its driver knows what is next, its progress can be told."""

    def __init__(self, run: Run, progress: Progress | None) -> None:
        self.run, self.progress = run, progress
        self._place = _place(run.folder)
        study = run.context.study
        self.answered = final_front(run.folder)
        known = prior_trials(run.folder)
        if known:
            _LOG.info(prior_note(run.folder, study, run.setup))
        sampler = sampler_for(run.context, run.reference, study.seed, known)
        self.record = Record(run.folder, run.context.objectives, sampler, named=study.record)
        if self.record.trials:  # a seeded sampler would repeat what it suggested before
            seed = (study.seed + len(self.record.trials)) % 2**32
            self.record.study.sampler = sampler_for(run.context, run.reference, seed, known)
        scheduler = resolve("schedulers", study.scheduler)(run.context.objectives, study.budget.rungs)
        self.driver = Driver(
            run.context,
            self.record,
            scheduler,
            folder=run.folder,
            meter=run.meter,
            reference_ms=run.reference_ms,
        )
        self.started = time.monotonic()
        self._before = sum(1 for trial in self.record.trials if trial.state != "running")
        self._disk = DiskBudget(run.folder, study.budget.disk_gb)
        self._front: list[TrialRecord] = []
        self._open: list[TrialRecord] = []
        self._seen, self._judged, self._hypervolume = 0, 0, 0.0

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.record.close()

    def refuse_moved(self) -> None:
        """Refuses to go on where another folder, or none, is where the run's was: its record goes elsewhere."""
        if _place(self.run.folder) != self._place:
            raise gone(self.run.folder)

    def take_stock(self) -> None:
        """Sees what has ended since: who is on the front so far, and whose weights go as they exceed the disk budget.

        Kept are those of the front so far, of the front that was answered last, and of trials that go on.
        """
        trials = [*self._open, *self.record.trials[self._seen :]]
        self._seen = len(self.record.trials)
        self._open = [trial for trial in trials if trial.state == "running"]
        for trial in trials:
            if trial.state != "running":
                self._disk.add(trial)
        new = self.record.completed[self._judged :]
        if new:
            rivals = sorted([*self._front, *new], key=lambda trial: trial.number)
            mask = non_dominated(as_losses([trial.values for trial in rivals], self.record.objectives))
            self._front = [trial for trial, keep in zip(rivals, mask, strict=True) if keep]
            values = [trial.values for trial in self._front]
            self._hypervolume = _hypervolume(values, self.run)
            self._judged += len(new)
        self._disk.trim({trial.number for trial in self._front} | {student.trial for student in self.answered or ()})

    def searching(self, message: str) -> None:
        """`notify`, where trials may have ended."""
        self.take_stock()
        self.notify(message)

    def notify(self, message: str) -> None:
        """Tells how the search stands now, and what is being done.

        Raises:
            InputError: the run folder was renamed or deleted.
        """
        self.refuse_moved()
        if self.progress is None:
            return
        study, objectives = self.run.context.study, self.record.objectives
        tally = dict(self.record.tally)
        seconds = time.monotonic() - self.started
        done = tally["complete"] + tally["pruned"] + tally["failed"]
        left = max(0, study.budget.trials - done)
        newly = max(1, len(self.record.trials) - tally["running"] - self._before)
        self.progress(
            {
                "trials": tally,
                "budget": {"trials": study.budget.trials, "epochs": study.budget.epochs},
                "epochs_spent": self.record.epochs_spent,
                "seconds": seconds,
                "eta_seconds": seconds / newly * left if done and left else None,
                "hypervolume": self._hypervolume,
                "front": [{"trial": t.number, "values": t.values, "recipe": t.recipe} for t in self._front],
                "objectives": [{"name": o.name, "direction": o.direction, "unit": o.unit} for o in objectives],
                "message": message,
            }
        )


def _place(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from any other, whatever it is called; None where there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _home(folder: Path, part: Study) -> Path:
    """The folder of a stage of a baseline; another one where it was begun with other overrides."""
    try:
        begun = read_setup(folder).study
    except InputError:  # there is none, or the search of it says what is wrong
        return folder
    now = dump(part)
    return folder.with_name(f"{folder.name}-{digest_of(canonical(now))[:8]}") if changed_keys(begun, now) else folder


def _hypervolume(values: Sequence[Mapping[str, float]], run: Run) -> float:
    return scaled_hypervolume(values, run.context.objectives, ideal=run.ideal, reference=run.reference)


def _search(run: Run, place: Place, seconds: float | None, session: _Session) -> Front:
    study = run.context.study
    ended = place.run_trials(run, session.driver, seconds=seconds, notify=session.searching)
    session.take_stock()
    if session.answered is not None and still_answers(session.answered, session.record.tally):
        return session.answered  # nothing was added to what was answered: the test split is not read again
    prior = prior_note(run.folder, study, run.setup)
    note = "; ".join([ended, *session.driver.costs.notes(session.record.trials), *([prior] if prior else [])])
    front = finish(run, session.record.trials, place, note=note, notify=session.notify)
    members = {student.trial for student in front}
    clean(run.folder, session.record.trials, front=members, limit_gb=study.budget.disk_gb)
    return front


def _baselines(run: Run, epochs: int, seconds: float | None, progress: Progress | None) -> dict[str, Any]:
    """The study's baselines, each the same study with keys overridden, over the same data and teacher's outputs.

    Each may search for as many epochs as the search did; fresh seeds near its front come on top, as they did there.
    One that trains no student to the end with these has an empty front.
    """
    study = run.context.study
    shared = {
        "task": run.context.task,
        "teacher": {"outputs": str(run.folder / run.setup.outputs)},
    }
    found: dict[str, Any] = {}
    for name, stages in study.baselines.items():
        front: list[Student] = []
        spent = 0
        for stage in range(len(stages)):
            archs = dict(sorted({canonical(student.arch): student.arch for student in front}.items()))
            part = baseline_study(study, name, stage=stage, epochs=epochs, archs=list(archs.values()))
            # Where a search goes on, the front of a stage may change; the next one then begins anew.
            own = f"{name}-{stage}-{digest_of(*archs)[:8]}" if stage else f"{name}-{stage}"
            part = override(part, shared)
            folder = _home(run.folder / "baselines" / own, part)
            _LOG.info("baseline %s, stage %d of %d: %s", name, stage + 1, len(stages), stages[stage])
            try:
                ended = search_study(part, run=folder, seconds=seconds, progress=progress)
            except NoFrontError as error:
                _LOG.warning("baseline %s has no front: %s", name, error)
                front, spent = [], spent + sum(trial.epoch for trial in read_trials(folder, part.record))
                break
            front, spent = ended.front, spent + ended.epochs_spent
        found[name] = {
            "overrides": stages,
            "epochs_spent": spent,
            "hypervolume": _hypervolume([s.values for s in front], run),
            "front": [asdict(student) for student in front],
        }
    return found
