"""`debitura sandbox serve`: options, readiness, and the server's own process.

Belongs here: the command line of the sandbox. Does not: HTTP. Called by `python -m debitura_sandbox`, by the
console command, and by `embedded.py` and the tests, which start it as a process of its own and read its first line.
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
from debitura_sandbox.server.server import listen, run
from debitura_sandbox.world import codes
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import WorldOptions

MIB = 2**20
SIZES = {
    "seed": "chooses the world",
    "clients": "clients on the first day",
    "cases": "cases on the first day",
    "transactions": "transactions on the first day",
    "years": "years that lie before the first day",
}
USERS_PAUSE_S = 0.2
OWN_ATTEMPTS, OWN_PAUSE_S = 100, 0.1  # ten seconds: one that is told to stop takes two


@dataclass(frozen=True)
class ServeOptions:
    """Everything that a served sandbox is made from. With a `state_file` that exists, its world options count."""

    world: WorldOptions = field(default_factory=WorldOptions)
    app: AppOptions = field(default_factory=AppOptions)
    port: int = 0
    state_file: Path | None = None
    server_file: Path | None = None
    makes_ahead: bool = True
    ends_with_stdin: bool = False
    ends_with_users: Path | None = None


def main(options: ServeOptions) -> None:
    """Serve until stopped. Prints one line of JSON (url, key's name in the header, pid) once requests are answered."""
    listener, file = listen(options.port), options.state_file
    if file is not None:
        _own(file)
    journal = Journal(options.world) if file is None else Journal.open(file, options.world)
    sandbox = Sandbox(journal, options.app)
    if options.makes_ahead:
        sandbox.make_ahead()
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
    """Tell whoever started this process; where that process is gone meanwhile, nobody is told."""
    try:
        print(line, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at exit


def _own(state_file: Path) -> None:
    """Wait until no other sandbox has this state; it is ours from then on, until this process ends."""
    state_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(state_file.with_name(f"{state_file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(OWN_ATTEMPTS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(OWN_PAUSE_S)
    raise SystemExit(f"Another sandbox uses {state_file}. Stop it, or choose another --state.")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
    draft.replace(path)


def _end(options: ServeOptions) -> threading.Event | None:
    """An event that is set when those for whom this process serves are gone, however they went."""
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
            server_file.unlink(missing_ok=True)  # nobody is to attach to a server that is about to stop
        closed.set()

    threading.Thread(target=watch, name="users", daemon=True).start()
    return closed


def _await_no_user(users: Path) -> None:
    """Each user shares a lock on the file. It is ours when all are gone, and stays so: whoever comes now waits for our end."""
    handle = os.open(users, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(USERS_PAUSE_S)


def read_arguments(arguments: Sequence[str] | None = None) -> ServeOptions:
    """Options from the command line."""
    world, app = WorldOptions(), AppOptions()
    parser = argparse.ArgumentParser(
        prog="debitura sandbox serve",
        description="Serve the simulated API on 127.0.0.1.",
        epilog="Example:  debitura sandbox serve --port 8080 --clients 5 --cases 50 --transactions 100",
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="0 takes a free one")
    for name, what in SIZES.items():
        add(f"--{name}", type=int, default=getattr(world, name), metavar="N", help=f"{what}; %(default)s if not given")
    add("--open-share", type=float, help="of the cases on the first day, e.g. 0.1; as ages have it if not given")
    add("--unsettled-share", type=float, help="of the transactions on the first day, e.g. 0.04")
    add("--start", default=world.start, metavar="DATE", help="first day of the world, e.g. %(default)s")
    add(
        "--mode",
        choices=(codes.PAY_WHEN_PAID, codes.CONFIRMED_PIPELINE),
        default=world.mode,
        help="when a fee may be invoiced",
    )
    add("--archived-rows-vanish", action="store_true", help="rows of archived clients leave the listings")
    add("--summary-ignores-dates", action="store_true", help="totals of transactions do not follow the date filter")
    add("--ties-shuffle", action="store_true", help="rows of the same instant change places from request to request")
    add("--production", action="store_true", help="test-only operations answer 403")
    add("--key", default=os.environ.get("DEBITURA_SANDBOX_KEY", DEFAULT_KEY), help="the XApiKey that it accepts")
    add("--no-rate-limit", action="store_true", help="answer however many requests come")
    add("--latency-ms", type=float, default=0.0, metavar="MS", help="answer so much later")
    add("--cache-mib", type=int, default=app.cache_bytes // MIB, help="memory for pages made ahead")
    add(
        "--refuse-local-webhooks",
        action="store_true",
        help="as the real API: no subscription of an address of this machine",
    )
    add(
        "--webhook-delay-scale",
        type=float,
        default=1.0,
        metavar="X",
        help="of the pauses between deliveries; 0.01 for tests",
    )
    add("--no-make-ahead", action="store_true", help="write rows when first asked for")
    add(
        "--state", "--data-dir-state", type=Path, metavar="FILE", help="remember the world here; its options then count"
    )
    add("--server-file", type=Path, metavar="FILE", help="write url, pid and key here while serving")
    add("--ends-with-users", type=Path, metavar="FILE", help="stop when nobody has a shared lock on this file")
    add("--ends-with-stdin", action="store_true", help="stop when standard input closes")
    try:
        return from_namespace(parser.parse_args(arguments))
    except ValueError as fault:
        return parser.error(str(fault))


def from_namespace(given: argparse.Namespace) -> ServeOptions:
    """Parsed arguments as options."""
    values: dict[str, Any] = vars(given)
    flags: dict[str, Any] = {
        "archived_rows_remain": not given.archived_rows_vanish,
        "is_test_environment": not given.production,
    }
    chosen: dict[str, Any] = {each.name: flags.get(each.name, values.get(each.name)) for each in fields(WorldOptions)}
    world = WorldOptions(**chosen)
    app = AppOptions(
        key=given.key,
        has_rate_limit=not given.no_rate_limit,
        latency_ms=given.latency_ms,
        cache_bytes=given.cache_mib * MIB,
        accepts_local_webhooks=not given.refuse_local_webhooks,
        webhook_delay_scale=given.webhook_delay_scale,
    )
    return ServeOptions(
        world,
        app,
        given.port,
        given.state,
        given.server_file,
        not given.no_make_ahead,
        given.ends_with_stdin,
        given.ends_with_users,
    )
