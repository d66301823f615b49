"""The Gaussian process of the sampler agrees with that of scikit-learn in the simplest case."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from autokd.pareto import Floats
from autokd.samplers import surrogate
from autokd.samplers.surrogate import Kernel

VARIANCE, LENGTH, NOISE = 1.7, 0.6, 0.05
OURS = Kernel([(0, 2)], [[0]], np.array([VARIANCE, LENGTH]), NOISE)
THEIRS = ConstantKernel(VARIANCE) * Matern(LENGTH, nu=2.5) + WhiteKernel(NOISE)


@pytest.fixture
def rows() -> tuple[Floats, Floats, Floats]:
    """Features, targets and variances of doubt of a dozen students."""
    draw = np.random.default_rng(0)
    features = draw.normal(size=(12, 2))
    return features, np.sin(2 * features[:, 0]) + features[:, 1], draw.uniform(0.01, 0.1, 12)


def test_likelihood_and_gradient_are_those_of_scikit_learn(rows: tuple[Floats, Floats, Floats]) -> None:
    features, targets, variances = rows
    theirs = GaussianProcessRegressor(THEIRS, alpha=variances, optimizer=None).fit(features, targets)
    value, gradient = theirs.log_marginal_likelihood(theirs.kernel_.theta, eval_gradient=True)
    apart = surrogate._squared_distances(features, features)
    ours, slope = surrogate._minus_likelihood(OURS, [apart], targets, variances)
    assert (-ours, *-slope) == pytest.approx((value, *gradient), rel=1e-9)


def test_a_process_expects_what_that_of_scikit_learn_does(
    rows: tuple[Floats, Floats, Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets, variances = rows
    model = surrogate.Surrogate(OURS.groups, OURS.terms, seed=0)
    monkeypatch.setattr(model, "_most_likely", lambda *_: OURS.theta)
    process = model.fit(features, targets, np.sqrt(variances))
    scaled = (targets - targets.mean()) / targets.std()
    doubt = variances / targets.var() + surrogate._JITTER
    theirs = GaussianProcessRegressor(THEIRS, alpha=doubt, optimizer=None).fit(features, scaled)
    asked = np.random.default_rng(1).normal(size=(5, 2))
    mean, deviation = theirs.predict(asked, return_std=True)
    found_mean, found_deviation = process(asked)
    assert found_mean == pytest.approx(mean * targets.std() + targets.mean())
    # scikit-learn counts the noise of a new row, too.
    assert found_deviation**2 + process.noise**2 == pytest.approx((deviation * targets.std()) ** 2)


def test_scales_where_no_covariance_can_be_factored_are_as_unlikely_as_can_be() -> None:
    features = np.zeros((3, 2))
    apart = surrogate._squared_distances(features, features)
    value, slope = surrogate._minus_likelihood(OURS.at(np.array([0.0, 0.0, -99.0])), [apart], np.ones(3), -np.ones(3))
    assert value == np.inf
    assert not slope.any()
