"""The former place of `fit_latency`, kept for programs that import it from here; `autokd.latency.prediction` has it."""

from autokd.latency.prediction import LatencyPrediction, fit_latency

__all__ = ["LatencyPrediction", "fit_latency"]
