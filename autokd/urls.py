"""Files at a URL, as `s3://bucket/prefix`; which ones, is up to the fsspec packages that are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autokd.errors import InputError, said


def is_url(path: str | Path) -> bool:
    """Whether fsspec is to be asked: a `Path` never is one, for it would have lost a slash."""
    return isinstance(path, str) and "://" in path


def files_at(url: str, *, what: str) -> tuple[Any, str]:
    """The fsspec file system of a URL or path, and the path in it.

    Args:
        url: as `s3://bucket/prefix` or `/nfs/folder`.
        what: what a refusal begins with.

    Raises:
        InputError: nothing that is installed understands the URL.
    """
    import fsspec  # slow to import, and most searches read and write no URL

    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError, TypeError, OSError) as error:  # TypeError: it wants more than a URL
        raise InputError(
            f"{what} '{url}' cannot be used ({said(error)}); write a folder, or a URL of which the fsspec package is "
            "installed, as s3://bucket/prefix with s3fs"
        ) from error
    return files, str(path)
