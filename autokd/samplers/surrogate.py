"""What is expected of a student that was not trained: a Gaussian process over groups of features.

scikit-learn does the regression; the kernel is our own, since none of its kernels shares a length scale between the
columns of one group, and with one length scale for all columns the rank correlation on untrained students of three
NAS tables was .46 / .52 / .84 after 80 trainings, with this kernel .65 / .73 / .91. Random forests and extra trees
gave .56 / .57 / .74 and .46 / .51 / .81, a mean of forest and process no more than the process. BoTorch's SingleTaskGP
with its own priors, one length scale a column, gave .42 / .56 / .88 at two seconds a fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel, WhiteKernel

from autokd.pareto import Floats

_SPREAD = 0.3
_NOISE, _NOISE_SPREAD, _LEAST_NOISE = 0.1, 1.5, 1e-6
_FITTED_ON, _JITTER = 100, 1e-8
_STEPS, _REFIT_GROWTH = 40, 1.1


class GroupedMatern(Kernel):  # type: ignore[misc]
    """A sum of Matern 5/2 kernels, each over some groups of columns with a length scale a group.

    Args:
        groups: the columns of each group, as half-open ranges.
        terms: the groups that each term looks at.
        scales: for each term its variance, then its length scales; all > 0.
    """

    def __init__(
        self,
        groups: Sequence[tuple[int, int]],
        terms: Sequence[Sequence[int]],
        scales: Floats,
    ) -> None:
        self.groups, self.terms, self.scales = groups, terms, scales
        self._apart: tuple[Floats, list[Floats]] | None = None

    @property
    def hyperparameter_scales(self) -> Hyperparameter:
        """The scales, for scikit-learn."""
        return Hyperparameter("scales", "numeric", (1e-4, 1e4), len(self.scales))

    def __call__(self, x: Floats, y: Floats | None = None, eval_gradient: bool = False) -> Any:
        """The kernel between rows of x and y (x itself if None); with its gradient in the logarithm of the scales."""
        y = x if y is None else y
        total, gradient = np.zeros((len(x), len(y))), []
        place = 0
        for term in self.terms:
            variance, lengths = self.scales[place], self.scales[place + 1 : place + 1 + len(term)]
            place += 1 + len(term)
            if eval_gradient:
                apart = self._distances(x)
                parts = [apart[group] / length**2 for group, length in zip(term, lengths, strict=True)]
                squared = np.sum(parts, axis=0)
            else:
                ranges = [slice(*self.groups[group]) for group in term]
                near, far = (_scaled(rows, ranges, lengths) for rows in (x, y))
                squared = _squared_distances(near, far)
            radius = np.sqrt(5 * squared)
            decay = variance * np.exp(-radius)
            value = decay * (1 + radius + 5 / 3 * squared)
            total += value
            if eval_gradient:
                slope = decay * (1 + radius) * (5 / 3)
                gradient += [value, *(slope * part for part in parts)]
        return (total, np.stack(gradient, axis=-1)) if eval_gradient else total

    def _distances(self, x: Floats) -> list[Floats]:
        """Squared distances between rows by group, kept while scales are looked for."""
        if self._apart is None or self._apart[0] is not x:
            self._apart = (x, [_squared_distances(x[:, a:b], x[:, a:b]) for a, b in self.groups])
        return self._apart[1]

    def diag(self, x: Floats) -> Floats:
        """The sum of variances for each row."""
        starts = np.cumsum([0, *(1 + len(term) for term in self.terms)])[:-1]
        return np.full(len(x), sum(self.scales[start] for start in starts))

    def is_stationary(self) -> bool:
        """Always."""
        return True


class Process:
    """A Gaussian process that was told of some rows.

    scikit-learn's own computes the likelihood with every fit, which is four times the work, and cannot be told of more
    rows. Source: Rasmussen and Williams (2006), algorithm 2.1, https://gaussianprocess.org/gpml/.
    """

    def __init__(
        self, kernel: Kernel, features: Floats, factor: Floats, weights: Floats, scale: tuple[float, float]
    ) -> None:
        self._kernel, self._features = kernel, features
        self._factor, self._weights, self._scale = factor, weights, scale

    @property
    def noise(self) -> float:
        """Standard deviation of what trainings of one student give."""
        return float(self._scale[1] * np.sqrt(self._kernel.k2.noise_level))

    def __call__(self, rows: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of students, each of shape (rows,)."""
        mean, scale = self._scale
        between = self._kernel(rows, self._features)
        known = solve_triangular(self._factor, between.T, lower=True)
        variance = np.maximum(self._kernel.k1.diag(rows) - (known**2).sum(axis=0), 1e-12)
        return mean + scale * (between @ self._weights), scale * np.sqrt(variance)

    def supposing(self, rows: Floats) -> Process:
        """The process if rows turn out as expected: means stay as they are, deviations near them do not."""
        known = solve_triangular(self._factor, self._kernel(self._features, rows), lower=True)
        left = self._kernel(rows) + _JITTER * np.eye(len(rows)) - known.T @ known
        factor = np.block([[self._factor, np.zeros_like(known)], [known.T, cholesky(left, lower=True)]])
        features, weights = np.concatenate([self._features, rows]), np.append(self._weights, np.zeros(len(rows)))
        return Process(self._kernel, features, factor, weights, self._scale)


