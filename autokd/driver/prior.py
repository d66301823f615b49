"""An earlier run as prior knowledge: its trials inform the sampler only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import optuna

from autokd.driver.run import DIGESTS
from autokd.errors import START_OVER, InputError
from autokd.record import close_storage, database_file, open_storage, read_study, write_study
from autokd.study import (
    OWN_SAMPLER,
    SPACE,
    STUDY,
    Setup,
    Study,
    changed_keys,
    changed_sources,
    dump,
    read_setup,
    write_setup,
)
from autokd.types import Objective

_COPY = "prior"


def refuse_prior(
    other: Path,
    folder: Path,
    study: Study,
    changed: Mapping[str, str],
    *,
    objectives: Iterable[Objective],
    begun: bool,
) -> None:
    """Refuses an earlier run from which nothing can be learnt for this run.

    Args:
        other: the folder of the earlier run.
        folder: the folder of this run.
        study: the study of this run.
        changed: the parts whose source differs from that in the earlier run, as `changed_sources` gives them.
        objectives: the objectives of this run.
        begun: whether this run was begun before; it may then go on only with the earlier run with which it began.

    Raises:
        InputError: `other` is no run, its space or an objective differs, its trials lack a trained objective of this
            study, the study's sampler cannot learn from earlier runs, or this run began without an earlier run.
    """
    if study.sampler != OWN_SAMPLER:
        raise InputError(f"earlier run {other}: only the sampler {OWN_SAMPLER} learns from it; {study.sampler!r} given")
    if begun and not (folder / _COPY).exists():
        raise InputError(f"earlier run {other}: {folder} began without an earlier run; {START_OVER}")
    setup = read_setup(other)
    if SPACE in changed:
        raise InputError(
            f"earlier run {other}: its space is not that of this study ({setup.study.get('space')!r} there, "
            f"{study.space!r} here, or its source differs); give a run of the same space"
        )
    measured = [words for part, words in changed.items() if part.startswith("the objective ")]
    if measured:
        raise InputError(
            f"earlier run {other}: {' and '.join(measured)} changed since, so the values there are of another kind; "
            "undo the change, or search without an earlier run"
        )
    trained = [objective.name for objective in objectives if objective.trained]
    known = {
        name
        for trial in read_study(other, study.record).get_trials(deepcopy=False)
        for key, values in trial.user_attrs.items()
        if key.startswith("epoch ")
        for name in values
    }
    unknown = [name for name in trained if name not in known]
    if unknown:
        raise InputError(
            f"earlier run {other}: no trial there has {' or '.join(unknown)}; give a run that has this objective"
        )


def adopt_prior(other: Path, folder: Path, record: str) -> None:
    """Copies the trials of an earlier run, which may then go on or be deleted without an effect on this run.

    Args:
        other: the folder of the earlier run.
        folder: the folder of this run.
        record: the `record` of this run's study; an earlier run may share its database.
    """
    copy, study, setup = folder / _COPY, read_study(other, record), read_setup(other)
    copy.mkdir(exist_ok=True)
    storage = open_storage(database_file(copy / "record.db"))
    write_study(storage, STUDY, study, study.get_trials(deepcopy=False))
    close_storage(storage)
    here = {"study": {**setup.study, "record": "sqlite"}, "records": (STUDY,)}
    write_setup(copy, setup.model_copy(update=here))


def prior_trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials from which a run learns, as they were in the earlier run; none if it began without an earlier run."""
    return read_study(folder / _COPY).get_trials(deepcopy=False) if (folder / _COPY).exists() else []


def prior_note(folder: Path, study: Study, now: Setup) -> str:
    """The earlier run from which a run learns, and what differs in it, in words; "" if there is none."""
    if not (folder / _COPY).exists():
        return ""
    setup = read_setup(folder / _COPY)
    known_sources = bool(setup.sources and now.sources)
    keys = [key for key in DIGESTS if not (known_sources and key == "space")]
    other = [DIGESTS[key] for key in keys if getattr(setup.digests, key) != getattr(now.digests, key)]
    other += changed_sources(setup.sources, now.sources).values()
    other += [key for key in changed_keys(setup.study, dump(study)) if key != "name"]
    differs = f"which differs in {', '.join(other)}" if other else "which differs in nothing"
    known = len(prior_trials(folder))
    return f"the sampler learned from {known} trials of the earlier run {setup.study['name']}, {differs}"
