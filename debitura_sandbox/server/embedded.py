"""The sandbox of a data directory: attach to the one that runs there, or start one for as long as it is needed.

Belongs here: the process's life, and moving its world from outside. Does not: serving (`serve.py`). Called by the
pipeline where no API address is set, and by `debitura sandbox advance` and `add-client`. Under `<data dir>/sandbox` lie
`state.json` (options and changes; what makes the world the same next time), `users` (locked by each user), and, while one
runs, `server.json`.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import DebituraError

ANSWER_TIMEOUT_S = 60.0  # one that moves a large world answers late; a dead one refuses at once
CHANGE_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 10.0
MOST_DAYS_BEHIND = 30  # made up for at once; the rest the next time
PROJECT_ROOT = Path(__file__).resolve().parents[2]
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy leads back to this machine


class SandboxError(DebituraError):
    """The embedded sandbox could not be started, or refused a change."""


@dataclass(frozen=True)
class Embedded:
    """A sandbox that answers. `day` is how many days its world has moved since the start."""

    url: str
    key: str
    customer_url: str
    day: int


@contextmanager
def running(data_dir: Path, *, advance_days: int = 0, arguments: Sequence[str] = ()) -> Iterator[Embedded]:
    """A sandbox for `data_dir`, moved `advance_days` forward first. One that runs already is used, else one is started as its
    own process; it ends with its last user, whoever started it. Where its clock has run on for days, its world follows.
    `arguments`: further options of `serve` for a start (those about the world count only the first time). Raises SandboxError."""
    home = data_dir / "sandbox"
    for folder in (data_dir, home):  # parents that are made on the way would be open to all
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    user = os.open(home / "users", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(user, fcntl.LOCK_SH)  # waits for one that is ending, as its last user has gone
        with _alone(home):
            found = _find(home) or _start(home, arguments)
            found = _moved(found, _days_behind(found))
        found = _moved(found, advance_days)
        yield found
    finally:
        _leave(home, user)


def found(data_dir: Path) -> Embedded | None:
    """The sandbox that runs on `data_dir`, if one does. Nothing is written, and it may end at any moment."""
    with suppress(OSError, ValueError, KeyError):
        return _answering(data_dir / "sandbox" / "server.json")
    return None


def is_gone(data_dir: Path) -> bool:
    """For a user of it: whether the sandbox's process has ended, however it did."""
    return _is_free(data_dir / "sandbox" / "state.json.lock", fcntl.LOCK_EX)  # held as long as the process lives


def revive(data_dir: Path, port: int) -> None:
    """For a user of it: start the sandbox again where it is gone, on `port` if that is free, so that requests under way find
    it. Raises SandboxError where it does not start."""
    home = data_dir / "sandbox"
    _started[:] = [process for process in _started if process.poll() is None]
    with _alone(home):
        if not is_gone(data_dir):  # another user was first
            return
        (home / "server.json").unlink(missing_ok=True)
        try:
            _start(home, ["--port", str(port)])
        except SandboxError:
            _start(home, [])


def advance(data_dir: Path, days: int) -> int:
    """Move the world of `data_dir` forward, whether its sandbox runs or not; the day it is then."""
    with running(data_dir, advance_days=days) as sandbox:
        return sandbox.day


def add_client(data_dir: Path, **wanted: Any) -> dict[str, Any]:
    """One client, as `add_clients` adds them."""
    return add_clients(data_dir, 1, **wanted)[0]


def add_clients(
    data_dir: Path,
    count: int,
    *,
    tenant: str | None = None,
    is_signed: bool = True,
    cases: int = 12,
    transactions: int = 20,
    is_attributed: bool = True,
) -> list[dict[str, Any]]:
    """Add clients to the world of `data_dir`; of each its `tenant`, `creditorId`, and how many `cases` and `transactions`.

    `tenant` names one client; more than one get names of their own.
    """
    wanted = {
        "tenant": tenant if count == 1 else None,
        "signed": is_signed,
        "cases": cases,
        "transactions": transactions,
        "attributed": is_attributed,
    }
    with running(data_dir) as sandbox:
        return [change(sandbox, "clients", wanted) for _ in range(count)]


