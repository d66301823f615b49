"""A search on a table: each number is looked up. Nothing is trained, and no file is written."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from autokd.errors import InputError, UnlistedError, nearest, said
from autokd.study import Setup, Study
from autokd.trial.searched import Stretch
from autokd.trial.table import Table
from autokd.types import Arch, Objective

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Tabulated:
    """A table that is searched. See `Searched` for what a search asks of it.

    Args:
        study: the study.
        table: the table.
        objectives: the objectives that are searched, in the study's order.
    """

    costs_are_free: ClassVar[bool] = True
    reseeds: ClassVar[int] = 0
    validation_rows: ClassVar[int] = 0

    study: Study
    table: Table
    objectives: tuple[Objective, ...]

    @property
    def reading(self) -> dict[str, Any]:
        """Always empty."""
        return {}

    @property
    def ideal(self) -> dict[str, float]:
        """The best value in the table, by objective."""
        return {objective.name: self.table.best[objective.name] for objective in self.objectives}

    def suggest(self, trial: optuna.Trial) -> tuple[dict[str, Any], Arch, dict[str, Any]]:
        """An empty reading, a choice of each of the table's parameters, and an empty recipe."""
        return {}, self.table.suggest(trial), {}

    def seen_through(self, reading: Mapping[str, Any]) -> Tabulated:
        """The table itself, because nothing is read."""
        return self

    def costs(self, arch: Arch) -> dict[str, float]:
        """The untrained objectives of an architecture, by name.

        Raises:
            UnlistedError: the table lacks the architecture, or a value of any objective, trained ones among them.
        """
        values = [(objective, self.table.look_up(arch, objective.name)) for objective in self.objectives]
        return {objective.name: value for objective, value in values if not objective.trained}

    def run(self, stretch: Stretch) -> dict[str, Any]:
        """The trained objectives at the epoch at which the stretch stops."""
        at = "" if stretch.stop == self.study.budget.rungs[-1] else f"@{stretch.stop}"
        names = [objective.name for objective in self.objectives if objective.trained]
        try:
            values = {name: self.table.look_up(stretch.arch, f"{name}{at}") for name in names}
        except UnlistedError as error:
            return {"error": said(error)}
        return {"epoch": stretch.stop, "values": values, "seconds": 0.0}

    def in_danger(self, folder: Path, how: str) -> AbstractContextManager[None]:
        """Notes nothing, because looking up runs no code of the study."""
        return nullcontext()

    def why_lost(self, arch: Arch, folder: Path) -> str:
        """Always "", because the numbers stay in the table."""
        return ""

    def edited(self, setup: Setup) -> dict[str, str]:
        """Always empty, because a table names no code."""
        return {}


def searched_table(study: Study, table: Table) -> Tabulated:
    """The table of a study, to be searched.

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
    return Tabulated(study, table, objectives)


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
