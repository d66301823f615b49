"""Optuna's samplers by name, set up for several objectives and conditional parameters."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autokd.errors import InputError, nearest, said

if TYPE_CHECKING:
    import optuna

OWN_SAMPLER = "autokd"
"""The default sampler. It is AutoKD's own and knows costs before training; see `autokd.samplers`."""

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
}
"""Short names of Optuna's samplers."""


def make_sampler(spec: str | Mapping[str, Any], seed: int) -> optuna.samplers.BaseSampler:
    """An Optuna sampler for several objectives.

    Args:
        spec: a name in `SAMPLERS` or of a class in `optuna.samplers`; or `{name: ..., setting: ...}`.
        seed: 0 .. 2**32 - 1. A resumed search needs another seed, or it repeats its suggestions.

    Raises:
        InputError: the sampler or a setting does not exist, or the sampler cannot drive a search.
    """
    import optuna  # slow to import, and not needed to read a study

    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = settings.pop("name")
    class_name = SAMPLERS.get(name, name)
    if name == OWN_SAMPLER:
        setting = min(settings, default="name")
        raise InputError(f"sampler.{setting}: {OWN_SAMPLER} has no settings; write sampler: {OWN_SAMPLER}")
    known = {each for each in optuna.samplers.__all__ if each.endswith("Sampler") and "Base" not in each}
    if class_name in _REFUSED:
        raise InputError(
            f"sampler: {name} cannot drive a search, because it {_REFUSED[class_name]}; write tpe or random"
        )
    if class_name not in known:
        raise InputError(
            f"sampler: no sampler is named '{name}' (known: {OWN_SAMPLER}, {', '.join(SAMPLERS)}, and the classes of "
            f"optuna.samplers){nearest(name, [OWN_SAMPLER, *SAMPLERS, *known])}"
        )
    make = getattr(optuna.samplers, class_name)
    allowed = [each for each in inspect.signature(make).parameters if each != "seed"]
    for setting in settings:
        if setting == "seed":
            raise InputError("sampler.seed: the sampler uses the study's own 'seed'; set that")
        if setting not in allowed:
            raise InputError(f"sampler.{setting}: {class_name} has no such setting{nearest(setting, allowed)}")
    with warnings.catch_warnings():
        # A user who names an experimental sampler or setting has chosen it.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            sampler: optuna.samplers.BaseSampler = make(seed=seed, **{**_SETTINGS.get(class_name, {}), **settings})
        except (TypeError, ValueError) as error:
            raise InputError(f"sampler: {class_name}: {said(error)}") from None
    return sampler


# Multi-objective TPE samples parameters one by one by default. `group` stays off: it is experimental, and it raises
# if ranges of a space depend on other choices. GP and QMC would log each conditional parameter.
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "TPESampler": {"multivariate": True},
    "GPSampler": {"warn_independent_sampling": False},
    "QMCSampler": {"warn_independent_sampling": False, "scramble": True},
}
_REFUSED = {
    "CmaEsSampler": "knows one objective only",
    "BruteForceSampler": "works inside study.optimize only",
    "GridSampler": "works inside study.optimize only",
    "PartialFixedSampler": "needs another sampler (to fix a setting, write its value in the study's recipe)",
}