def sign_client(data_dir: Path, tenant: str) -> None:
    """Let a client sign what it still has to sign."""
    with running(data_dir) as sandbox:
        change(sandbox, "sign", {"tenant": tenant})


def change(sandbox: Embedded, what: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """One call of the admin door. Raises SandboxError."""
    try:
        return _call(sandbox.url, sandbox.key, what, wanted, CHANGE_TIMEOUT_S)
    except urllib.error.HTTPError as refused:
        with refused:
            why = json.loads(refused.read() or b"{}").get("title", "")
        raise SandboxError(f"The sandbox at {sandbox.url} refused {what}: HTTP {refused.code}. {why}") from None
    except OSError as fault:
        raise SandboxError(f"The sandbox at {sandbox.url} did not answer to {what}: {fault}.") from None


def _moved(sandbox: Embedded, days: int) -> Embedded:
    if not days:
        return sandbox
    day = int(change(sandbox, "advance", {"days": days})["day"])
    return Embedded(sandbox.url, sandbox.key, sandbox.customer_url, day)


def _days_behind(sandbox: Embedded) -> int:
    """Days that the world stood still while its clock ran on: payments due since then would all look late."""
    health = _call(sandbox.url, sandbox.key, "health", None, ANSWER_TIMEOUT_S)
    return min(int(health["days_behind"]), MOST_DAYS_BEHIND)


def _call(url: str, key: str, what: str, wanted: dict[str, Any] | None, timeout_s: float) -> dict[str, Any]:
    body = None if wanted is None else json.dumps(wanted).encode()
    headers = {"XApiKey": key, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/sandbox/{what}", body, headers)  # noqa: S310 (own server on loopback)
    with _DIRECT.open(request, timeout=timeout_s) as answer:
        return dict(json.loads(answer.read()))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Only one process at a time looks for a sandbox or starts one."""
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _find(home: Path) -> Embedded | None:
    """The sandbox that `server.json` names, if it answers to its key; a stale file is removed."""
    file = home / "server.json"
    try:
        return _answering(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        file.unlink(missing_ok=True)
        return None


def _answering(file: Path) -> Embedded:
    """Raises OSError, ValueError or KeyError where none answers."""
    facts = json.loads(file.read_text())
    health = _call(facts["url"], facts["key"], "health", None, ANSWER_TIMEOUT_S)
    if health["pid"] != facts["pid"]:
        raise ValueError("another process has its port")
    return Embedded(facts["url"], facts["key"], facts["customer_url"], int(health["day"]))


def _start(home: Path, arguments: Sequence[str]) -> Embedded:
    """A sandbox process. It ends by itself when nobody uses it any more, however they went."""
    command = [
        sys.executable, "-m", "debitura_sandbox", "serve", "--ends-with-users", str(home / "users"),
        "--state", str(home / "state.json"), "--server-file", str(home / "server.json"), *arguments,
    ]  # fmt: skip
    path = os.pathsep.join([str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is for us: the sandbox has to outlive what we still do with it
    )
    _started.append(process)
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
    if not line:
        process.kill()
        process.wait()
        raise SandboxError(f"The embedded sandbox did not start (exit status {process.returncode}); state in {home}.")
    facts = json.loads(line)
    key = json.loads((home / "server.json").read_text())["key"]
    return Embedded(facts["url"], key, facts["customer_url"], int(facts["day"]))


def _leave(home: Path, user: int) -> None:
    """Use it no longer; the last user waits until it has ended."""
    os.close(user)
    give_up_at = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < give_up_at and _is_ending(home):
        time.sleep(0.02)
    _started[:] = [process for process in _started if process.poll() is None]


def _is_ending(home: Path) -> bool:
    """Whether the sandbox is there and used by nobody. It has its state locked until it is gone, and ends alone."""
    has_users = not _is_free(home / "users", fcntl.LOCK_EX) and _is_free(home / "users", fcntl.LOCK_SH)
    return not has_users and not _is_free(home / "state.json.lock", fcntl.LOCK_EX)


def _is_free(file: Path, kind: int) -> bool:
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


# Those of this process, kept for their exit status: a process that nobody asks for it stays as a zombie.
_started: list[subprocess.Popen[str]] = []
