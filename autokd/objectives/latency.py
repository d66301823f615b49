"""The former place of `latency_ms`, kept for programs that import it from here; `autokd.latency.timing` has it."""

from autokd.latency.timing import latency_ms

__all__ = ["latency_ms"]
