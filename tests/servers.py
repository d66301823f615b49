"""A PostgreSQL server for one test, in a folder of its own and on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = next((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), Path("/usr/local/bin"))
"""Where the server's own programs are; Debian keeps them off the PATH."""

PASSWORD = "s3cret-pass"


class Postgres:
    """The server in `folder`, asked for a password; what is in it outlives `stop`.

    Args:
        folder: made here; `url` leads to a database in it.
    """

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.passfile = folder / "pgpass"
        folder.mkdir(mode=0o755)
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            user = pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", str(self.data), "-U", "me", "-A", "scram-sha-256", f"--pwfile={secret}", "-N")
        self.passfile.write_text(f"127.0.0.1:{self.port}:*:me:{PASSWORD}\n")
        self.passfile.chmod(0o600)

    @property
    def url(self) -> str:
        """Of its database, without a password."""
        return f"postgresql+psycopg://me@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Returns once it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.data / "log"), "-o", options, "start")

    def stop(self) -> None:
        """At once; connections break."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *words: str) -> None:
        command = [*self._as_user, str(BIN / program), *words]
        subprocess.run(command, check=True, capture_output=True, cwd="/", stdin=subprocess.DEVNULL)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """The server while it runs."""
    server = Postgres(folder)
    server.start()
    try:
        yield server
    finally:
        if (server.data / "postmaster.pid").exists():
            server.stop()


def has_postgres() -> bool:
    """Whether a server can be started on this machine."""
    return (BIN / "initdb").is_file() and (os.geteuid() != 0 or shutil.which("setpriv") is not None)
