"""Whether a path lies on a network file system, where SQLite's locks and shared memory cannot be relied on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "afpfs", "webdav", "ncpfs", "coda", "sshfs", "davfs"}
    | {"lustre", "gpfs", "beegfs", "panfs", "wekafs", "ceph", "cephfs", "glusterfs", "orangefs", "pvfs2", "juicefs"}
    | {"s3fs", "gcsfuse", "goofys", "mountpoint-s3", "blobfuse", "blobfuse2", "rclone"}
)

Mount = tuple[str, str]
"""The path at which a file system is mounted, and its type."""


def network_file_system(path: Path, mounts: Iterable[Mount]) -> str:
    """The type of the network file system on which a path lies, such as `nfs4`; "" if it lies on a local one.

    If one mount lies inside another, the deepest one counts. If there are several at one path, the last one counts.
    """
    path = Path(os.path.realpath(path))
    deepest, kind = 0, ""
    for point, of_type in mounts:
        depth = len(Path(point).parts)
        if depth >= deepest and path.is_relative_to(point):
            deepest, kind = depth, of_type
    return kind if kind.removeprefix("fuse.") in _NETWORK else ""


def mounts() -> list[Mount]:
    """The file systems that are mounted on this machine (Linux and macOS); empty if this cannot be found out."""
    try:
        if sys.platform == "darwin":
            said = subprocess.run(
                ["/sbin/mount"], capture_output=True, encoding="utf-8", errors="surrogateescape", check=True
            )
            return read_mount_command(said.stdout)
        return read_proc_mounts(Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, subprocess.CalledProcessError):
        return []


def read_proc_mounts(text: str) -> list[Mount]:
    """The mounts in the text of `/proc/mounts` of Linux, where a space in a path is written as its octal number."""
    lines = [line.split() for line in text.splitlines()]
    return [(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), words[1]), words[2]) for words in lines]


def read_mount_command(text: str) -> list[Mount]:
    """The mounts that `mount` of macOS prints, as in `//me@server/share on /Volumes/share (smbfs, nodev)`."""
    return [(match[1], match[2]) for match in re.finditer(r"^.+ on (/.*) \((\w+)[,)]", text, re.MULTILINE)]
