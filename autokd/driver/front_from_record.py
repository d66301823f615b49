"""Makes a front from the record and the objectives in `study.json`; no code of the study is looked up for it.

`settling` makes the final front from these parts, after students were trained anew. This file does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autokd.errors import START_OVER, InputError
from autokd.front import Front, Student, marked
from autokd.pareto import as_losses, scaled_hypervolume, undominated
from autokd.record import TrialRecord, counts, reasons
from autokd.record.test_reads import count_test_reads
from autokd.registry import installed, resolve
from autokd.study import SETUP_FILE, Setup, Study, objectives_of, resolve_objectives
from autokd.types import Objective

_PRELIMINARY = (
    "this front is preliminary, because its students were not trained again with fresh seeds and not scored on the "
    "test split"
)


@dataclass(frozen=True)
class Measures:
    """The objectives by which students are compared, and what belongs to them.

    Args:
        objectives: the objectives in the study's order.
        rows: the number of validation rows; 0 if a table is searched.
        ideal: the best value by objective, from which the hypervolume counts.
    """

    objectives: Sequence[Objective]
    rows: int
    ideal: Mapping[str, float]

    def students(self, complete: Sequence[TrialRecord]) -> list[Student]:
        """The students of complete trials, as the search trained them."""
        names = [objective.name for objective in self.objectives]
        return [
            Student(
                trial.number,
                trial.arch or {},
                trial.recipe,
                {name: trial.values[name] for name in names},
                self.standard_errors(trial.values, trial.spread),
                reading=trial.reading,
                start=trial.start,
            )
            for trial in complete
        ]

    def standard_errors(self, values: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
        """The standard error of each trained objective, by its formula or else as measured; 0 if it is exact."""
        found = {}
        for objective in (objective for objective in self.objectives if objective.trained):
            formula, name = objective.standard_error, objective.name
            found[name] = measured.get(name, 0.0) if formula is None else formula(values[name], self.rows)
        return found

    def noise_floor(self, students: Sequence[Student], trials: Sequence[TrialRecord]) -> float:
        """The standard error, at its best value on the front, of the main trained objective, which the report uses."""
        if not students:
            return 0.0
        trained = [objective for objective in self.objectives if objective.trained]
        main = next((objective for objective in trained if objective.direction == "maximize"), trained[0])
        losses = as_losses([student.values for student in students], [main])
        best = students[int(losses[:, 0].argmin())]
        measured = next(trial.spread for trial in trials if trial.number == best.trial)
        return self.standard_errors(best.values, measured)[main.name]


def raw_front(run: Path, setup: Setup, trials: Sequence[TrialRecord], study: Study | None = None) -> Front:
    """The raw front of the trials so far: one training each, nothing is measured again, and test is not read.

    Args:
        run: the run folder.
        setup: what the run was begun with.
        trials: the run's record.
        study: the caller's own study; it helps if an earlier version did not keep what the objectives are.

    Raises:
        InputError: an earlier version did not keep the objectives, and they are not installed; or the record has other
            objectives.
    """
    measures = Measures(objectives_of(setup), setup.validation_rows, setup.ideal_point)
    if not setup.objectives:
        measures = _measures_of_before(run, setup, study)
    complete = [trial for trial in trials if trial.state == "complete"]
    for objective in measures.objectives:
        if any(objective.name not in values for values in (setup.reference_point, *(each.values for each in complete))):
            raise InputError(
                f"{run / SETUP_FILE} is damaged (nothing recorded has its objective {objective.name!r}); {START_OVER}"
            )
    students = measures.students(undominated(complete, measures.objectives))
    return front_of(measures, setup, trials, students, run, final=False, note=_PRELIMINARY)


def front_of(
    measures: Measures,
    setup: Setup,
    trials: Sequence[TrialRecord],
    students: Sequence[Student],
    folder: Path,
    *,
    final: bool,
    note: str,
    extra_epochs: int = 0,
) -> Front:
    """The front of these students, all of which are on it.

    Args:
        measures: the objectives by which students are compared.
        setup: what the run was begun with.
        trials: the run's record.
        students: the students in any order.
        folder: the run folder.
        final: whether the front is final, as `Front` says.
        note: how the search ended, in words.
        extra_epochs: the epochs that were trained besides those in the record.
    """
    objectives = measures.objectives
    first = objectives[0]
    students = marked(students, objectives)
    ordered = sorted(students, key=lambda s: s.values[first.name], reverse=first.direction == "maximize")
    return Front(
        study=str(setup.study.get("name", "")),
        objectives=[{"name": o.name, "direction": o.direction, "unit": o.unit} for o in objectives],
        front=ordered,
        trials=counts(trials),
        epochs_spent=sum(trial.epoch for trial in trials) + extra_epochs,
        teacher={"test": {}, **setup.teacher} if setup.teacher else {},
        baselines={},
        hypervolume=scaled_hypervolume(
            [s.values for s in ordered],
            objectives,
            ideal=measures.ideal,
            worst=setup.reference_point,
        ),
        reference=dict(setup.reference_point),
        validation_labels=measures.rows,
        standard_error=measures.noise_floor(ordered, trials),
        test_reads=count_test_reads(folder),
        final=final,
        note=note,
        reasons=reasons(trials),
    )


def _measures_of_before(run: Path, setup: Setup, study: Study | None) -> Measures:
    """The objectives by which students are compared, for a run whose `study.json` does not keep them."""
    if not (run / setup.task).exists():
        raise InputError(
            f"{run} holds no data: its task was a Python object that is kept in no file, so that only a finished front "
            "can be read; search it again to go on"
        )
    own = Study.model_validate(setup.study)
    if own.table:
        from autokd.trial import read_table, searched_table

        context = searched_table(own, read_table(run / setup.task))
        return Measures(context.objectives, 0, setup.ideal_point or context.ideal)
    foreign = [name for name in own.objectives if not installed("objectives").get(name, "").startswith("autokd.")]
    if study is not None:
        objectives = resolve_objectives(study)
    elif foreign:
        raise InputError(
            f"{run}: an earlier version of AutoKD began it and did not keep what the objective '{foreign[0]}' is, "
            "and code that a run folder names is not imported; give the study file in place of the folder, or search "
            "again, which keeps the objective"
        )
    else:
        objectives = tuple(resolve("objectives", name) for name in own.objectives)
    from autokd.tasks import load_task

    ideal = {o.name: 1.0 if o.direction == "maximize" else 0.0 for o in objectives}
    return Measures(objectives, len(load_task(run / setup.task).splits["validation"]), setup.ideal_point or ideal)
