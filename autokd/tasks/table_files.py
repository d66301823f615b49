"""Reads the rows of a table from a file: values with separators (.csv, .tsv, also .gz), or Parquet."""

from __future__ import annotations

import csv
import gzip
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from autokd.errors import InputError, said
from autokd.frames import pandas_for_tables
from autokd.tasks.files import readable

if TYPE_CHECKING:
    from pandas import DataFrame

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""Endings of files that hold a table."""

_SEPARATORS = ",;\t|"


def is_table_file(path: Path) -> bool:
    """Whether the name of a file says that it holds the rows of a table."""
    return path.name.lower().endswith(ENDINGS)


def read_table(file: Path, *, max_gb: float) -> DataFrame:
    """The rows of a file, with a name for each column. Texts in UTF-8 and a header in the first line are expected.

    Values in a .csv file are separated by the one of `,`, `;`, tab and `|` that is most frequent in its first line.

    Raises:
        InputError: the file cannot be read, has no rows, or has two columns of one name; or it is too large.
    """
    pandas = pandas_for_tables()
    with readable(file):
        if (size := file.stat().st_size) / 1e9 > max_gb:
            raise InputError(
                f"task.max_gb: {file} has {size / 1e9:.3g} GB, more than {max_gb:g}; raise it or give less data"
            )
        try:
            frame = _parquet(file) if file.suffix.lower() == ".parquet" else _separated(file)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{file} is no text in UTF-8 (it has the byte 0x{error.object[error.start]:02x}); it may be of "
                "Windows: run `iconv -f cp1252 -t utf-8` on it, and give the file that this writes"
            ) from None
        except pandas.errors.EmptyDataError:
            raise InputError(f"{file} is empty; give a table with the names of its columns in the first line") from None
        except (pandas.errors.ParserError, pandas.errors.ParserWarning, csv.Error) as error:
            raise InputError(
                f"{file} cannot be read as a table: {said(error).removeprefix('Error tokenizing data. C error: ')}; "
                "give each line as many values as the first line has names"
            ) from None
    if len(frame) == 0:
        raise InputError(f"{file} has the names of columns but no rows; give a table with rows")
    return frame


def _separated(file: Path) -> DataFrame:
    with _open(file) as stream:
        header = stream.readline()
    separator = max(_SEPARATORS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])]
    _refuse_twice(file, names)
    with warnings.catch_warnings(action="error"):
        frame = pandas_for_tables().read_csv(
            file,
            sep=separator,
            encoding="utf-8-sig",
            skipinitialspace=True,
            index_col=False,
            keep_default_na=False,  # a class may be called "None"
            na_values=[""],
            low_memory=False,
        )
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame


def _parquet(file: Path) -> DataFrame:
    from pyarrow import ArrowInvalid

    try:
        frame = pandas_for_tables().read_parquet(file)
    except ArrowInvalid as error:
        raise InputError(f"{file} cannot be read as Parquet ({said(error)}); write it again") from None
    frame.columns = [str(name) for name in frame.columns]
    _refuse_twice(file, list(frame.columns))
    return frame.reset_index(drop=True)


def _refuse_twice(file: Path, names: Sequence[str]) -> None:
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(f"{file} has two columns called '{name}'; give each column a name of its own")


def _open(file: Path) -> IO[Any]:
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open("r", encoding="utf-8-sig", newline="")
