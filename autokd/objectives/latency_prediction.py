"""Latencies of students that were not timed, from those of some that were."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autokd.types import Arch

_FOLDS = 10
_PENALTIES = np.logspace(-2, 3, 12)
_MOST_HALVINGS = 4


@dataclass(frozen=True)
class LatencyPrediction:
    """What predicts latencies, and how well it does so for architectures that it was not fitted on.

    Args:
        predict: milliseconds of each of a list of architectures, shape (len(archs),).
        measured: architectures it was fitted on.
        median_error: median of |predicted / measured - 1|, cross-validated.
        spread: standard deviation of log(predicted / measured), cross-validated.
        spearman: rank correlation of predicted and measured, cross-validated; 0 where all are the same.
    """

    predict: Callable[[Sequence[Arch]], np.ndarray]
    measured: int
    median_error: float
    spread: float
    spearman: float

    def __str__(self) -> str:
        return (
            f"fitted on {self.measured} measured; in {_FOLDS}-fold cross-validation the median error is "
            f"{self.median_error:.1%}, Spearman {self.spearman:.2f}"
        )


def fit_latency(archs: Sequence[Arch], ms: Sequence[float]) -> LatencyPrediction:
    """A ridge on the choices of an architecture that predicts the logarithm of its latency.

    Measured on 160 mobilenets in ONNX Runtime, 100 of them to fit on: what reads a number's size alone reaches
    Spearman .71, with how often 2 divides it .92, since kernels work on 4, 8 or 16 channels at once. A Gaussian
    process and trees were no better, parameters and FLOPs added nothing, and would need every candidate to be built.

    Args:
        archs: at least 10, different.
        ms: what was measured of each, > 0.
    """
    from scipy.stats import spearmanr  # these take seconds to import, and most searches predict no latency
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(DictVectorizer(sparse=False), StandardScaler(), RidgeCV(_PENALTIES))
    features, logs = [_features(arch) for arch in archs], np.log(ms)
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    missed = cross_val_predict(model, features, logs, cv=folds) - logs
    varied = np.ptp(logs) > 0 and np.ptp(logs + missed) > 0
    model.fit(features, logs)

    def predict(candidates: Sequence[Arch]) -> np.ndarray:
        return np.exp(model.predict([_features(arch) for arch in candidates])) if candidates else np.empty(0)

    return LatencyPrediction(
        predict=predict,
        measured=len(archs),
        median_error=float(np.median(np.abs(np.expm1(missed)))),
        spread=float(np.sqrt(np.mean(missed**2))),
        spearman=float(spearmanr(logs, logs + missed).statistic) if varied else 0.0,
    )


def _features(arch: Arch) -> dict[str, float]:
    """Numbers by where in the architecture they stand; all else counts as a choice, which was made or was not."""
    found: dict[str, float] = {}
    for path, value in _leaves(arch, ""):
        if isinstance(value, bool) or not isinstance(value, int | float):
            found[f"{path}={value}"] = 1.0
            continue
        found[path], found[f"{path} there"] = float(value), 1.0
        if value > 0:
            found[f"log {path}"] = math.log(value)
            found[f"halvings of {path}"] = float(_halvings(value))
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, f"{path}/{key}")
    else:
        yield path, value


def _halvings(number: float) -> int:
    """How often 2 divides a whole number, up to 4 times; 0 for any other."""
    return next((power for power in range(_MOST_HALVINGS, 0, -1) if number % 2**power == 0), 0)
