"""Reads the rows of a table from a file: values with separators (.csv, .tsv), lines of JSON (.jsonl), or Parquet."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from autokd.errors import InputError, said
from autokd.frames import pandas_for_tables
from autokd.readings.tokens import encodable
from autokd.tasks.files import readable

if TYPE_CHECKING:
    from pandas import DataFrame

_JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson")
ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", *_JSON_LINES)
"""Endings of files that hold a table."""

_LOG = logging.getLogger("autokd")
_CHUNK_BYTES = 1_000_000
_SEPARATORS = ",;\t|"
_DECIMAL_COMMA = re.compile(r"\s*-?\d+(,\d+)?\s*")


def is_table_file(path: Path) -> bool:
    """Whether the name of a file says that it holds the rows of a table."""
    return path.name.lower().endswith(ENDINGS)


def read_table(file: Path, *, max_gb: float, texts: str | None = None) -> DataFrame:
    """The rows of a file, with a name for each column, which is expected in the first line.

    Values in a .csv file are separated by the one of `,`, `;`, tab and `|` that is most frequent in its first line. Its
    text is UTF-8, or else UTF-16 (with a byte order mark) or cp1252, as programs write them on Windows. Where `;`
    separates values, numbers may have a decimal comma. The log tells of an encoding or a comma of this kind.

    Args:
        file: the file.
        max_gb: how many gigabytes it may have.
        texts: the column of which each value is a text, even if it is empty or looks like a number; None if none is.

    Raises:
        InputError: the file cannot be read, has no rows, a line with too few or too many values, or two columns of one
            name; or it is too large.
    """
    pandas = pandas_for_tables()
    with readable(file):
        if (size := file.stat().st_size) / 1e9 > max_gb:
            raise InputError(
                f"task.max_gb: {file} has {size / 1e9:.3g} GB, more than {max_gb:g}; raise it or give less data"
            )
        try:
            if file.suffix.lower() == ".parquet":
                frame = _parquet(file)
            elif file.name.lower().endswith(_JSON_LINES):
                frame = _json_lines(file)
            else:
                frame = _separated(file, texts)
        except pandas.errors.EmptyDataError:
            raise InputError(f"{file} is empty; give a table with the names of its columns in the first line") from None
        except (pandas.errors.ParserError, pandas.errors.ParserWarning, csv.Error) as error:
            raise InputError(
                f"{file} cannot be read as a table: {_plainly(error)}; give each line as many values as the first line "
                "has names, and no line before the one with the names"
            ) from None
    if len(frame) == 0:
        raise InputError(f"{file} has the names of columns but no rows; give a table with rows")
    return frame


def _separated(file: Path, texts: str | None) -> DataFrame:
    encoding = _encoding(file)
    with _text(file, encoding) as text:
        header = text.readline()
    separator = max(_SEPARATORS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])]
    _refuse_twice(file, names)
    with _text(file, encoding) as text, warnings.catch_warnings(action="error"):
        frame = pandas_for_tables().read_csv(
            text,
            sep=separator,
            skipinitialspace=True,
            index_col=False,
            keep_default_na=False,  # a class may be called "None"
            na_values=[""],
            dtype={texts: str} if texts in names else None,
            low_memory=False,
        )
    frame.columns = [str(name).strip() for name in frame.columns]
    if len(frame) and frame.iloc[:, -1].isna().any():  # pandas fills up lines that are too short
        with _text(file, encoding) as text:
            _refuse_short(file, text, separator, len(names))
    written = frame[texts].fillna("") if texts in names else None
    if written is not None and separator == "\t" and (broken := written.str.contains("\n", regex=False)).any():
        _LOG.warning(
            "Texts of %s hold line breaks in %d rows, such as row %d. If this is not meant, a text begins with a quote "
            "that has no end there; write it twice within quotes.",
            file,
            int(broken.sum()),
            int(broken.to_numpy().argmax()),
        )
    frame = _with_points(file, frame) if separator == ";" else frame
    return frame if written is None else frame.assign(**{str(texts): written})


def _json_lines(file: Path) -> DataFrame:
    rows = []
    with _text(file, _encoding(file)) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{file} has no JSON in line {number} ({said(error)}); mend the line") from None
            if not isinstance(row, dict):
                raise InputError(f'{file} has no mapping in line {number}; write {{"column": value}} in each line')
            rows.append({key: encodable(value) if isinstance(value, str) else value for key, value in row.items()})
    if not rows:
        raise InputError(f'{file} is empty; give a mapping {{"column": value}} in each line')
    frame = pandas_for_tables().DataFrame(rows)
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _encoding(file: Path) -> str:
    """The encoding of the text of a file; the log tells where it is not UTF-8."""
    with _bytes(file) as stream:
        begin = stream.read(2)
    if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        wrong, found = None, "utf-16"
    elif (wrong := _undecodable(file, "utf-8")) is None:
        return "utf-8-sig"
    else:
        found = "cp1252"
    if _undecodable(file, found) is not None:
        raise InputError(
            f"{file} is no text in UTF-8, UTF-16 or cp1252 (it has the byte 0x{wrong or 0:02x}); save the table as CSV "
            "in UTF-8, or as Parquet"
        )
    _LOG.warning("%s is no text in UTF-8 and is read as %s. If letters are wrong, save it in UTF-8.", file, found)
    return found


def _undecodable(file: Path, encoding: str) -> int | None:
    """The first byte of a file that is none of a text in an encoding; None if there is none."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with _bytes(file) as stream:
        chunk = b"x"
        while chunk:
            chunk = stream.read(_CHUNK_BYTES)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return int(error.object[error.start])
            if "\0" in text:
                return 0
    return None


def _bytes(file: Path) -> IO[bytes]:
    """The content of a file, which may be compressed whatever its name says."""
    with file.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b" or file.suffix.lower() == ".gz"
    return cast(IO[bytes], gzip.open(file)) if compressed else file.open("rb")


def _text(file: Path, encoding: str) -> IO[str]:
    return io.TextIOWrapper(_bytes(file), encoding=encoding, newline="")


def _with_points(file: Path, frame: DataFrame) -> DataFrame:
    """The frame in which numbers with a decimal comma are numbers. Other texts with commas stay as they are."""
    changed = []
    for name in frame.columns:
        if frame[name].dtype.kind in "iufb":
            continue
        texts = frame[name].dropna().astype(str)
        if texts.str.contains(",").any() and all(map(_DECIMAL_COMMA.fullmatch, texts)):
            frame[name] = frame[name].str.replace(",", ".").astype("float64")
            changed.append(name)
    if changed:
        _LOG.info("%s has numbers with a decimal comma in: %s.", file, ", ".join(changed))
    return frame


def _refuse_short(file: Path, text: IO[str], separator: str, expected: int) -> None:
    lines = csv.reader(text, delimiter=separator, skipinitialspace=True)
    for values in lines:
        if values and len(values) < expected:
            raise InputError(
                f"{file} has {len(values)} of {expected} values in line {lines.line_num}; the file may be cut short, "
                "or a text with line breaks lacks its quotes"
            )


def _plainly(error: Exception) -> str:
    text = said(error).removeprefix("Error tokenizing data. C error: ")
    return "lines have more values than the first line has names" if text.startswith("Length of header") else text


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
