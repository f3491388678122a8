"""Processes forked from one that has imported the libraries: a command starts in milliseconds and is a process all the same.

Each fork is what `python -c CODE ARGUMENTS` would be: its own working directory, environment, standard streams and `__main__`.
Libraries and the sandbox are imported beforehand; for a command that changes nothing before it imports the pipeline's modules,
also those, but for the command line's own. What the start itself does (help that must be quick, a signal while imports are under
way) is tested with a process started in full, by `command.start`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "typer.main", "rich.console", "rich.progress", "rich.table", "httpx", "httptools", "orjson", "psycopg", "msgspec", "filelock",
    "psutil", "yaml", "jinja2", "importlib.metadata", "dagster", "dagster_dbt", "dbt.cli.main", "duckdb", "numpy",
    "pyarrow.dataset", "pyarrow.json", "pyarrow.parquet", "sqlite3", "debitura_sandbox.server.cli",
)  # fmt: skip
# Of the pipeline: read once for all that run commands as they are.
PACKAGES = (
    "api", "backup", "contract", "doctor", "extract", "landing", "migration", "outbound", "partners", "reconcile", "registration",
    "report", "source", "status", "submission", "sync", "warehouse", "webhooks",
)  # fmt: skip
SETTINGS = ("DEBITURA_", "DAGSTER_")
READ_BY_MODULES = "DEBITURA_PARTNERS"  # when they are imported: Dagster's definitions depend on it
STOP_S = 10.0
# What the interpreter reads when it starts: where a command wants another value, it is started in full.
READ_AT_START = ("PYTHON", "LANG", "LC_")


class Request(NamedTuple):
    code: str
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    has_modules: bool


@dataclass
class Forked:
    """A process that was forked. `stdin` and `stdout` are pipes; it is nobody's child here, so its end is told by a pipe."""

    pid: int
    stdin: IO[bytes]
    stdout: IO[bytes]
    told: IO[bytes]

    def stop(self) -> None:
        """End it, and wait for that; a second call does nothing."""
        if not self.told.closed:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            if not select.select([self.told], [], [], STOP_S)[0]:
                os.kill(self.pid, signal.SIGKILL)
            self.told.read()
        for stream in (self.stdin, self.stdout, self.told):
            stream.close()


class ForkServer:
    """The process that forks: `run` takes a command to its end, `start` does not wait for it. It ends with who made it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forks", str(theirs.fileno())],
                cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        self._socket = ours

    def can_run(self, env: Mapping[str, str]) -> bool:
        """Whether the interpreter would start alike with this environment."""
        return _read_at_start(env) == _read_at_start(os.environ)

    def run(
        self,
        code: str,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        limit_s: float,
        *,
        has_modules: bool = False,
    ) -> tuple[int, str, str]:
        """Exit status (negative: the signal that ended it), standard output and standard error. Raises TimeoutError.

        `has_modules`: the pipeline's modules may be imported already.
        """
        has_modules = has_modules and READ_BY_MODULES not in env
        (out, child_out), (err, child_err), (told, telling) = os.pipe(), os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        request = Request(code, list(arguments), str(cwd), dict(env), has_modules)
        self._ask(request, [nothing, child_out, child_err, telling])
        printed = _read_all([out, err, told], limit_s)
        return int(printed[2]), printed[0].decode(), printed[1].decode()

    def start(self, code: str, arguments: Sequence[str], cwd: Path) -> Forked:
        """With this process's environment and standard error. To be stopped by the caller."""
        (child_in, stdin), (stdout, child_out), (told, telling) = os.pipe(), os.pipe(), os.pipe()
        request = Request(code, list(arguments), str(cwd), dict(os.environ), has_modules=False)
        self._ask(request, [child_in, child_out, os.dup(2), telling])
        telling_end = os.fdopen(told, "rb", buffering=0)
        pid = bytearray()
        while not pid.endswith(b" "):
            pid += telling_end.read(1)
        return Forked(int(pid), os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"), telling_end)

    def _ask(self, request: Request, fds: list[int]) -> None:
        _send(self._socket, json.dumps(request).encode() + b"\n", fds)

    def close(self) -> None:
        self._socket.close()
        self._process.wait(10)


@cache
def fork_server() -> ForkServer:
    """This process's own; ended by a fixture in `tests/conftest.py`."""
    return ForkServer()


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(READ_AT_START) and name != "PYTHONPATH"}


