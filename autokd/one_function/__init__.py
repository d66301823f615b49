"""One function that suggests and builds in one go, as a search space."""

from autokd.one_function.space import FunctionSpace

__all__ = ["FunctionSpace"]
