"""Recognises versions of a space's code that make the same students, so that runs of an earlier version go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAME_STUDENTS = "same_students.json"
"""The file beside spaces that says which of their earlier files made the same students.

It has an entry for the file of a space: the digests, by name, of that file and of files beside it as they are `now`,
and of the files that were in their place `before`. The files of now count as those before only if all of them are as
the entry says. After an edit they count as they are.
"""


def earlier(file: Path) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The digests of files in the folder of a space's file, as they are now and as they were before; else empty."""
    try:
        entry: Any = json.loads((file.parent / SAME_STUDENTS).read_text(encoding="utf-8"))[file.name]
        now, before = entry["now"], entry["before"]
        same = all(digest_of_file(file.parent / name) == digest for name, digest in now.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}
    return (now, before) if same else ({}, {})


def digest_of_file(path: Path) -> str:
    """SHA-256, in hex, of the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
