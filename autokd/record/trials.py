"""The record of one trial, and summaries of many."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autokd.types import Arch

if TYPE_CHECKING:  # a worker reads no record, and should not wait for Optuna
    import optuna

STOPPED_EARLY = "stopped early at epoch"
"""The first words of the reason of a trial that the scheduler stopped."""

_NUMBERS = re.compile(r"[-+]?\d[\d.,]*(e[-+]?\d+)?")
_MOST_REASONS = 3

_ENDED = ("PRUNED", "FAIL")
STATES = ("complete", "running", "pruned", "infeasible", "failed", "duplicate")


@dataclass
class TrialRecord:
    """The record of one trial.

    Args:
        number: Optuna's trial number.
        arch: the architecture; None while the proposal is not finished.
        recipe: the recipe as a dict.
        costs: untrained objectives by name; some are missing if an earlier one already broke its bound.
        predicted: for those costs that were predicted, the standard deviation of log(predicted / measured).
        rungs: trained objectives by epoch.
        spread: standard errors, at the end of training, of those trained objectives that are not shares of rows.
        state: one of `STATES`.
        reason: why the trial is not complete, in words; "" if there is nothing to say.
        reading: what is searched of the way in which rows are read; empty if nothing is.
        start: what the student took over of other weights, as `first_weights.Taken.plain` says; empty if it began from
            scratch, or was not trained yet.
    """

    number: int
    arch: Arch | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    predicted: dict[str, float] = field(default_factory=dict)
    rungs: dict[int, dict[str, float]] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    state: str = "running"
    reason: str = ""
    reading: dict[str, Any] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A text that is the same for trials of equal reading, architecture and recipe, which have equal numbers."""
        return student_key(self.reading, self.arch or {}, self.recipe)

    @property
    def picked(self) -> dict[str, Any]:
        """The architecture and the recipe by these names, and the `reading` if it is searched."""
        reading = {"reading": self.reading} if self.reading else {}
        return {"arch": self.arch, "recipe": self.recipe, **reading}

    @property
    def epoch(self) -> int:
        """The number of epochs that were trained and recorded."""
        return max(self.rungs, default=0)

    @property
    def values(self) -> dict[str, float]:
        """All numbers that are known: the costs, and the trained objectives at the last rung."""
        return self.costs | self.rungs.get(self.epoch, {})

    @property
    def to_the_end(self) -> bool | None:
        """Whether the student was trained to the end; False if it was stopped early or failed.

        None if this was not decided: the trial runs or was never begun, or a limit of time or epochs ended the search.
        """
        if self.state == "complete" or (self.state == "infeasible" and self.rungs):
            return True
        return False if self.state == "failed" or self.reason.startswith(STOPPED_EARLY) else None


def as_record(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    """The record of one of Optuna's trials."""
    return remembered(trial.number, trial.state.name, trial.user_attrs)


def remembered(number: int, told: str, attrs: Mapping[str, Any]) -> TrialRecord:
    """The record of a trial, from the name of Optuna's state and the trial's user attributes.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: the attributes are not as they were written.
    """
    proposal = attrs.get("proposal", {"arch": None, "recipe": {}, "costs": {}})
    rungs = {int(key.split()[1]): values for key, values in attrs.items() if key.startswith("epoch ")}
    outcome = attrs.get("outcome", {})
    record = TrialRecord(
        number,
        rungs=rungs,
        spread=attrs.get("spread", {}),
        start=attrs.get("start", {}),
        state=state_of(told, outcome),
        reason=outcome.get("reason", "") if told in _ENDED else "",
        **proposal,
    )
    if not _is_sound(record):
        raise ValueError(f"trial {number} is not as it was written")
    return record


def _is_sound(record: TrialRecord) -> bool:
    """Whether a record that was read has the types that are written."""
    numbers = (record.costs, record.predicted, record.spread, *record.rungs.values())
    return (
        (record.arch is None or isinstance(record.arch, dict))
        and isinstance(record.recipe, dict)
        and isinstance(record.reading, dict)
        and (record.start == {} or _is_start(record.start))
        and record.state in STATES
        and isinstance(record.reason, str)
        and all(isinstance(each, dict) and all(_is_number(n) for n in each.values()) for each in numbers)
        and (record.state != "complete" or finite(record.values))
    )


def _is_start(start: Any) -> bool:
    """Whether plain data are as `first_weights.Taken.plain` writes them."""
    counts, layers = [start[part] for part in ("tensors", "parameters")], start["layers"]
    return (
        start.keys() == {"digest", "tensors", "parameters", "layers"}
        and isinstance(start["digest"], str)
        and all(each.keys() == layers.keys() == {"whole", "cut", "new"} for each in counts)
        and all(type(number) is int and number >= 0 for each in counts for number in each.values())
        and all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in layers.values())
    )


def _is_number(value: object) -> bool:
    """Whether a value is a number that a float holds."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)


def state_of(told: str, outcome: Mapping[str, str]) -> str:
    """The state of a trial, one of `STATES`, from the name of Optuna's state and from how the trial ended."""
    states = {"COMPLETE": "complete", "RUNNING": "running"}
    return (outcome.get("state") if told in _ENDED else "") or states.get(told, "failed")


def counts(trials: Iterable[TrialRecord]) -> dict[str, int]:
    """The number of trials in each of `STATES`."""
    found = Counter(trial.state for trial in trials)
    return {state: found[state] for state in STATES}


def reasons(trials: Iterable[TrialRecord]) -> list[str]:
    """Why students failed or were infeasible: at most one line for each of the two, the most frequent reason first.

    Reasons that differ only in numbers are counted as one, and the first of them is shown.
    """
    lines = []
    listed = list(trials)
    for state, words in (("failed", ("failed", "failed")), ("infeasible", ("was infeasible", "were infeasible"))):
        alike: dict[str, list[str]] = {}
        for reason in (trial.reason for trial in listed if trial.state == state):
            alike.setdefault(_NUMBERS.sub("0", reason), []).append(reason or "no reason was recorded")
        groups = sorted(alike.values(), key=len, reverse=True)
        number = sum(map(len, groups))
        shown = [f"{len(group)} × {group[0]}" for group in groups[:_MOST_REASONS]]
        rest = sum(map(len, groups[_MOST_REASONS:]))
        if number:
            lines.append(
                f"{number} student{'s' if number > 1 else ''} {words[number > 1]}: "
                + "; ".join([*shown, *([f"{rest} for other reasons"] if rest else [])])
            )
    return lines


def canonical(*parts: Mapping[str, Any]) -> str:
    """A text that is the same for equal plain data, whatever the order of keys."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))


def student_key(reading: Mapping[str, Any], arch: Arch, *more: Mapping[str, Any]) -> str:
    """A text that is the same for equal readings, architectures and further plain data.

    An empty reading is left out, so that what was known before readings were searched keeps its key.
    """
    return canonical(*([reading] if reading else []), arch, *more)


def finite(values: Mapping[str, float]) -> bool:
    """Whether Optuna may be told these values: NaN would leave a trial running, and +inf would become the front."""
    return all(math.isfinite(value) for value in values.values())
