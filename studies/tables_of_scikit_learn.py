"""Tables that scikit-learn ships or makes, as data frames, for the studies and claims that name them."""

from __future__ import annotations

from typing import Any


def diabetes() -> Any:
    """442 patients: ten numbers of each, and how far the disease went on in a year, in column `progression`."""
    from sklearn.datasets import load_diabetes

    return load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
