"""Checks the database that a study names for its record."""

from __future__ import annotations

from autokd.errors import is_secret, without_secrets


def refuse_no_database(record: str) -> None:
    """Refuses a text that is neither `sqlite` nor the URL of a database, and a URL with a password.

    A study is a file that is committed and shared, and an override appears in the history of the shell and in the list
    of processes. A password that is never accepted cannot get into a run folder, a log or a report either.

    Raises:
        ValueError: says what to write, and repeats nothing of what was given.
    """
    if record == "sqlite":
        return
    import sqlalchemy  # most workers do not need it

    try:
        url = sqlalchemy.make_url(record)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # a port that is no number may be a misplaced password
        raise ValueError(
            "this is neither sqlite nor a URL; write sqlite, or postgresql+psycopg://me@host/database"
        ) from None
    settings = {key: value if isinstance(value, str) else " ".join(value) for key, value in url.query.items()}
    texts = [text for text in (url.username, url.host, url.database, *settings.values()) if text]
    if (
        url.password is not None
        or ":" in (url.username or "")
        or any(map(is_secret, settings))
        or any(without_secrets(text) != text for text in texts)
    ):
        raise ValueError(
            "AutoKD takes no password in a URL, as it would be kept in files; leave it out, and put it into ~/.pgpass "
            "or PGPASSWORD (for MySQL: into a file that ?read_default_file= names)"
        )
    if url.get_backend_name() == "sqlite" and "?" in record:
        raise ValueError(
            "for SQLite, AutoKD takes no settings after a question mark; write the full path of the file alone"
        )
    if url.get_backend_name() == "sqlite" and not record.partition("://")[2].startswith("//"):
        raise ValueError("write the full path of the file, such as sqlite:////var/lib/me/record.db, or sqlite alone")


def refuse_secret(url: str) -> str:
    """The same path or URL, if it holds no password.

    Raises:
        ValueError: it holds a password.
    """
    if without_secrets(url) != url:
        raise ValueError(
            "AutoKD takes no password in a URL, as it would be kept in files; leave it out, and let the fsspec package "
            "find it in its own places (for s3fs: ~/.aws/credentials or AWS_SECRET_ACCESS_KEY)"
        )
    return url
