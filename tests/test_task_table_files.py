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


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_file_of_windows_is_read_and_the_log_says_so(
    tmp_path: Path, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    frame = read_table(written(tmp_path / "t.csv.gz", "age,town\n1,K\xf6ln\n".encode(encoding)), max_gb=1)
    assert frame["town"].tolist() == ["K\xf6ln"]
    assert f"is no text in UTF-8 and is read as {encoding}" in caplog.text


def test_where_semicolons_separate_values_numbers_may_have_a_decimal_comma(tmp_path: Path) -> None:
    text = "a;b;c;d\n1,5;1;x,y;1.5\n;2;1,2;2\n-0,25;3;z;3\n"
    frame = read_table(written(tmp_path / "t.csv", text), max_gb=1)
    assert frame["a"].fillna(0).tolist() == [1.5, 0, -0.25]
    assert frame["c"].tolist() == ["x,y", "1,2", "z"]
    assert [frame[name].dtype.kind for name in "abd"] == ["f", "i", "f"]


def test_a_compressed_file_without_its_ending_is_read(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", gzip.compress(b"a,b\n1,2\n"))
    assert read_table(file, max_gb=1).to_numpy().tolist() == [[1, 2]]


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
        ("t.csv", b"a,b\n1,\x8d\n", "no text in UTF-8, UTF-16 or cp1252"),
        ("t.csv", b"PK\x03\x04\x00\xff\n", "save the table as CSV in UTF-8"),
        ("t.csv", b"a,b\n1,x\n\n2\n", "has 1 of 2 values in line 4; the file may be cut short"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("t.csv", b"a,b\n1,2,3\n4,5,6\n", "lines have more values than the first line has names"),
        ("t.csv", b"Census of 2026\na,b\n4,5\n", "no line before the one with the names"),
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
