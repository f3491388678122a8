"""The sandbox of a data directory: use the running one, or start one for as long as it is needed.

`<data dir>/sandbox` contains `state.json` (options and changes, from which the world is rebuilt), `users` (locked by each user)
and, while it runs, `server.json`.
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

ANSWER_TIMEOUT_S = 60.0  # a sandbox that advances a large world answers late; a dead one refuses the connection at once
CHANGE_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 10.0
MAX_CATCH_UP_DAYS = 30  # per start; the rest is caught up next time
PROJECT_ROOT = Path(__file__).resolve().parents[2]
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy leads back to this machine


class SandboxError(DebituraError):
    """The embedded sandbox could not be started, or refused a change."""


@dataclass(frozen=True)
class Embedded:
    """A running sandbox. `day`: number of days that its world has advanced."""

    url: str
    key: str
    customer_url: str
    day: int


@contextmanager
def running(data_dir: Path, *, advance_days: int = 0, arguments: Sequence[str] = ()) -> Iterator[Embedded]:
    """The sandbox of `data_dir`, advanced by `advance_days` first.

    A running sandbox is used, otherwise one is started as a separate process. It ends with its last user, whoever started it. If
    its clock is ahead of its world by days, the world catches up. `arguments`: further options of `serve` for a start; options of
    the world apply only when it is created. Raises SandboxError.
    """
    home = data_dir / "sandbox"
    for folder in (data_dir, home):  # separately: `parents=True` ignores the mode for parents
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    user = os.open(home / "users", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(user, fcntl.LOCK_SH)  # waits for a sandbox that is ending because its last user has gone
        with _alone(home):
            found = _find(home) or _start(home, arguments)
            found = _moved(found, _days_behind(found))
        found = _moved(found, advance_days)
        yield found
    finally:
        _leave(home, user)


def found(data_dir: Path) -> Embedded | None:
    """The sandbox that is running on `data_dir`, if any. Writes nothing; the sandbox may end at any moment."""
    with suppress(OSError, ValueError, KeyError):
        return _answering(data_dir / "sandbox" / "server.json")
    return None


def is_gone(data_dir: Path) -> bool:
    """For a user of the sandbox: whether its process has ended."""
    return _is_free(data_dir / "sandbox" / "state.json.lock", fcntl.LOCK_EX)  # held as long as the process lives


def revive(data_dir: Path, port: int) -> None:
    """For a user of the sandbox: restart it if it has ended, on `port` if that is free, so that clients' retries reach it.

    Raises SandboxError if it does not start.
    """
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
    """Advance the world of `data_dir`, running or not, and return its day. Raises SandboxError."""
    with running(data_dir, advance_days=days) as sandbox:
        return sandbox.day


def add_client(data_dir: Path, **wanted: Any) -> dict[str, Any]:
    """Add one client; see `add_clients`. Raises SandboxError."""
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
    """Add clients to the world of `data_dir`. Returns `tenant`, `creditorId`, `cases` and `transactions` (counts) of each.

    `tenant`: only used if `count` is 1; otherwise names are generated. Raises SandboxError.
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
    """Sign everything that a client still has to sign. Raises SandboxError."""
    with running(data_dir) as sandbox:
        change(sandbox, "sign", {"tenant": tenant})


def collect_case(sandbox: Embedded, case_id: str, amount: str | None = None, to: str = "Paying") -> None:
    """Let a case be collected: the debtor pays `amount`, or everything. `to`: Paying, Active, Closed:Paid or Closed:NoPayment.

    Raises SandboxError.
    """
    change(sandbox, "collect", {"caseId": case_id, "amount": amount, "to": to})


def follow_link(sandbox: Embedded, url: str) -> str:
    """Open a signing or approval link as the client does, and return its tenant. Raises SandboxError."""
    return str(change(sandbox, "open-link", {"url": url})["tenant"])


def change(sandbox: Embedded, what: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Call the admin API. Raises SandboxError."""
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
    """Days by which the clock is ahead of the world. Without catching up, all payments due since then would look late."""
    health = _call(sandbox.url, sandbox.key, "health", None, ANSWER_TIMEOUT_S)
    return min(int(health["days_behind"]), MAX_CATCH_UP_DAYS)


def _call(url: str, key: str, what: str, wanted: dict[str, Any] | None, timeout_s: float) -> dict[str, Any]:
    body = None if wanted is None else json.dumps(wanted).encode()
    headers = {"XApiKey": key, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/sandbox/{what}", body, headers)  # noqa: S310 (own server on loopback)
    with _DIRECT.open(request, timeout=timeout_s) as answer:
        return dict(json.loads(answer.read()))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let only one process at a time look for a sandbox or start one."""
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _find(home: Path) -> Embedded | None:
    """The sandbox that `server.json` names, if it answers; a stale file is removed."""
    file = home / "server.json"
    try:
        return _answering(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        file.unlink(missing_ok=True)
        return None


def _answering(file: Path) -> Embedded:
    """The sandbox of a `server.json`. Raises OSError, ValueError or KeyError if none answers."""
    facts = json.loads(file.read_text())
    health = _call(facts["url"], facts["key"], "health", None, ANSWER_TIMEOUT_S)
    if health["pid"] != facts["pid"]:
        raise ValueError("another process has its port")
    return Embedded(facts["url"], facts["key"], facts["customer_url"], int(health["day"]))


def _start(home: Path, arguments: Sequence[str]) -> Embedded:
    """Start a sandbox process, which ends by itself once it has no users, even if they were killed."""
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
        start_new_session=True,  # must survive Ctrl-C: this process still needs it to end in order
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
    """Stop using the sandbox; the last user waits until it has ended."""
    os.close(user)
    give_up_at = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < give_up_at and _is_ending(home):
        time.sleep(0.02)
    _started[:] = [process for process in _started if process.poll() is None]


def _is_ending(home: Path) -> bool:
    """Whether the sandbox runs without users, and is therefore ending. It holds the lock of its state until it has ended."""
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


# Processes started by this one. They must be polled for their exit status, or they stay zombies.
_started: list[subprocess.Popen[str]] = []
