"""A search on a table: each number is looked up. Nothing is trained, and no file is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from autokd.errors import InfeasibleError, InputError, nearest
from autokd.study import Study
from autokd.tasks import ArrayTask, Augmentation
from autokd.trial.table import Table
from autokd.trial.training import Context, Stretch, reason_of
from autokd.types import Arch, Objective

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class TableContext(Context):
    """The context of a search on a table; its task has no rows, and its teacher has no answers.

    Args:
        table: the table.
    """

    costs_are_free: ClassVar[bool] = True
    trains: ClassVar[bool] = False

    table: Table

    @property
    def ideal(self) -> dict[str, float]:
        """The best value in the table, by objective."""
        return {objective.name: self.table.best[objective.name] for objective in self.objectives}

    def suggest(self, trial: optuna.Trial) -> tuple[Arch, dict[str, Any]]:
        """A choice of each of the table's parameters, and an empty recipe."""
        return self.table.suggest(trial), {}

    def costs(self, arch: Arch) -> dict[str, float]:
        """The untrained objectives of an architecture, by name.

        Raises:
            InfeasibleError: the table lacks the architecture, or a value of any objective, trained ones among them.
        """
        values = [(objective, self.table.look_up(arch, objective.name)) for objective in self.objectives]
        return {objective.name: value for objective, value in values if not objective.trained}

    def run(self, stretch: Stretch) -> dict[str, Any]:
        """The trained objectives at the epoch at which the stretch stops, in the form of `run_stretch`."""
        at = "" if stretch.stop == self.study.budget.rungs[-1] else f"@{stretch.stop}"
        names = [objective.name for objective in self.objectives if objective.trained]
        try:
            values = {name: self.table.look_up(stretch.arch, f"{name}{at}") for name in names}
        except InfeasibleError as error:
            return {"error": reason_of(error)}
        return {"epoch": stretch.stop, "values": values, "seconds": 0.0}


def table_context(study: Study, table: Table) -> TableContext:
    """The context of a study on its table.

    Raises:
        InputError: the study names objectives, settings or rungs that the table does not have.
    """
    named = study.objectives or {name: {} for name in table.objectives}
    objectives = tuple(_objective(table, name, given) for name, given in named.items())
    if not any(objective.trained for objective in objectives):
        known = ", ".join(table.rungs) or "none"
        raise InputError(
            f"objectives: {', '.join(named)} need no training; add an objective that needs it (this table has {known})"
        )
    _refuse_unknown_rungs(study, [table.rungs[objective.name] for objective in objectives if objective.trained])
    return TableContext(study, table, _no_rows(table.path.name, table.digest), torch.empty(1, 0, 0), objectives, table)


def _objective(table: Table, name: str, given: Mapping[str, Any]) -> Objective:
    if name not in table.objectives:
        known = ", ".join(table.objectives)
        raise InputError(f"objectives.{name} is not in this table (known: {known}){nearest(name, table.objectives)}")
    for setting in given:
        if setting != "bound":
            raise InputError(
                f"objectives.{name}.{setting}: there is no such setting; an objective of a table has only a bound"
            )
    return replace(table.objectives[name], bound=given.get("bound"))


def _refuse_unknown_rungs(study: Study, by_objective: list[frozenset[int]]) -> None:
    *earlier, last = study.budget.rungs
    known = frozenset.intersection(*by_objective)
    if known.issuperset(earlier):
        return
    has = f"after {', '.join(map(str, sorted(known)))} epochs and at the end" if known else "at the end only"
    would_do = [*sorted(epoch for epoch in known if epoch < last), last] if known else [1]
    raise InputError(
        f"budget.rungs: {list(study.budget.rungs)} given; this table has values {has}: write budget.rungs={would_do}"
    )


def _no_rows(name: str, digest: str) -> ArrayTask:
    none = torch.empty(0, dtype=torch.int64)
    return ArrayTask(
        name=name,
        x=np.empty((0, 1), dtype=np.float32),
        y=none,
        class_names=(),
        splits=dict.fromkeys(("train", "transfer", "validation", "test", "reserve"), none),
        shift=(0.0,),
        divisor=(1.0,),
        augmentation=Augmentation(),
        class_weights=None,
        label_noise=0.0,
        digest=digest,
    )
