"""Writes the table of the study `mfeat`: 2,000 handwritten digits in 649 features, the digit, and whether it is even.

    python studies/mfeat.py mfeat.npz mfeat.parquet

The first file holds the six views of the UCI data Multiple Features as arrays `fac`, `fou`, `kar`, `mor`, `pix` and
`zer` of shape (2000, features), the digits `y` and the truth values `is_train`. Column `split` says what is for test.
"""

from __future__ import annotations

import sys
from typing import Any

VIEWS = ("fac", "fou", "kar", "mor", "pix", "zer")


def table(path: str) -> Any:
    """The data frame of the six views in such a file, with columns `digit`, `even` and `split`."""
    import numpy as np
    import pandas as pd

    with np.load(path) as arrays:
        views = {f"{view}{i}": column for view in VIEWS for i, column in enumerate(arrays[view].T)}
        digit, train = arrays["y"].astype(int), arrays["is_train"]
    parity = np.where(digit % 2 == 0, "even", "odd")
    split = np.where(train, "train", "test")
    return pd.DataFrame({**views, "digit": digit, "parity": parity, "split": split})


if __name__ == "__main__":
    table(sys.argv[1]).to_parquet(sys.argv[2])
