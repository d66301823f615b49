"""The report of a run: all that `report.html` shows, gathered from the run folder."""

from __future__ import annotations

import functools
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autokd.driver import load_front
from autokd.record import TrialRecord, read_parameters, read_trials
from autokd.report.html import write_report
from autokd.study import Study, read_setup
from autokd.study.explanation import hide_secrets

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

_FEWEST_TRIALS = 8


def write_run_report(run: str | Path, *, study: Study | None = None) -> Path:
    """Writes `report.html` into a run folder and returns its path.

    Args:
        run: the run folder.
        study: the study, as for `load_front`.

    Raises:
        InputError: `run` is not a run folder, plotly is missing, or the file cannot be written.
    """
    run = Path(run)
    record = "sqlite" if study is None else study.record
    front, setup, trials = load_front(run, study=study), read_setup(run), read_trials(run, record)
    out = run / "report.html"
    data = front.to_dict()
    write_report(
        {
            "front": data,
            "trials": [_row(trial) for trial in trials],
            "importance": importance(trials, read_parameters(run, record), data["objectives"]),
            "study": hide_secrets(setup.study),
            "environment": {
                **setup.environment,
                "processor": platform.processor(),
                "cores": str(os.cpu_count()),
            },
            "hypervolume": front.hypervolume,
            "reference_point": front.reference,
            "validation_labels": front.validation_labels,
            "test_reads": front.test_reads,
        },
        out,
    )
    return out


def importance(
    trials: Sequence[TrialRecord],
    parameters: Mapping[int, tuple[dict[str, Any], dict[str, BaseDistribution]]],
    objectives: Sequence[Mapping[str, str]],
) -> dict[str, dict[str, float]]:
    """Importance of each parameter for each objective by PED-ANOVA, most important first; {} with few complete trials.

    Args:
        trials: the trials of a run, of which only complete ones count.
        parameters: the suggested values of each trial, by its number.
        objectives: name and direction of each objective.

    Source: Watanabe, Bansal, Hutter (2023), https://arxiv.org/abs/2304.10255, as Optuna has it.
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    if len(complete) < _FEWEST_TRIALS:
        return {}
    import optuna

    from autokd.record import without_log

    with without_log():
        study = optuna.create_study()  # only numbers and choices are passed on, because Optuna copies all its input
    for trial in complete:
        params, distributions = parameters[trial.number]
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=0))
    found = {}
    for objective in objectives:
        sign = -1 if objective["direction"] == "maximize" else 1  # PED-ANOVA asks what makes a value small
        target = functools.partial(_loss, [sign * trial.values[objective["name"]] for trial in complete])
        try:
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # it warns for any target
                found[objective["name"]] = optuna.importance.get_param_importances(study, target=target)
        except (ValueError, RuntimeError):  # it fails if all complete trials agree
            continue
    return {name: {key: float(value) for key, value in shares.items()} for name, shares in found.items()}


def _loss(losses: Sequence[float], trial: optuna.trial.FrozenTrial) -> float:
    return losses[trial.number]


def _row(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state,
        "reason": trial.reason,
        "arch": trial.arch or {},
        "recipe": trial.recipe,
        "values": trial.values,
        "epochs": trial.epoch,
        **({"reading": trial.reading} if trial.reading else {}),
    }
