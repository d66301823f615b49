"""Checks the record of a run whose space has more choices now, and copies the record into a new Optuna study.

Optuna refuses other choices of a parameter in the same study. The earlier study stays in the database as it was, and
`study.json`, which names the newest study, is replaced when the copy is whole. A process that dies before that has
changed nothing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from copy import copy
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from autokd.errors import FOREIGN, START_OVER, InputError
from autokd.record import (
    TrialRecord,
    as_record,
    canonical,
    close_storage,
    read_study,
    student_key,
    take,
    write_study,
)
from autokd.registry.several import WHICH
from autokd.samplers.draw import Draw, holds
from autokd.study import Setup
from autokd.trial import Context, in_time, reason_of
from autokd.types import SCRATCH, choices_of

_LOG = logging.getLogger("autokd")
_REPLAYS = 50


def widen(folder: Path, context: Context, setup: Setup) -> tuple[str, ...]:
    """Copies the record of a run into a study with the distributions of `context`, and returns the studies' names.

    Numbers, states, values, attributes, rungs and constraints stay. A trial gets a new parameter if its architecture or
    recipe says which value this parameter had.

    Args:
        folder: the run folder.
        context: the study and its wider space.
        setup: the content of `study.json`.

    Raises:
        InputError: something recorded is not in the space any more, or the space builds another network than it did.
    """
    study = read_study(folder, context.study.record)
    trials = study.get_trials(deepcopy=False)
    wider = [_in_wider_space(trial, context) for trial in trials]
    _refuse_other_networks([as_record(trial) for trial in trials], context)
    names = (*setup.records, f"{setup.records[0]}-{len(setup.records) + 1}")
    lock, storage, _ = take(folder, context.study.record)
    try:
        write_study(storage, names[-1], study, wider)
    except ValueError as error:  # Optuna does not accept these distributions in one study
        raise InputError(
            f"the space cannot be widened: {error}; a space must always suggest a parameter in the same way"
        ) from error
    finally:
        close_storage(storage)
        lock.release()
    _LOG.info("The space got wider. Its %d trials are kept, in the new Optuna study %s.", len(wider), names[-1])
    return names


def _in_wider_space(trial: FrozenTrial, context: Context) -> FrozenTrial:
    """The trial with the distributions of the wider space."""
    record = as_record(trial)
    known = {f"recipe.{key}": value for key, value in record.recipe.items()}
    known |= choices_of(record.reading, record.arch or {})
    known |= {f"{known[WHICH]}.{name}": value for name, value in (record.arch or {}).items() if WHICH in known}
    known["recipe.start"] = record.recipe.get("start", SCRATCH)  # which a recipe leaves out
    weights = record.recipe.get("head_weights")
    known |= (
        {f"recipe.head_weights.{name}": weight for name, weight in weights.items()} if isinstance(weights, dict) else {}
    )
    wished = {**known, **trial.params}
    asked: dict[str, BaseDistribution] = {}
    for seed in range(_REPLAYS):  # a new parameter may decide whether an old one is suggested
        replay: Any = Draw(Random(seed), wished)
        try:
            suggest = partial(context.suggest, replay)
            reading, arch, recipe = in_time(context.study.budget.trial_minutes, suggest, what="suggest")
        except InputError:
            raise
        except FOREIGN as error:  # it may have raised the same when the trial was proposed
            reading, arch, recipe = record.reading, record.arch or {}, record.recipe
            if record.arch is not None:
                raise _refused(trial, f"suggest {reason_of(error)} for its recorded choices") from error
        asked = replay.distributions
        if asked.keys() >= trial.params.keys():
            break
    for name, value in trial.params.items():
        _refuse_loss(trial, name, value, asked.get(name))
    drawn = replay.params
    if record.arch is not None and reading != record.reading:
        raise _refused(trial, f"its rows were read with {record.reading}, and now would be with {reading}")
    new = {name for name in asked.keys() - trial.params.keys() if name not in wished or drawn[name] != wished[name]}
    if record.arch is not None and (canonical(recipe) != canonical(record.recipe) or (not new and arch != record.arch)):
        was, now = (record.recipe, recipe) if arch == record.arch or new else (record.arch, arch)
        raise _refused(trial, f"its recorded choices gave {was}, and now would give {now}")
    same = copy(trial)
    same.params = {name: value for name, value in {**trial.params, **drawn}.items() if name not in new}
    same.distributions = {name: asked[name] for name in same.params}
    return same


def _refuse_loss(trial: FrozenTrial, name: str, value: Any, now: BaseDistribution | None) -> None:
    was = trial.distributions[name]
    if now is None:
        raise _refused(trial, f"{name} is not suggested any more")
    if not holds(now, value):
        raise _refused(trial, f"{name} is {value!r}, which is outside of {_shown(now)}")
    lost = [choice for choice in _ends(was) if not holds(now, choice)]
    if lost:
        raise _refused(trial, f"{name} could be {lost[0]!r}, which is outside of {_shown(now)}")
    steps = getattr(was, "step", None), getattr(now, "step", None)
    finer = steps[1] is not None and (steps[0] is None or not math.isclose(steps[0] % steps[1], 0, abs_tol=1e-9))
    if finer and not isinstance(was, CategoricalDistribution):
        raise _refused(trial, f"{name} had {_shown(was)}, which is finer than {_shown(now)}")


def _ends(distribution: Any) -> Iterable[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return distribution.low, distribution.high


def _shown(distribution: Any) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    step = f" by {distribution.step}" if distribution.step is not None else ""
    return f"{distribution.low} .. {distribution.high}{step}"


def _refused(trial: FrozenTrial, reason: str) -> InputError:
    return InputError(
        f"the space is not wider: trial {trial.number}: {reason}; a wider space must keep all that it had, or the "
        f"front would name students that are not in the space: put it back, or {START_OVER}"
    )


def _refuse_other_networks(records: Iterable[TrialRecord], context: Context) -> None:
    """Refuses a space that builds other networks than those recorded, as far as the exact costs show it."""
    exact = {objective.name for objective in context.objectives if not objective.trained and not objective.timed}
    seen: set[str] = set()
    for record in records:
        was = {name: value for name, value in record.costs.items() if name in exact}
        key = student_key(record.reading, record.arch or {})
        if record.arch is None or not was or key in seen:
            continue
        seen.add(key)
        try:
            now = context.seen_through(record.reading).costs(record.arch)
        except InputError:
            raise
        except FOREIGN as error:
            raise InputError(
                f"the space is not wider: it no longer builds {record.arch} of trial {record.number} "
                f"({reason_of(error)}); build must make the same networks of all recorded architectures as before"
            ) from error
        for name, value in was.items():
            if not math.isclose(value, now[name], rel_tol=1e-6):
                raise InputError(
                    f"the space is not wider: {record.arch} of trial {record.number} had {name} {value:g} and now has "
                    f"{now[name]:g}; build must make the same networks of all recorded architectures as before"
                )