def _read_all(fds: list[int], limit_s: float) -> list[bytes]:
    """All of each, until every writer has closed it. The last one says the number of the process first."""
    until, found = time.monotonic() + limit_s, [bytearray() for _ in fds]
    with selectors.DefaultSelector() as selector:
        for number, fd in enumerate(fds):
            selector.register(fd, selectors.EVENT_READ, number)
        while selector.get_map():
            for key, _ in selector.select(max(0.0, until - time.monotonic())):
                part = os.read(key.fd, 1 << 16)
                found[key.data] += part
                if not part:
                    selector.unregister(key.fd)
                    os.close(key.fd)
            if selector.get_map() and time.monotonic() > until:
                os.kill(int(found[-1].split()[0]), signal.SIGKILL)
                raise TimeoutError(f"it did not end within {limit_s} s:\n{found[0].decode()}\n{found[1].decode()}")
    return [*(bytes(part) for part in found[:-1]), bytes(found[-1].split()[1])]


def _send(to: socket.socket, body: bytes, fds: list[int]) -> None:
    """A request and its streams, which are then closed here."""
    try:
        socket.send_fds(to, [body[:1]], fds)
        to.sendall(body[1:])
    finally:
        for fd in fds:
            os.close(fd)


def _receive(server: socket.socket) -> tuple[bytes, list[int]]:
    """A request and its streams; nothing when nobody is left to ask."""
    body, fds, _, _ = socket.recv_fds(server, 1, 4)
    while body and not body.endswith(b"\n"):
        body += server.recv(1 << 16)
    return body, fds


def _serve(server: socket.socket, *, has_modules: bool = False) -> Request | None:
    """In a fork: what it is to do. In the server: None, when nobody is left to ask."""
    modules: socket.socket | None = None  # the way to the server that has the modules imported
    pid = 0
    while True:
        body, fds = _receive(server)
        if not body:
            if modules is not None:
                modules.close()
                os.waitpid(pid, 0)
            return None
        request = Request(*json.loads(body))
        if request.has_modules and not has_modules:
            if modules is None:
                modules, theirs = socket.socketpair()
                pid = os.fork()
                if pid == 0:
                    _close(server, modules, *fds)
                    return _serve_with_modules(theirs)
                theirs.close()
            _send(modules, body, fds)
            continue
        if os.fork() == 0:
            _close(server, *([modules] if modules else []))
            return _forked(request, *fds)
        _close(*fds)
        _count_ended()


def _close(*opened: socket.socket | int) -> None:
    for each in opened:
        if isinstance(each, int):
            os.close(each)
        else:
            each.close()


def _count_ended() -> None:
    """Wait for forks that have ended, so that their CPU time is counted, and none stays as a zombie."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def import_modules() -> None:
    """What commands import when they are chosen."""
    package = importlib.import_module("debitura_pipeline")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if found.name.split(".")[1] in PACKAGES:
            importlib.import_module(found.name)
    gc.collect()
    gc.freeze()


def _serve_with_modules(server: socket.socket) -> Request | None:
    import_modules()
    with server:
        return _serve(server, has_modules=True)


def _forked(request: Request, stdin: int, out: int, err: int, telling: int) -> Request:
    """A second fork does the work, while this one waits for its end and tells it."""
    child = os.fork()
    if child:
        for fd in (stdin, out, err):
            os.close(fd)
        os.write(telling, f"{child} ".encode())
        os.write(telling, str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
        os._exit(0)
    for fd, number in ((stdin, 0), (out, 1), (err, 2)):
        os.dup2(fd, number)
        os.close(fd)
    os.close(telling)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request.env)
    time.tzset()
    os.chdir(request.cwd)
    sys.argv[:] = ["-c", *request.arguments]
    sys.path[0] = ""
    return request


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:  # of the test that happened to be the first
        del os.environ[name]
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as server:
        request = _serve(server)
    if request is not None:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        status = 0
        try:
            exec(compile(request.code, "<string>", "exec"), main.__dict__)
        except SystemExit as ended:
            if not isinstance(ended.code, int | None):
                raise
            status = ended.code or 0
        _end(status)


def _end(status: int) -> None:
    """What the interpreter does at its end, but for taking down each module that its parent has imported: that takes longer than
    most commands. Returns where output cannot be written; the interpreter then says so."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    os._exit(status & 0xFF)


if __name__ == "__main__":
    _main()
