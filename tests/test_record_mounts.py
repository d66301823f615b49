from __future__ import annotations

from pathlib import Path

import pytest
from command_line import refused, refused_search, write_study

from autokd.record.mounts import network_file_system, read_mount_command, read_proc_mounts

PROC = """\
/dev/vda / ext4 rw 0 0
server:/home /net/home nfs4 rw,relatime 0 0
/dev/vdb /net/home/fast xfs rw 0 0
//nas/a\\040b /mnt/a\\040b cifs rw 0 0
me@host:/ /ssh fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me", ""),
        ("/net/home/me/runs", "nfs4"),
        ("/net/homes", ""),
        ("/net/home/fast/runs", ""),
        ("/mnt/a b/runs", "cifs"),
        ("/ssh/x", "fuse.sshfs"),
    ],
)
def test_the_deepest_mount_says_whether_a_path_is_on_the_network(path: str, kind: str) -> None:
    assert network_file_system(Path(path), read_proc_mounts(PROC)) == kind


def test_the_last_of_several_mounts_at_one_place_counts() -> None:
    assert network_file_system(Path("/a/b"), [("/a", "nfs"), ("/a", "ext4")]) == ""
    assert network_file_system(Path("/a/b"), []) == ""


def test_what_macos_says_is_read() -> None:
    said = "/dev/disk3s1 on / (apfs, local)\n//me@nas/data (x) on /Volumes/data (x) (smbfs, nodev, nosuid)\n"
    assert read_mount_command(said) == [("/", "apfs"), ("/Volumes/data (x)", "smbfs")]


def test_a_record_on_a_network_file_system_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autokd.record.storage.mounts", lambda: [("/", "ext4"), (str(tmp_path), "nfs4")])
    said = refused_search(tmp_path)
    assert "record.db lies on nfs4: SQLite loses records on a network file system" in said
    assert "record=postgresql+psycopg://me@host/database" in said
    assert "lies on nfs4" in refused_search(tmp_path, {"record": f"sqlite:///{tmp_path}/other.db"})


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("postgres", "this is neither sqlite nor a URL; write sqlite, or postgresql+psycopg://me@host/database"),
        ("sqlite:///record.db", "write the full path of the file"),
        ("postgresql+psycopg://me:s3cret@host/db", "AutoKD takes no password in a URL"),
        ("postgresql+psycopg://me@host/db?sslmode=require&password=s3cret", "AutoKD takes no password in a URL"),
        ("nosuch://me@host/db", "nosuch"),
    ],
)
def test_what_names_no_database_or_holds_a_password_is_refused(record: str, words: str, tmp_path: Path) -> None:
    for said in (
        refused_search(tmp_path, {"record": record}),
        refused("search", write_study(tmp_path), f"record={record}", "--run", tmp_path / "run"),
    ):
        assert words in said
        assert "s3cret" not in said
