"""A table of architectures for which everything is measured already, read from its two files."""

from __future__ import annotations

import bisect
import csv
import errno
import gzip
import hashlib
import io
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError, field_validator

from autokd.errors import InputError, UnlistedError, said
from autokd.files import read_bytes, utf8_text
from autokd.types import Arch, Direction, Objective

if TYPE_CHECKING:
    import optuna

Choice = StrictBool | StrictInt | StrictFloat | StrictStr
Row = Mapping[str, float]


_MOST_BYTES = 200_000_000
"""The largest size of a table once it is unpacked, which is some millions of rows."""


@dataclass(frozen=True, eq=False)
class Table:
    """The results of trainings, with one row for each architecture.

    Args:
        path: the path of the `.csv.gz` file.
        description: the path of the JSON file beside it.
        parameters: choices by parameter.
        objectives: the objectives of which the table has values, by name.
        best: the best value in any row, by objective.
        worst: the worst value in any row, by objective.
        digest: hex digest of everything in the table.
        rungs: the epochs before the last for which the table has values, by trained objective.
        rows: values by column, for the choices as text in the order of `parameters`; unknown values are left out.
    """

    path: Path
    description: Path
    parameters: Mapping[str, tuple[Choice, ...]]
    objectives: Mapping[str, Objective]
    best: Row
    worst: Row
    digest: str
    rungs: Mapping[str, frozenset[int]]
    rows: Mapping[tuple[str, ...], Row]

    def suggest(self, trial: optuna.Trial) -> Arch:
        """A choice of each parameter; for a trial that is only imagined (`trial.imagined`), choices that have a row."""
        whole = len(self.rows) == math.prod(map(len, self.parameters.values()))
        anything = whole or not getattr(trial, "imagined", False)
        arch: Arch = {}
        chosen: tuple[str, ...] = ()
        for name, choices in self.parameters.items():
            arch[name] = trial.suggest_categorical(name, choices if anything else self._following(chosen))
            chosen += (str(arch[name]),)
        return arch

    def archs(self) -> Iterator[Arch]:
        """The architecture of each row."""
        by_text = [{str(choice): choice for choice in choices} for choices in self.parameters.values()]
        for texts in self.rows:
            choices = (named[text] for named, text in zip(by_text, texts, strict=True))
            yield dict(zip(self.parameters, choices, strict=True))

    def look_up(self, arch: Arch, column: str) -> float:
        """The value in a column.

        Raises:
            UnlistedError: the table has no such row, or the row has no such value.
        """
        row = self.rows.get(tuple(str(arch[name]) for name in self.parameters))
        if row is None:
            raise UnlistedError("the table has no row for this architecture")
        if column not in row:
            raise UnlistedError(f"the table has no {column} in the row of this architecture")
        return row[column]

    def _following(self, chosen: tuple[str, ...]) -> tuple[Choice, ...]:
        """The choices of the next parameter that some row has after the choices made before it."""
        if chosen not in self._branches:
            found = []
            for choice in [*self.parameters.values()][len(chosen)]:
                start = (*chosen, str(choice))
                place = bisect.bisect_left(self._sorted, start)
                if place < len(self._sorted) and self._sorted[place][: len(start)] == start:
                    found.append(choice)
            self._branches[chosen] = tuple(found)
        return self._branches[chosen]

    @cached_property
    def _sorted(self) -> list[tuple[str, ...]]:
        return sorted(self.rows)

    @cached_property
    def _branches(self) -> dict[tuple[str, ...], tuple[Choice, ...]]:
        return {}


def read_table(path: Path) -> Table:
    """The table in `NAME.csv.gz`, which `NAME.json` beside it describes.

    The JSON has `parameters` (for each column its choices) and `objectives` (for each column its `direction`, and
    `trained`, which is true if a training is needed to know the value). Other keys and columns are not read. A
    parameter's cell is the text of one of its choices, or the same number written in another way. A column `accuracy@3`
    has the objective `accuracy` after 3 epochs of a longer training, and the column `accuracy` has it at the end. A
    cell that is empty or not finite means that the value is not known.

    Raises:
        InputError: a file cannot be read, or does not have this form.
    """
    if not path.name.endswith(".csv.gz"):
        raise InputError(f"task.table: {path} given; write the path of NAME.csv.gz, with NAME.json beside it")
    beside = description_of(path)
    try:
        text, described = _unpacked(path).decode("utf-8-sig"), utf8_text(beside)
        description = _Description.model_validate_json(described)
        columns, rows = _read_rows(csv.reader(text.splitlines()), description)
    except ValidationError as error:
        raise InputError(f"task.table: {beside}: {_first_problem(error)}") from None
    except ValueError as error:
        raise InputError(f"task.table: {path}: {said(error)}") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        file, reason = getattr(error, "filename", None) or path, getattr(error, "strerror", None) or said(error)
        raise InputError(
            f"task.table: {file} cannot be read ({reason}); write the path of NAME.csv.gz, with NAME.json beside it"
        ) from error
    best, worst = {}, {}
    for name, column in description.objectives.items():
        known = [row[name] for row in rows.values() if name in row]
        if not known:
            raise InputError(f"task.table: {path}: no row has a number in column {name}; take {name} out of {beside}")
        ends = (max(known), min(known))
        best[name], worst[name] = ends if column.direction == "maximize" else ends[::-1]
    return Table(
        path=path,
        description=beside,
        parameters={name: tuple(choices) for name, choices in description.parameters.items()},
        objectives={
            name: Objective(name, column.direction, "", column.trained, measure=float)  # is never called
            for name, column in description.objectives.items()
        },
        best=best,
        worst=worst,
        digest=hashlib.sha256(f"{described}\n{text}".encode()).hexdigest(),
        rungs={name: _rungs(name, columns) for name, column in description.objectives.items() if column.trained},
        rows=rows,
    )


