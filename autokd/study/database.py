"""What a study may say of the database that its record is written to."""

from __future__ import annotations

import re

_URL = re.compile(r"(?P<kind>\w+)(\+\w+)?://(?P<user>[^:/@]*)(?P<password>:[^@]*(?=@))?@?(?P<rest>.*)", re.DOTALL)


def refuse_no_database(record: str) -> None:
    """Refuses what is neither `sqlite` nor the URL of a database, and a URL with a password in it.

    A study is a file that is committed and shared, and an override lands in the shell's history and in the list of
    processes; what is never taken cannot get into a run folder, a log or a report either.

    Raises:
        ValueError: with what would do; it repeats no password.
    """
    if record == "sqlite":
        return
    url = _URL.fullmatch(record)
    if url is None:
        raise ValueError("neither sqlite nor a URL; write sqlite, or postgresql+psycopg://me@host/database")
    if url["password"] is not None or re.search(r"[?&]\w*passw", url["rest"]):
        raise ValueError(
            "a password in a URL is not taken, as it would be kept in files; leave it out, and put it into ~/.pgpass "
            "or PGPASSWORD (of MySQL: into a file named by ?read_default_file=)"
        )
    if url["kind"] == "sqlite" and "?" in url["rest"]:
        raise ValueError("settings after a question mark are not taken for SQLite; write the file's full path alone")
    if url["kind"] == "sqlite" and not url["rest"].startswith("//"):
        raise ValueError("write the file's full path, as sqlite:////var/lib/me/record.db, or sqlite alone")
