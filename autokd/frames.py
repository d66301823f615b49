"""Data frames of pandas, which is imported late and need not be installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autokd.errors import InputError, printable

if TYPE_CHECKING:
    import pandas


def data_frame(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pandas.DataFrame:
    """A row for each record. Nested mappings become columns such as `recipe.alpha`, and lists stay lists.

    Args:
        records: mappings with texts as keys.
        columns: the columns that exist in any case and come first.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("a data frame needs pandas; run: pip install 'autokd[pandas]'") from None
    frame = pandas.json_normalize([_printable(record) for record in records])
    return frame.reindex(columns=list(dict.fromkeys([*map(printable, columns), *frame.columns])))


def pandas_for_tables() -> Any:
    """The module pandas, for data that are a table.

    Raises:
        InputError: pandas or pyarrow, which reads and writes Parquet, is not installed.
    """
    try:
        import pandas
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError("tables need pandas and pyarrow; run: pip install 'autokd[tabular]'") from None
    return pandas


def _printable(value: Any) -> Any:
    """The same plain data, with control characters in texts as escapes; pandas refuses half of a surrogate pair."""
    if isinstance(value, Mapping):
        return {printable(str(key)): _printable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_printable(each) for each in value]
    return printable(value) if isinstance(value, str) else value