def description_of(path: Path) -> Path:
    """The path of the JSON file that describes the table in `NAME.csv.gz`."""
    return path.with_name(path.name.removesuffix(".csv.gz") + ".json")


def _unpacked(path: Path) -> bytes:
    """The content of a .gz file.

    Raises:
        OSError, EOFError, zlib.error: the file cannot be read; OSError also if its content is too large for a table.
    """
    with gzip.open(io.BytesIO(read_bytes(path))) as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it unpacks to more than {_MOST_BYTES:,} bytes", str(path))
    return content


class _ObjectiveColumn(BaseModel):
    direction: Direction
    trained: StrictBool


class _Description(BaseModel):
    """The part of the JSON beside a table that is read."""

    parameters: Annotated[dict[str, list[Choice]], Field(min_length=1)]
    objectives: Annotated[dict[str, _ObjectiveColumn], Field(min_length=2)]

    @field_validator("parameters")
    @classmethod
    def _choices_differ(cls, parameters: dict[str, list[Choice]]) -> dict[str, list[Choice]]:
        for name, choices in parameters.items():
            if not choices or len({str(choice) for choice in choices}) < len(choices):
                raise ValueError(f"{name} has the choices {choices}; write a list of choices whose texts differ")
        return parameters


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(step) for step in first["loc"][:3])
    if first["type"] == "value_error":
        return f"{place}: {first['ctx']['error']}"
    wanted = "'parameters' (column: its choices) and 'objectives' (column: 'direction' and 'trained')"
    return f"{f'{place}: ' if place else ''}{first['msg']}; it should have {wanted}"


def _read_rows(lines: Iterator[list[str]], description: _Description) -> tuple[list[str], dict[tuple[str, ...], Row]]:
    """The names of all columns, and the rows by their parameters.

    Raises:
        ValueError: the columns or the rows do not fit the description.
    """
    columns = next(lines, [])
    missing = [name for name in (*description.parameters, *description.objectives) if name not in columns]
    if missing:
        raise ValueError(f"there is no column {missing[0]}, which the JSON beside it names")
    places = [columns.index(name) for name in description.parameters]
    texts = [{str(choice): str(choice) for choice in choices} for choices in description.parameters.values()]
    numbers = [(columns.index(name), name) for name in description.objectives]
    for name, objective in description.objectives.items():
        rungs = _rungs(name, columns) if objective.trained else ()
        numbers += [(columns.index(f"{name}@{epoch}"), f"{name}@{epoch}") for epoch in rungs]
    rows: dict[tuple[str, ...], Row] = {}
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(columns):
            raise ValueError(f"line {number} has {len(cells)} cells, not {len(columns)}")
        for place, known, (name, choices) in zip(places, texts, description.parameters.items(), strict=True):
            if cells[place] not in known:
                same = [str(choice) for choice in choices if _same_number(cells[place], choice)]
                if not same:
                    named = ", ".join(map(str, choices))
                    raise ValueError(f"line {number}: {name} is '{cells[place]}', not one of its choices: {named}")
                known[cells[place]] = same[0]
        key = tuple([known[cells[place]] for place, known in zip(places, texts, strict=True)])
        if key in rows:
            raise ValueError(f"line {number} has the same parameters as an earlier one; leave one out")
        row: dict[str, float] = {}
        for place, column in numbers:
            try:
                value = float(cells[place] or "nan")
            except ValueError:
                raise ValueError(f"line {number}: {column} is '{cells[place]}'; write a number, or nothing") from None
            if math.isfinite(value):
                row[column] = value
        rows[key] = row
    return columns, rows


def _same_number(text: str, choice: Choice) -> bool:
    """Whether a cell holds a choice that is a number, written in another way."""
    try:
        return not isinstance(choice, bool | str) and float(text) == choice
    except ValueError:
        return False


def _rungs(name: str, columns: Sequence[str]) -> frozenset[int]:
    """The epochs for which a trained objective has a column, besides the column of the full training."""
    found = [re.fullmatch(rf"{re.escape(name)}@([1-9][0-9]*)", column) for column in columns]
    return frozenset(int(match[1]) for match in found if match)
