"""Files of tables: what is read, and what is refused in one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas
import pytest

from autokd.errors import InputError
from autokd.tasks.table_files import is_table_file, read_table


def written(path: Path, text: str | bytes) -> Path:
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_separated_file_is_read_with_any_usual_separator(tmp_path: Path, name: str, separator: str) -> None:
    lines = [["age", " town"], ["1", "Bonn"], ["", "None"]]
    file = written(tmp_path / name, "\n".join(separator.join(line) for line in lines))
    frame = read_table(file, max_gb=1)
    assert list(frame.columns) == ["age", "town"]
    assert frame["town"].tolist() == ["Bonn", "None"]
    assert frame["age"].isna().tolist() == [False, True]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path / "t.csv", "\ufeffage,town\n1,Bonn\n"), max_gb=1)
    assert list(frame.columns) == ["age", "town"]


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"age": [1.5, 2.0], "town": ["Bonn", None]}, index=[7, 3])
    frame.to_parquet(tmp_path / "t.parquet")
    pandas.testing.assert_frame_equal(read_table(tmp_path / "t.parquet", max_gb=1), frame.reset_index(drop=True))


@pytest.mark.parametrize(("name", "expected"), [("a.CSV", True), ("a.csv.gz", True), ("a.npz", False), ("csv", False)])
def test_the_name_of_a_file_tells_a_table(name: str, expected: bool) -> None:
    assert is_table_file(Path(name)) is expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty; give a table with the names"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv", "a,b\n1,caf\xe9\n".encode("cp1252"), "byte 0xe9.*iconv -f cp1252"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("t.csv", b"a,b\n1,2,3\n4,5,6\n", "as many values as the first line has names"),
        ("t.csv", b"a,a\n1,2\n", "two columns called 'a'"),
        ("t.csv.gz", None, "cut short or not of the kind"),
        ("t.parquet", b"a,b\n1,2\n", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(b"a,b\n1,2\n" * 99)[:25] if content is None else content)
    with pytest.raises(InputError, match=message) as refused:
        read_table(file, max_gb=1)
    assert "\n" not in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_missing_and_a_large_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path"):
        read_table(tmp_path / "t.csv", max_gb=1)
    with pytest.raises(InputError, match=r"task\.max_gb"):
        read_table(written(tmp_path / "t.csv", "a\n1\n"), max_gb=1e-9)
