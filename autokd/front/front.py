"""The answer of a search: the Pareto-optimal students, and how one of them is picked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from autokd import pareto
from autokd.errors import InputError
from autokd.frames import data_frame
from autokd.front.objectives import as_objectives, refuse_unknown
from autokd.front.student import Door, Student
from autokd.types import Objective

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Front(Sequence[Student]):
    """What a search answers: a sequence of its students, the best on the first objective first.

    Args:
        study: the study's name.
        objectives: name, direction and unit of each.
        front: the students.
        trials: how many ended how.
        epochs_spent: trained by the search and by the fresh seeds, without baselines.
        teacher: name, `values` on validation and `test`; empty where a table was searched.
        baselines: by name: the same study with keys overridden, as `epochs_spent`, `hypervolume`, `front`, `overrides`.
        hypervolume: share of the box up to `reference` that the front dominates, 0 .. 1.
        reference: worst value by objective, fixed when the search began.
        validation_labels: labels that chose the front; 0 where a table was searched.
        standard_error: of the main trained objective (the first that is maximised, else the first) at its best on the
            front, on those labels.
        test_reads: how often the test split was read in this run so far.
        final: False for a glance at a search that has not ended: nothing re-seeded, test not read.
        note: how the search ended, in words.
        reasons: why students failed or were infeasible, counted by reason; empty where none did.
        door: how the students of its run are loaded, retrained and exported; given by `search` and `load_front`.
    """

    study: str
    objectives: list[dict[str, str]]
    front: list[Student]
    trials: dict[str, int]
    epochs_spent: int
    teacher: dict[str, Any]
    baselines: dict[str, Any]
    hypervolume: float
    reference: dict[str, float]
    validation_labels: int
    standard_error: float
    test_reads: int
    final: bool
    note: str = ""
    reasons: list[str] = field(default_factory=list)
    door: InitVar[Door | None] = None

    def __post_init__(self, door: Door | None) -> None:
        object.__setattr__(self, "_door", door)  # no field: it is no data, and two fronts are equal without it

    @property
    def run(self) -> Path | None:
        """The run folder; None where the front was made from data alone."""
        door: Door | None = vars(self)["_door"]
        return None if door is None else door.run

    @overload
    def __getitem__(self, index: SupportsIndex) -> Student: ...

    @overload
    def __getitem__(self, index: slice) -> list[Student]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Student | list[Student]:
        return self.front[index]

    def __iter__(self) -> Iterator[Student]:
        return iter(self.front)

    def __len__(self) -> int:
        return len(self.front)

    def with_door(self, door: Door) -> Front:
        """The same front, whose students can be loaded, retrained and exported through `door`."""
        return replace(self, front=[replace(student, door=door) for student in self.front], door=door)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what `autokd front --json` prints and `front.json` holds."""
        return asdict(self)

    def to_dataframe(self) -> pandas.DataFrame:
        """A pandas data frame with a row for each student, in this order; `autokd front --csv` has the same numbers.

        Its columns are

        - `trial`: its number in the record;
        - a column for each objective, such as `accuracy` and `parameters`: on validation;
        - `seeds`: fresh trainings behind these values; 0 where they are the search's own;
        - `within_noise`: whether all that it has over another student is within the spread;
        - `spread.accuracy` and so on: as `Student.spread` says;
        - `test.accuracy` and so on: on the test split, where it was read;
        - `recipe.alpha` and so on: how it was trained;
        - `arch.width` and so on: the architecture. What is nested is named with dots; a list stays a list.

        Raises:
            InputError: pandas is not installed.
        """
        students = self.to_dict()["front"]
        names = [objective["name"] for objective in self.objectives]
        parts = ("seeds", "within_noise", "spread", "test", "recipe", "arch")
        rows = [{"trial": each["trial"], **each["values"], **{part: each[part] for part in parts}} for each in students]
        return data_frame(rows, ["trial", *names, "seeds", "within_noise"])

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture, where matplotlib can draw it, and a table of the students."""
        from autokd.front.page import front_page

        return front_page(self.to_dict())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Front:
        """The front of such data; where they are of before there were marks, the students are marked now."""
        students = [Student(**student) for student in data["front"]]
        if not all("within_noise" in student for student in data["front"]):
            students = marked(students, as_objectives(data["objectives"]))
        return cls(**{**data, "front": students})

    def plot(self, *, x: str | None = None, y: str | None = None, ax: Axes | None = None, dark: bool = False) -> Axes:
        """Draws one objective against another with matplotlib, as `autokd plot` does for all of them in a file.

        Args:
            x: the objective of the horizontal axis; the first one but that of the vertical axis if None.
            y: the objective of the vertical axis; if None the first that is maximised, else the first.
            ax: what is drawn into; new axes of pyplot if None, which a notebook shows.
            dark: whether the colours are for a dark page.

        Returns:
            the axes that were drawn into.

        Raises:
            InputError: matplotlib is not installed, an objective is unknown, or the front is empty.
        """
        from autokd.front.figure import draw, legend, panels

        front = self.to_dict()
        across, up = panels(front, x, y)[0]
        if ax is None:
            from matplotlib import pyplot

            _, ax = pyplot.subplots(layout="constrained")
        draw(ax, front, across, up, dark=dark)
        legend(ax, ax, dark=dark)
        return ax

    def pick(
        self,
        *,
        by: str = "knee",
        weights: Mapping[str, float] | None = None,
        maximum: Mapping[str, float] | None = None,
        minimum: Mapping[str, float] | None = None,
    ) -> Student:
        """One student of the front; the order of the students does not matter.

        Of the students within the bounds those are left out whose advantages over another one are within the spread.

        Args:
            by: an objective, of which the best is taken (and the knee of those that tie), or `knee`: the student whose
                largest loss is smallest, with losses scaled to 0 .. 1 over the students within the bounds.
            weights: instead of `by`: weight of each objective, >= 0; the student whose largest scaled, weighted loss is
                smallest is taken.
            maximum: the most an objective may be.
            minimum: the least an objective may be.

        Raises:
            InputError: an unknown objective, weights that say nothing, or no student within the bounds.
        """
        named = [*(weights or {}), *(maximum or {}), *(minimum or {}), *([by] if by != "knee" else [])]
        refuse_unknown(named, self.objectives)
        within = [
            student
            for student in sorted(self.front, key=lambda student: student.trial)
            if all(student.values[name] <= bound for name, bound in (maximum or {}).items())
            and all(student.values[name] >= bound for name, bound in (minimum or {}).items())
        ]
        if not within:
            raise InputError(f"no student of the front is within the bounds; {self._ranges()}")
        objectives = as_objectives(self.objectives)
        within = [
            s for s, as_marked in zip(within, marked(within, objectives), strict=True) if not as_marked.within_noise
        ]
        points = pareto.as_losses([student.values for student in within], objectives)
        if weights:
            wanted = np.array([weights.get(o["name"], 0.0) for o in self.objectives])
            if wanted.min() < 0 or wanted.sum() == 0:
                raise InputError(f"weights {dict(weights)}: give numbers >= 0, one of them above 0")
            return within[pareto.weighted(points, wanted)]
        if by != "knee":
            column = points[:, [o["name"] for o in self.objectives].index(by)]
            best = np.flatnonzero(column == column.min())
            within, points = [within[i] for i in best], points[best]
        return within[pareto.knee(points)]

    def _ranges(self) -> str:
        if not self.front:
            return "the front is empty"
        ranges = []
        for objective in self.objectives:
            values = [student.values[objective["name"]] for student in self.front]
            ranges.append(f"{objective['name']} {min(values):.4g} to {max(values):.4g}")
        return f"the front holds {', '.join(ranges)}"


def marked(students: Sequence[Student], objectives: Sequence[Objective]) -> list[Student]:
    """The students of a front, with `within_noise` as `pareto.within_spread` finds it."""
    points = pareto.as_losses([student.values for student in students], objectives)
    spreads = np.array([[student.spread.get(o.name, 0.0) for o in objectives] for student in students])
    found = pareto.within_spread(points, spreads.reshape(points.shape))
    return [replace(student, within_noise=bool(noise)) for student, noise in zip(students, found, strict=True)]
