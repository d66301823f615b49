"""The answer of a search: the Pareto-optimal students, and how to pick one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass, field, replace
from numbers import Real
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


@dataclass(frozen=True, repr=False)
class Front(Sequence[Student]):
    """The answer of a search: a sequence of students, with the best one in the first objective first.

    Args:
        study: the study's name.
        objectives: name, direction and unit of each objective.
        front: the students.
        trials: the number of trials by state.
        epochs_spent: epochs that the search and the fresh seeds trained; baselines do not count.
        teacher: the teacher's name, its `values` on validation, and its `test` values; empty if a table was searched.
        baselines: by name, the results of the same study with keys overridden: `epochs_spent`, `hypervolume`, `front`,
            `overrides`.
        hypervolume: the share of the box up to `reference` that the front dominates, 0 .. 1.
        reference: the worst value of each objective that counts, fixed when the search began.
        validation_labels: the number of labels on which the front was chosen; 0 if a table was searched.
        standard_error: the standard error, on those labels, of the front's best value in the main trained objective
            (the first that is maximised, else the first).
        test_reads: how often this run has read the test split so far.
        final: False while the search has not ended. Then no student has fresh seeds, and the test split was not read.
        note: a sentence on how the search ended.
        reasons: why students failed or were infeasible, with counts; empty if none did.
        door: loads, retrains and exports the students of the run; `search` and `load_front` give it.
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
        # Not a field, because a door is no data and does not affect whether two fronts are equal.
        object.__setattr__(self, "_door", door)

    @property
    def run(self) -> Path | None:
        """The run folder; None if the front was made from data alone."""
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
        """The front as plain data, as `autokd front --json` prints it and `front.json` holds it."""
        return {**asdict(self), "front": [student.to_dict() for student in self.front]}

    def to_dataframe(self) -> pandas.DataFrame:
        """A pandas data frame with a row for each student, in the front's order, as in `autokd front --csv`.

        Its columns are

        - `trial`: the number of the student's trial in the record;
        - a column for each objective, such as `accuracy` and `parameters`: the value on validation;
        - `seeds`: how many fresh trainings these values are means of; 0 if they come from the search itself;
        - `within_noise`: whether the student's advantages over another student are all within the spread;
        - `spread.accuracy` and so on: the spread of each value, see `Student.spread`;
        - `test.accuracy` and so on: the values on the test split, if it was read;
        - `recipe.alpha` and so on: the settings of training;
        - `arch.width` and so on: the architecture. Nested values have names with dots; a list stays a list;
        - `reading.size` and so on: how rows are read, if the search varied that.

        Raises:
            InputError: pandas is not installed.
        """
        students = self.to_dict()["front"]
        names = [objective["name"] for objective in self.objectives]
        parts = ("seeds", "within_noise", "spread", "test", "recipe", "arch", "reading")
        rows = [
            {"trial": each["trial"], **each["values"], **{part: each[part] for part in parts if part in each}}
            for each in students
        ]
        return data_frame(rows, ["trial", *names, "seeds", "within_noise"])

    def __repr__(self) -> str:
        """A line of what it is, and a table of the first students; `to_dict` has all of it."""
        from autokd.front.page import front_lines

        return front_lines(self.to_dict())

    def _repr_html_(self) -> str:
        """The front as a notebook shows it: a picture, if matplotlib is installed, and a table of the students."""
        from autokd.front.page import front_page

        return front_page(self.to_dict())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Front:
        """The front that such data describe. Data of earlier versions lack `within_noise`, which is computed here."""
        students = [Student(**student) for student in data["front"]]
        if not all("within_noise" in student for student in data["front"]):
            students = marked(students, as_objectives(data["objectives"]))
        return cls(**{**data, "front": students})

    def plot(self, *, x: str | None = None, y: str | None = None, ax: Axes | None = None, dark: bool = False) -> Axes:
        """Draws one objective against another with matplotlib. `autokd plot` draws all of them into a file.

        Args:
            x: the objective of the horizontal axis. If None, it is the first one that is not on the vertical axis.
            y: the objective of the vertical axis. If None, it is the first that is maximised, else the first.
            ax: the axes to draw into. If None, pyplot makes new axes, which a notebook shows.
            dark: whether the colours are for a dark page.

        Returns:
            the axes with the picture.

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
        """Picks one student of the front. The order of the students does not matter.

        Only students within the bounds can be picked. Among these, a student whose advantages over another one are all
        within the spread is left out.

        Args:
            by: an objective, or `knee`. For an objective, the best student is picked, and the knee of those that tie.
                The knee is the student whose largest loss is smallest, where losses are scaled to 0 .. 1 over the
                students within the bounds.
            weights: the weight of each objective, >= 0, in place of `by`. The student whose largest scaled and weighted
                loss is smallest is picked.
            maximum: the largest allowed value of an objective, by name.
            minimum: the smallest allowed value of an objective, by name.

        Raises:
            InputError: an objective is unknown, no weight is above 0 or one is below, or no student is within the
                bounds.
        """
        for key, numbers in (("weights", weights), ("maximum", maximum), ("minimum", minimum)):
            if numbers is not None and not _are_numbers(numbers):
                example = f"{{'{self.objectives[-1]['name']}': 2000}}"
                raise InputError(
                    f"{key}: {numbers!r} given; give a number for each objective that counts, as {example}"
                )
        if weights and by != "knee":
            raise InputError(f"by: '{by}' and weights: {dict(weights)} given; give one of the two")
        if not self.front:
            raise InputError("the front is empty, so there is nothing to pick: no student was trained to the end yet")
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
            if not np.isfinite(wanted).all() or wanted.min() < 0 or wanted.sum() == 0:
                raise InputError(f"weights {dict(weights)}: give numbers >= 0, one of them above 0")
            return within[pareto.weighted(points, wanted)]
        if by != "knee":
            column = points[:, [o["name"] for o in self.objectives].index(by)]
            best = np.flatnonzero(column == column.min())
            within, points = [within[i] for i in best], points[best]
        return within[pareto.knee(points)]

    def _ranges(self) -> str:
        ranges = []
        for objective in self.objectives:
            values = [student.values[objective["name"]] for student in self.front]
            ranges.append(f"{objective['name']} {min(values):.4g} to {max(values):.4g}")
        return f"the front holds {', '.join(ranges)}"


def _are_numbers(given: object) -> bool:
    return isinstance(given, Mapping) and all(isinstance(each, Real) and each == each for each in given.values())


def marked(students: Sequence[Student], objectives: Sequence[Objective]) -> list[Student]:
    """The students of a front with `within_noise` set, as `pareto.within_spread` finds it."""
    points = pareto.as_losses([student.values for student in students], objectives)
    spreads = np.array([[student.spread.get(o.name, 0.0) for o in objectives] for student in students])
    found = pareto.within_spread(points, spreads.reshape(points.shape))
    return [replace(student, within_noise=bool(noise)) for student, noise in zip(students, found, strict=True)]
