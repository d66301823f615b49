"""Files at a URL like `s3://bucket/prefix`. The installed fsspec packages decide which URLs can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autokd.errors import InputError, said


def is_url(path: str | Path) -> bool:
    """Whether a text is a URL. A `Path` never is one, because it would have lost a slash."""
    return isinstance(path, str) and "://" in path


def files_at(url: str, *, what: str) -> tuple[Any, str]:
    """The fsspec file system of a URL or path, and the path in it.

    Args:
        url: a URL or path like `s3://bucket/prefix` or `/nfs/folder`.
        what: the beginning of the message if the URL is refused.

    Raises:
        InputError: no installed package understands the URL.
    """
    import fsspec  # slow to import, and most searches read and write no URL

    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError, TypeError, OSError) as error:  # TypeError: the file system needs more than a URL
        raise InputError(
            f"{what} '{url}' cannot be used ({said(error)}); write a folder, or a URL of which the fsspec package is "
            "installed, as s3://bucket/prefix with s3fs"
        ) from error
    return files, str(path)
