"""The command line of `debitura sandbox serve` and `python -m debitura_sandbox serve`, and the server's main process.

`embedded.py` and tests start it as a child process and read its first line of output, which is JSON.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from debitura_sandbox.api.app import Sandbox
from debitura_sandbox.api.context import DEFAULT_KEY, AppOptions
from debitura_sandbox.api.undocumented import Undocumented
from debitura_sandbox.server.server import listen, run
from debitura_sandbox.world import codes
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import WorldOptions

MIB = 2**20
SIZES = {
    "seed": "seed of the random data",
    "clients": "number of clients on the first day",
    "cases": "number of cases on the first day",
    "transactions": "number of transactions on the first day",
    "years": "years of history before the first day",
}
USERS_PAUSE_S = 0.2
LOCK_ATTEMPTS, LOCK_PAUSE_S = 100, 0.1  # ten seconds: another sandbox takes two to stop


@dataclass(frozen=True)
class ServeOptions:
    """Options of a served sandbox. If `state_file` exists, its world options take precedence.

    `ends_with_users`: a file; the server stops when nobody holds a shared lock on it.
    """

    world: WorldOptions = field(default_factory=WorldOptions)
    app: AppOptions = field(default_factory=AppOptions)
    port: int = 0
    state_file: Path | None = None
    server_file: Path | None = None
    prerenders: bool = True
    ends_with_stdin: bool = False
    ends_with_users: Path | None = None


def main(options: ServeOptions) -> None:
    """Serve until stopped. Prints one line of JSON (url, customer_url, pid, day) once it is ready."""
    listener, file = listen(options.port), options.state_file
    if file is not None:
        _lock(file)
    journal = Journal(options.world) if file is None else Journal.open(file, options.world)
    sandbox = Sandbox(journal, options.app)
    if options.prerenders:
        sandbox.prerender()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    facts = {"url": url, "customer_url": f"{url}/customer", "pid": os.getpid(), "day": journal.world.day}
    if options.server_file is not None:
        write_private(options.server_file, json.dumps(facts | {"key": options.app.key}))
    _announce(json.dumps(facts))
    try:
        run(sandbox, listener, _end(options))
    finally:
        if options.server_file is not None:
            options.server_file.unlink(missing_ok=True)


def _announce(line: str) -> None:
    """Print the line for the process that started this one, which may be gone already."""
    try:
        print(line, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes standard output once more at exit


def _lock(state_file: Path) -> None:
    """Wait until no other sandbox uses this state file, and lock it until this process ends."""
    state_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(state_file.with_name(f"{state_file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
    raise SystemExit(f"Another sandbox is using {state_file}. Stop it, or choose another --state.")


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, mode 0600. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
    draft.replace(path)


def _end(options: ServeOptions) -> threading.Event | None:
    """An event that is set when all users of this process are gone; None if it does not wait for users."""
    users, server_file = options.ends_with_users, options.server_file
    if users is None and not options.ends_with_stdin:
        return None
    closed = threading.Event()

    def watch() -> None:
        if users is not None:
            _await_no_user(users)
        else:
            while os.read(0, 1_024):
                pass
        if server_file is not None:
            server_file.unlink(missing_ok=True)  # prevents new users of a server that is about to stop
        closed.set()

    threading.Thread(target=watch, name="users", daemon=True).start()
    return closed


def _await_no_user(users: Path) -> None:
    """Wait for an exclusive lock on the file, which users hold as shared. It is kept, so new users wait until this ends."""
    handle = os.open(users, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(USERS_PAUSE_S)


def read_arguments(arguments: Sequence[str] | None = None) -> ServeOptions:
    """Parse the command line. Prints the error and exits with status 2 if it is invalid."""
    world, app = WorldOptions(), AppOptions()
    parser = argparse.ArgumentParser(
        prog="debitura sandbox serve",
        description="Serve the simulated API on 127.0.0.1.",
        epilog="Example:  debitura sandbox serve --port 8080 --clients 5 --cases 50 --transactions 100",
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="port to listen on; 0 chooses a free one")
    for name, what in SIZES.items():
        add(f"--{name}", type=int, default=getattr(world, name), metavar="N", help=f"{what} (default: %(default)s)")
    add("--open-share", type=float, help="share of open cases on the first day, e.g. 0.1; by default, ages decide")
    add("--unsettled-share", type=float, help="share of unsettled transactions on the first day, e.g. 0.04")
    add("--start", default=world.start, metavar="DATE", help="first day of the world, e.g. %(default)s")
    add(
        "--mode",
        choices=(codes.PAY_WHEN_PAID, codes.CONFIRMED_PIPELINE),
        default=world.mode,
        help="when a fee may be invoiced",
    )
    add("--archived-rows-vanish", action="store_true", help="remove rows of archived clients from the listings")
    add("--summary-ignores-dates", action="store_true", help="ignore the date filter in totals of transactions")
    add("--ties-shuffle", action="store_true", help="reorder rows with equal instants from request to request")
    add("--production", action="store_true", help="answer 403 to operations of the test environment")
    add("--key", default=os.environ.get("DEBITURA_SANDBOX_KEY", DEFAULT_KEY), help="the API key (XApiKey) to accept")
    add("--no-rate-limit", action="store_true", help="disable rate limits")
    add("--latency-ms", type=float, default=0.0, metavar="MS", help="delay of each response")
    add("--cache-mib", type=int, default=app.cache_bytes // MIB, help="memory for prerendered pages")
    add(
        "--undocumented",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an answer that the API does not document, e.g. key_life_s=0; may be repeated; NAME is one of "
        + ", ".join(each.name for each in fields(Undocumented)),
    )
    add(
        "--refuse-local-webhooks",
        action="store_true",
        help="reject webhook subscriptions of loopback addresses, as the real API does",
    )
    add(
        "--webhook-delay-scale",
        type=float,
        default=1.0,
        metavar="X",
        help="factor of the pauses between webhook deliveries; 0.01 for tests",
    )
    add("--no-make-ahead", action="store_true", help="render rows on demand instead of at the start")
    add(
        "--state",
        "--data-dir-state",
        type=Path,
        metavar="FILE",
        help="file to persist the world in; its options take precedence",
    )
    add("--server-file", type=Path, metavar="FILE", help="write url, pid and key here while serving")
    add("--ends-with-users", type=Path, metavar="FILE", help="stop when nobody holds a shared lock on this file")
    add("--ends-with-stdin", action="store_true", help="stop when standard input closes")
    try:
        return from_namespace(parser.parse_args(arguments))
    except ValueError as fault:
        return parser.error(str(fault))


def from_namespace(arguments: argparse.Namespace) -> ServeOptions:
    """Parsed arguments as options."""
    values: dict[str, Any] = vars(arguments)
    flags: dict[str, Any] = {
        "archived_rows_remain": not arguments.archived_rows_vanish,
        "is_test_environment": not arguments.production,
    }
    chosen: dict[str, Any] = {each.name: flags.get(each.name, values.get(each.name)) for each in fields(WorldOptions)}
    world = WorldOptions(**chosen)
    app = AppOptions(
        key=arguments.key,
        has_rate_limit=not arguments.no_rate_limit,
        latency_ms=arguments.latency_ms,
        cache_bytes=arguments.cache_mib * MIB,
        accepts_local_webhooks=not arguments.refuse_local_webhooks,
        webhook_delay_scale=arguments.webhook_delay_scale,
        undocumented=Undocumented.read(arguments.undocumented),
    )
    return ServeOptions(
        world,
        app,
        arguments.port,
        arguments.state,
        arguments.server_file,
        not arguments.no_make_ahead,
        arguments.ends_with_stdin,
        arguments.ends_with_users,
    )
