"""Tables of architectures in which everything is measured, and the share of the best front that some rows reach."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autokd.errors import InputError
from autokd.pareto import Floats, hypervolume, non_dominated


@dataclass(frozen=True)
class Table:
    """A table of architectures in which everything is measured.

    Args:
        path: the `.csv.gz`; the `.json` beside it describes the columns.
        choices: the choices of each parameter, in the order of `codes`.
        codes: each row's choices by number, shape (rows, parameters).
        losses: the losses on the scale of the hypervolume, shape (rows, objectives).
        rungs: the losses after each number of epochs. Those of the last rung are `losses`; it is the only rung if the
            table has no earlier one.
    """

    path: Path
    choices: Mapping[str, Sequence[Any]]
    codes: Sequence[tuple[int, ...]]
    losses: Floats
    rungs: Mapping[int, Floats]

    @property
    def name(self) -> str:
        """The name of the file without its endings."""
        return self.path.name.removesuffix(".csv.gz")

    def row(self, chosen: Mapping[str, Any]) -> int:
        """The number of the row with these choices; a parameter that has one choice may be left out."""
        code = tuple(known.index(chosen[name]) if name in chosen else 0 for name, known in self.choices.items())
        return self.codes.index(code)


def read_table(path: Path) -> Table:
    """The table in a file. Rows that lack an objective are left out.

    Raises:
        InputError: the file is not a table.
    """
    try:
        told = json.loads(Path(f"{str(path).removesuffix('.csv.gz')}.json").read_text(encoding="utf-8"))
        choices: dict[str, list[Any]] = told["parameters"]
        names = [*told["objectives"]]
        with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if all(_is_known(row[name]) for name in names)]
        codes = [tuple(_code(row[name], known) for name, known in choices.items()) for row in rows]
        early = sorted(
            {int(column.split("@")[1]) for column in rows[0] if column.split("@")[0] in names and "@" in column}
        )
        signs = [-1.0 if each["direction"] == "maximize" else 1.0 for each in told["objectives"].values()]
        # The format does not say how long the last rung is. Its ratio to the one before is taken from these, or is 3.
        ratio = early[-1] / early[-2] if len(early) > 1 else 3
        last = round(early[-1] * ratio) if early else 1
        rungs = {}
        for epoch in [*early, last]:
            columns = [f"{name}@{epoch}" if f"{name}@{epoch}" in rows[0] else name for name in names]
            rungs[epoch] = np.array([[float(row[column]) for column in columns] for row in rows]) * signs
        if not 2 <= len(names) <= 4:
            raise ValueError(f"{len(names)} objectives; 2 to 4 are compared")
    except (OSError, EOFError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no table ({type(error).__name__}: {error}); give a NAME.csv.gz with a NAME.json beside it that "
            "has 'parameters' and 'objectives'"
        ) from None
    best = rungs[last].min(axis=0)
    span = np.percentile(rungs[last], 99.9, axis=0) - best
    scaled = {epoch: (losses - best) / np.where(span > 0, span, 1.0) for epoch, losses in rungs.items()}
    return Table(path.resolve(), choices, codes, scaled[last], scaled)


def _code(text: str, choices: Sequence[Any]) -> int:
    """The number of the choice in a cell of the file. Numbers are compared by value, however they are written."""
    for code, choice in enumerate(choices):
        if text == str(choice) or (isinstance(choice, int | float) and _number(text) == choice):
            return code
    raise ValueError(f"{text!r} is none of {list(choices)}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_known(text: str) -> bool:
    number = _number(text)
    return number is not None and math.isfinite(number)


def share(table: Table, rows: Sequence[int], spent: Sequence[float], evaluations: Sequence[float]) -> dict[str, float]:
    """HV/HV* of the rows that had been tried after each number of evaluations.

    Args:
        table: the table to which the rows belong.
        rows: the rows in the order in which they were tried.
        spent: the evaluations up to and including each of them.
        evaluations: the numbers of evaluations for which the share is computed.
    """
    ones = np.ones(table.losses.shape[1])
    whole = hypervolume(_front(table.losses), ones)
    tried = {many: [row for row, cost in zip(rows, spent, strict=True) if cost <= many] for many in evaluations}
    return {str(many): hypervolume(table.losses[sorted({*of})], ones) / whole for many, of in tried.items()}


def _front(losses: Floats) -> Floats:
    """The non-dominated losses of a table, found in blocks, because all pairs of rows at once would fill the memory."""
    front = losses[:0]
    for block in np.array_split(losses, 1 + len(losses) // 1000):
        met = np.concatenate([front, block])
        front = met[non_dominated(met)]
    return front
