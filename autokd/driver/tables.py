"""Sets up a run that searches a table: reads and checks the table, and copies it into the run folder."""

from __future__ import annotations

from pathlib import Path

from autokd.driver.costs import refuse_hopeless_bounds
from autokd.driver.prior import adopt_prior, refuse_prior
from autokd.driver.run import Run, environment, record_names, refuse_other_digests, refuse_other_study, setup_to_go_on
from autokd.record import canonical
from autokd.registry import resolve
from autokd.study import SPACE, Digests, Setup, Study, dump, measures, read_setup, write_setup
from autokd.trial import Tabulated, read_table, searched_table

_COPY = "table.csv.gz"


def prepare_table(study: Study, folder: Path, prior: Path | None) -> Run:
    """Prepares the run of a study of a table, as `prepare` does; `folder` exists.

    Raises:
        InputError: the table cannot be used, or the run was begun with another study or table.
    """
    table = read_table(Path(study.table))
    context = searched_table(study, table)
    resolve("schedulers", study.scheduler)(context.objectives, study.budget.rungs)
    setup = setup_to_go_on(folder, study.record)
    refuse_other_study(folder, setup, study, {})
    refuse_other_digests(folder, setup, task=table.digest)
    space = canonical({"parameters": {name: list(choices) for name, choices in table.parameters.items()}})
    if prior is not None:
        changed = {} if read_setup(prior).digests.space == space else {SPACE: "the choices of the table"}
        refuse_prior(prior, folder, study, changed, objectives=context.objectives, begun=setup is not None)
    if setup is None:
        refuse_hopeless_bounds(context, ((context, arch) for arch in table.archs()))
        (folder / _COPY).write_bytes(table.path.read_bytes())
        (folder / "table.json").write_bytes(table.description.read_bytes())
        setup = _begin(context, space)
        if prior is not None:
            adopt_prior(prior, folder, study.record)
    setup = setup.model_copy(update={"study": dump(study), "objectives": measures(context.objectives)})
    write_setup(folder, setup)
    return Run(folder, context, setup)


def _begin(context: Tabulated, space: str) -> Setup:
    table = context.table
    return Setup(
        study=dump(context.study),
        digests=Digests(task=table.digest, teacher="", space=space),
        task=_COPY,
        outputs="",
        teacher={},
        calibration_ms=0.0,
        reference_point={o.name: table.worst[o.name] if o.bound is None else o.bound for o in context.objectives},
        ideal_point=context.ideal,
        environment=environment(),
        records=record_names(context.study),
    )
