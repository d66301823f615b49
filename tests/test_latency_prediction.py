from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autokd.latency.prediction import fit_latency


def drawn(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Architectures with what there may be: numbers, texts, booleans, null, lists of any length, and conditionals."""
    random = np.random.default_rng(seed)
    archs = []
    for _ in range(number):
        stages: list[dict[str, Any]] = []
        for _ in range(random.integers(1, 4)):
            stage = {"kernel": int(random.choice([3, 5])), "excite": bool(random.integers(2))}
            stages.append(stage | ({"ratio": float(random.uniform(0, 1))} if stage["excite"] else {}))
        activation = [None, "relu", "gelu"][random.integers(3)]
        archs.append({"width": int(random.integers(4, 33)), "activation": activation, "stages": stages})
    return archs


def true_ms(arch: dict[str, Any]) -> float:
    """A product, as latencies nearly are, in which odd widths are slow."""
    slow = 1.5 if arch["width"] % 4 else 1.0
    stages = [stage["kernel"] ** 0.5 * (1.3 if stage["excite"] else 1.0) for stage in arch["stages"]]
    return 0.01 * arch["width"] ** 0.7 * slow * (1.2 if arch["activation"] == "gelu" else 1.0) * float(np.prod(stages))


def test_it_predicts_what_it_has_not_seen_about_as_well_as_it_says() -> None:
    archs, others = drawn(100), drawn(500, seed=1)
    found = fit_latency(archs, [true_ms(arch) for arch in archs])
    missed = np.log(found.predict(others) / [true_ms(arch) for arch in others])
    assert found.measured == 100
    assert found.spearman > 0.95
    assert found.median_error < 0.1
    assert np.std(missed) == pytest.approx(found.spread, rel=0.3)
    assert "fitted on 100 measured" in str(found)


def test_latencies_in_another_unit_are_predicted_in_that_unit() -> None:
    archs, others = drawn(60), drawn(20, seed=1)
    ms = np.array([true_ms(arch) for arch in archs])
    np.testing.assert_allclose(
        fit_latency(archs, list(1000 * ms)).predict(others), 1000 * fit_latency(archs, list(ms)).predict(others)
    )


def test_order_within_the_measured_does_not_change_what_is_predicted() -> None:
    archs = drawn(60)
    ms = [true_ms(arch) for arch in archs]
    forward, backward = fit_latency(archs, ms), fit_latency(archs[::-1], ms[::-1])
    np.testing.assert_allclose(forward.predict(archs), backward.predict(archs), rtol=1e-6)


def test_choices_never_seen_and_no_architectures_at_all_are_no_error() -> None:
    archs = drawn(40)
    found = fit_latency(archs, [true_ms(arch) for arch in archs])
    strange = {"width": 0, "activation": "tanh", "stages": [], "new": {"depth": -3, "list": [1, [2]]}}
    assert np.isfinite(found.predict([strange])).all()
    assert found.predict([]).shape == (0,)


def test_where_all_are_equally_fast_no_order_is_claimed() -> None:
    found = fit_latency(drawn(20), [0.5] * 20)
    assert found.spearman == 0.0
    np.testing.assert_allclose(found.predict(drawn(5, seed=1)), 0.5)