class Surrogate:
    """A Gaussian process that keeps its scales between fits and finds them anew when the data have grown.

    The scales are those of greatest posterior density under log-normal priors around 1 for variances and the square
    root of a term's number of groups for length scales. Priors this narrow (spread .3) beat wider ones (1: .60 / .64 /
    .91 in the figures above).

    Args:
        groups: as for `GroupedMatern`.
        terms: as for `GroupedMatern`.
        seed: chooses the rows on which scales are found where there are more than 100; with 200 finding them took a
            second, for which workers waited.
    """

    def __init__(self, groups: Sequence[tuple[int, int]], terms: Sequence[Sequence[int]], *, seed: int) -> None:
        start = np.concatenate([[1.0, *[np.sqrt(len(term))] * len(term)] for term in terms])
        self._kernel: Kernel = GroupedMatern(groups, terms, start) + WhiteKernel(_NOISE, (_LEAST_NOISE, 10.0))
        self._prior = self._kernel.theta
        self._spread = np.append(np.full(len(start), _SPREAD), _NOISE_SPREAD)
        self._seed, self._next = seed, 0

    def fit(self, features: Floats, targets: Floats, noise: Floats) -> Process:
        """The process given what is known of some rows.

        Args:
            features: shape (points, columns).
            targets: shape (points,).
            noise: standard deviation of each target beside the noise that all share, shape (points,).
        """
        mean, scale = float(np.mean(targets)), float(np.std(targets)) or 1.0
        scaled, variances = (targets - mean) / scale, (noise / scale) ** 2 + _JITTER
        if len(targets) >= self._next:
            rows = np.arange(len(targets))
            if len(rows) > _FITTED_ON:
                rows = np.random.default_rng(self._seed).choice(rows, _FITTED_ON, replace=False)
            found = GaussianProcessRegressor(self._kernel, alpha=variances[rows], optimizer=self._most_likely)
            with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # costs have next to no noise
                self._kernel = found.fit(features[rows], scaled[rows]).kernel_
            self._next = int(len(targets) * _REFIT_GROWTH) + 1
        factor = cholesky(self._kernel(features) + np.diag(variances), lower=True)
        return Process(self._kernel, features, factor, cho_solve((factor, True), scaled), (mean, scale))

    def _most_likely(self, minus_likelihood: Any, start: Floats, bounds: Floats) -> tuple[Floats, float]:
        def minus_posterior(theta: Floats) -> tuple[float, Floats]:
            value, gradient = minus_likelihood(theta)
            away = (theta - self._prior) / self._spread
            return value + away @ away / 2, gradient + away / self._spread

        options = {"maxiter": _STEPS}
        found = [
            minimize(minus_posterior, theta, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            for theta in (start, self._prior)[: 1 + bool((start != self._prior).any())]
        ]
        best = min(found, key=lambda each: float(each.fun))
        return best.x, best.fun


def _scaled(rows: Floats, ranges: Sequence[slice], lengths: Floats) -> Floats:
    return np.concatenate([rows[:, each] / length for each, length in zip(ranges, lengths, strict=True)], axis=1)


def _squared_distances(x: Floats, y: Floats) -> Floats:
    return np.maximum((x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T, 0.0)
