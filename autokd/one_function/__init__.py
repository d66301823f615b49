"""A search space that is one function, which suggests and builds in one call."""

from autokd.one_function.space import FunctionSpace

__all__ = ["FunctionSpace"]
