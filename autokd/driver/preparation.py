"""Sets a run up: opens the task, trains or loads the teacher, caches its outputs, writes or compares `study.json`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from autokd.driver.costs import draw_students, open_latencies, refuse_hopeless_bounds
from autokd.driver.ends import end_points
from autokd.driver.events import Notify, tell_nobody
from autokd.driver.parts import (
    fitting_objectives,
    refuse_hopeless_baselines,
    refuse_unusable,
    refuse_unusable_baselines,
    usable_parts,
)
from autokd.driver.prior import adopt_prior, refuse_prior
from autokd.driver.run import (
    Run,
    environment,
    ideal_point,
    no_half_folder,
    record_names,
    refuse_other_digests,
    refuse_other_readings,
    refuse_other_study,
    searches_otherwise,
    setup_to_go_on,
)
from autokd.driver.settling import read_test
from autokd.driver.spaces import refuse_unbuildable
from autokd.driver.starts import (
    FOLDER,
    beginning_from,
    origins_of_files,
    origins_of_teacher,
    refuse_unfit_starts,
)
from autokd.driver.tables import prepare_table
from autokd.driver.teaching import teacher_and_outputs, teacher_facts
from autokd.driver.widening import widen
from autokd.driver.workplaces import HERE, Place
from autokd.errors import START_OVER, InputError
from autokd.executors import one_thread
from autokd.latency.meter import Meter, idle_calibration_ms
from autokd.record import refuse_held
from autokd.registry import source_digest
from autokd.study import (
    TEACHER,
    Digests,
    MadeTaskSection,
    Setup,
    Study,
    TaskSection,
    changed_since,
    changed_sources,
    dump,
    measures,
    read_setup,
    readings_of,
    space_itself,
    study_sources,
    task_sources,
    teacher_sources,
    write_setup,
)
from autokd.tasks import open_task, save_task
from autokd.tasks.made import refuse_no_task
from autokd.tasks.stored import StoredTask
from autokd.teachers.cache import open_outputs
from autokd.trial import Context, refuse_changed
from autokd.types import FROM_TEACHER, PRETRAINED, Task, Teacher

_LOG = logging.getLogger("autokd")
_BOUNDED_SAMPLES = 500


def prepare(
    study: Study,
    folder: Path,
    prior: Path | None = None,
    *,
    widened: bool = False,
    place: Place = HERE,
    notify: Notify = tell_nobody,
) -> Run:
    """Opens or begins the run in `folder`.

    If the input is bad, no new folder is left behind.

    Args:
        study: what is searched.
        folder: the run folder.
        prior: the folder of an earlier run; its trials are copied, and inform the sampler.
        widened: whether the space or the recipe may have more choices than when the run was begun.
        place: where students will be trained and latencies are measured.
        notify: is told how far the teacher's training and its answers are.

    Raises:
        InputError: something that the study names cannot be used, another search holds the run, or the run was begun
            with another study, data, teacher or space.
    """
    refuse_held(folder, study.record)
    with no_half_folder(folder), one_thread():
        refuse_unusable(study, folder)
        if study.table:
            if widened:
                raise InputError(f"a table has its own choices and cannot be widened; for a longer one {START_OVER}")
            return prepare_table(study, folder, prior)
        space, objectives = usable_parts(study)
        refuse_unusable_baselines(study, folder, objectives)
        setup = setup_to_go_on(folder, study.record)
        sources = study_sources(study, space)
        changed = changed_since(setup, sources, space) if setup is not None else {}
        widening = widened and setup is not None and searches_otherwise(setup, study, changed)
        refuse_other_study(folder, setup, study, changed, widened=widened)
        if prior is not None:
            earlier = changed_since(read_setup(prior), sources, space)
            refuse_prior(prior, folder, study, earlier, objectives=objectives, begun=setup is not None)
        if isinstance(study.task, StoredTask):
            refuse_other_digests(folder, setup, task=study.task.digest)
        place.start()  # workers import for seconds while the data are read and the teacher answers
        task = _open_task(study, folder)
        if not isinstance(task, StoredTask):  # no file holds the task, so its code counts as that of the space does
            sources |= task_sources(study)
            edited = changed_since(setup, task_sources(study), space) if setup is not None else {}
            refuse_other_study(folder, setup, study, edited, widened=widened)
        _LOG.info("The task is %s.", task.summary() if isinstance(task, StoredTask) else task.name)
        refuse_other_digests(folder, setup, task=task.digest)
        widening |= refuse_other_readings(folder, setup, task, widened=widened)
        objectives = fitting_objectives(study, task)
        origins = origins_of_files(study)
        untaught = Context(study, space, task, torch.empty(0), objectives)
        if setup is None:  # a teacher may take long, so what needs none is refused before
            refuse_unbuildable(untaught, folder)
            refuse_hopeless_bounds(untaught, draw_students(untaught, _BOUNDED_SAMPLES, folder=folder))
            untaught = beginning_from(untaught, origins, folder, kept={})
            refuse_unfit_starts(untaught, folder)
        refuse_hopeless_baselines(untaught, folder)
        teacher, outputs = teacher_and_outputs(study, task, folder, notify=notify)
        refuse_other_digests(folder, setup, teacher=teacher.digest)
        origins |= origins_of_teacher(study, teacher, task)
        began = setup.digests.origins if setup is not None else {}
        digests = {**began, **{start: origin.digest for start, origin in origins.items()}}
        refuse_other_digests(folder, setup, origins={start: digests[start] for start in began})
        context = beginning_from(untaught, origins, folder, kept=began)
        if setup is None or widening:
            refuse_unfit_starts(context, folder, tried=began if widening else [PRETRAINED, *untaught.origins])
        context = replace(context, answers=open_outputs(outputs))
        facts = teacher_facts(context, teacher)
        meter = place.meter
        if meter.where and any(objective.timed for objective in objectives):
            _LOG.info("Latencies are measured %s.", meter.where)
        if setup is None:
            setup = _begin(context, teacher, facts, folder, outputs.relative_to(folder), meter)
            if prior is not None:
                adopt_prior(prior, folder, study.record)
        elif widening:
            setup = _widened(context, folder, setup, meter)
        paths = {start: f"{FOLDER}/{path.name}" for start, path in context.origins.items()}
        setup = setup.model_copy(
            update={
                "study": dump(study),
                "sources": sources,
                "objectives": measures(objectives),
                "validation_rows": len(task.splits["validation"]),
                "readings": readings_of(task),
                "origins": {**setup.origins, **paths},
                "digests": setup.digests.model_copy(update={"origins": digests}),
            }
        )
        write_setup(folder, setup)
    return Run(
        folder,
        context,
        setup,
        latencies=open_latencies(context, folder, meter=meter, calibration_ms=setup.calibration_ms),
        read_test=functools.partial(read_test, context, folder, setup),
        shared={"task": task if setup.task else study.task, "teacher": _shared_teacher(folder, setup)},
    )


def apart(run: Path, folder: Path, setup: Setup, task: Task, *, reserve: bool, notify: Notify) -> Path:
    """A folder from which workers train what `setup` says; with `reserve`, the rows that the search left out are used.

    Args:
        run: the run folder.
        folder: the folder to write.
        setup: what the run was begun with.
        task: the task of the run.
        reserve: whether the rows that the search left out are used, too.
        notify: is told how far the teacher's answers are.

    Raises:
        InputError: the search left no rows out, or the teacher is not the one from which the search learnt.
    """
    study = Study.model_validate(setup.study)
    paths: dict[str, Any] = {
        "study": dump(study),
        "task": str((run / setup.task).absolute()) if setup.task else "",
        "outputs": str((run / setup.outputs).absolute()),
        "origins": {start: str((run / file).absolute()) for start, file in setup.origins.items()},
    }
    if reserve:
        if not len(task.splits["reserve"]):
            raise InputError(f"the search in {run} left no training rows out; retrain without `reserve`")
        refuse_changed(run, changed_sources(setup.sources, {TEACHER: teacher_sources(study)}))
        teacher, outputs = teacher_and_outputs(study, task, run, also=("reserve",), notify=notify)
        if teacher.digest != setup.digests.teacher:
            refuse_changed(run, {TEACHER: TEACHER})
        paths = paths | {"outputs": str(outputs.absolute()), "reserve": True}
    folder.mkdir(parents=True, exist_ok=True)
    write_setup(folder, setup.model_copy(update=paths))
    return folder


def _begin(
    context: Context, teacher: Teacher, facts: Mapping[str, Any], folder: Path, outputs: Path, meter: Meter
) -> Setup:
    calibration_ms, space = idle_calibration_ms(context.objectives, meter), space_itself(context.space)
    ideal, worst = end_points(context, folder, meter, calibration_ms)
    return Setup(
        study=dump(context.study),
        digests=Digests(task=context.task.digest, teacher=teacher.digest, space=source_digest(space)),
        task="task" if isinstance(context.task, StoredTask) else "",
        outputs=str(outputs),
        teacher=dict(facts),
        calibration_ms=calibration_ms,
        reference_point=worst,
        ideal_point=ideal,
        environment=environment(),
        records=record_names(context.study),
    )


def _widened(context: Context, folder: Path, setup: Setup, meter: Meter) -> Setup:
    """The setup of the run with its wider space; the ends of the hypervolume include those of the wider space."""
    names = widen(folder, context, setup)
    ideal, worst = end_points(context, folder, meter, setup.calibration_ms)
    before, ideal_before = setup.reference_point, ideal_point(setup, context)
    farthest = {o.name: max if o.direction == "minimize" else min for o in context.objectives}
    nearest = {o.name: min if o.direction == "minimize" else max for o in context.objectives}
    return setup.model_copy(
        update={
            "records": names,
            "digests": setup.digests.model_copy(update={"space": source_digest(space_itself(context.space))}),
            "reference_point": {name: farthest[name](before[name], value) for name, value in worst.items()},
            "ideal_point": {name: nearest[name](ideal_before[name], value) for name, value in ideal.items()},
        }
    )


def _shared_teacher(folder: Path, setup: Setup) -> dict[str, str]:
    """The teacher of a run as its baselines have it: its answers, and the layers from which students begin."""
    origin = {"origin": str(folder / setup.origins[FROM_TEACHER])} if FROM_TEACHER in setup.origins else {}
    return {"outputs": str(folder / setup.outputs), **origin}


def _open_task(study: Study, folder: Path) -> Task:
    """The study's task, opened from files in the run folder if the task can be kept in files.

    Raises:
        InputError: the data cannot be read, a reference leads to no task, or worker processes cannot have the task.
    """
    if isinstance(study.task, StoredTask):
        return save_task(study.task, folder / "task")
    if isinstance(study.task, str | TaskSection | MadeTaskSection):
        return open_task(study.task, seed=study.seed, folder=folder / "task")
    kind = type(study.task).__name__
    refuse_no_task(study.task, f"a {kind}")
    if study.executor != "inline":
        raise InputError(
            f"task: worker processes cannot have this object, because a {kind} is in no file; use executor='inline', "
            "name a function that makes the task, as in task='my_tasks.py:make', or make the task with "
            "autokd.tasks.from_arrays"
        )
    return cast(Task, study.task)
