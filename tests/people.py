"""A small table of made-up people, for tests."""

from __future__ import annotations

import numpy as np
import pandas


def people(rows: int = 240) -> pandas.DataFrame:
    """Numbers, categories and missing values, from which a class, a value and two labels follow roughly."""
    generator = np.random.default_rng(0)
    age = generator.integers(20, 65, rows).astype(float)
    town = generator.choice(["Bonn", "Köln", "Rom"], rows)
    works = generator.random(rows) < 0.6
    hours = 0.5 * age + 8.0 * works + 3.0 * (town == "Rom") + generator.normal(size=rows)
    frame = pandas.DataFrame(
        {
            "age": age,
            "town": town,
            "works": works,
            "rich": np.where(hours > np.median(hours), "yes", "no"),
            "hours": hours,
            "tired": (hours > 30).astype(int),
            "old": (age > 45).astype(int),
            "patient": generator.integers(0, 40, rows),
            "day": pandas.date_range("2026-01-01", periods=rows).astype(str),
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "town"] = None
    return frame


INPUTS = ["age", "town", "works"]
