"""Dagster's UI, daemon and code server as one child, with the sandbox beside it. The body of `debitura dev`.

Belongs here: starting and stopping processes. Does not: what they do. The child has a process group of its own and is
stopped by us: a Ctrl-C in the terminal reaches this process alone, which then ends the group in an orderly way.
Runs by itself too: `python -m debitura_pipeline.orchestration.dev [PORT]`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.interrupts import INTERRUPTED
from debitura_pipeline.orchestration.children import ends_with_us
from debitura_pipeline.orchestration.endpoint import connect
from debitura_pipeline.orchestration.instance import POSTGRES_VARIABLE, dagster_url, end_dead_runs, open_instance
from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.settings import PROJECT_ROOT, Endpoint, Settings, load_settings
from debitura_pipeline.warehouse.open import private_files
from debitura_pipeline.warehouse.run_lock import exclusive_dev

HOST = "127.0.0.1"
SUPERSEDED = "ignore:Function `dev_command` is superseded"  # by `dg dev`, which wants a project laid out its own way
LOOK_EVERY_S = 0.5
UP_WITHIN_S = 300.0  # it takes a quarter of a minute; a busy machine takes many times that
# How long the group may take to end after each signal, less than interrupts.GRACE_S in all: Dagster's processes end on the
# first, and its steps with them; what is in the middle of a long statement ends on the last, and loses nothing.
STOPPING = ((signal.SIGINT, 3.5), (signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0))


class DevError(DebituraError):
    """Dagster's processes did not come up, or ended by themselves."""


def run_dev(settings: Settings, port: int | None = None, say: Callable[[str], None] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM; exit status 130 then. Raises WarehouseBusy where another one is on in the data directory,
    DevError when the processes end by themselves."""
    with exclusive_dev(settings):
        return _run_dev(settings, port or free_port(), say or _say)


def _run_dev(settings: Settings, port: int, say: Callable[[str], None]) -> int:
    obtain_manifest()
    with private_files(), open_instance(settings) as instance:
        for run_id in end_dead_runs(instance):
            say(f"Run {run_id[:8]} was left behind by a process that is gone; it counts as failed.")
    with _stop_signals() as stopped, connect(settings) as endpoint, _dagster(settings, endpoint, port) as child:
        say(
            "Starting Dagster; this takes a quarter of a minute."
            + (" The sandbox is up." if endpoint.is_simulated else "")
        )
        if _wait_until_up(child, port, stopped):
            say(f"Dagster is up: http://{HOST}:{port} (Ctrl-C stops it)")
        while not stopped():
            if child.poll() is not None:
                raise DevError(f"Dagster ended by itself with status {child.returncode}; its messages are above.")
            time.sleep(LOOK_EVERY_S)
        say("Stopping.")
    return INTERRUPTED


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def child_environment(settings: Settings, endpoint: Endpoint, outer: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: ours, the settings that paths depend on, and the API that we hold open.

    The key goes to the child this way alone: not on a command line, not into a file.
    """
    ours = {
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONWARNINGS": ",".join(filter(None, [outer.get("PYTHONWARNINGS"), SUPERSEDED])),
        "DEBITURA_DATA_DIR": str(settings.data_dir),
        "DEBITURA_ENVIRONMENT": settings.environment,
        "DEBITURA_API_URL": endpoint.base_url,
        "DEBITURA_API_KEY": endpoint.api_key.reveal(),
        "DEBITURA_CUSTOMER_API_URL": endpoint.customer_url or "",
    }
    if settings.dagster_postgres is not None:
        ours[POSTGRES_VARIABLE] = dagster_url(settings.dagster_postgres)
    return {**outer, **ours}


@contextmanager
def _dagster(settings: Settings, endpoint: Endpoint, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`dagster dev` as a child with a process group of its own, stopped at the end whatever happens."""
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(PROJECT_ROOT / "workspace.yaml")]
    quiet = ["--log-level", "warning", "--code-server-log-level", "warning"]
    child = subprocess.Popen(  # noqa: S603 - the command is ours
        [*command, "--host", HOST, "--port", str(port), *quiet],
        cwd=PROJECT_ROOT,
        env=child_environment(settings, endpoint, os.environ),
        start_new_session=True,
        umask=0o077,  # logs and event storage are the owner's alone
    )
    try:
        with ends_with_us(child.pid, is_group=True):
            yield child
    finally:
        stop_group(child)


def stop_group(child: subprocess.Popen[bytes]) -> None:
    """End the child's whole group: politely, then firmly. Returns when none of it is left or nothing more can be done."""
    for number, patience_s in STOPPING:
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        give_up_at = time.monotonic() + patience_s
        while time.monotonic() < give_up_at:
            child.poll()
            if not _group_lives(child.pid):
                return
            time.sleep(LOOK_EVERY_S / 5)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until_up(child: subprocess.Popen[bytes], port: int, stopped: Callable[[], bool]) -> bool:
    """True once the web server answers; False when we are told to stop first."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on loopback
    give_up_at = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < give_up_at:
        if stopped():
            return False
        if child.poll() is not None:
            raise DevError(f"Dagster did not start (status {child.returncode}); its messages are above.")
        with contextlib.suppress(OSError), direct.open(f"http://{HOST}:{port}/server_info", timeout=2):
            return True
        time.sleep(LOOK_EVERY_S)
    raise DevError(f"Dagster's web server did not answer within {UP_WITHIN_S:.0f} s; its messages are above.")


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a flag, for the length of the block."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run_dev(load_settings(), int(sys.argv[1]) if len(sys.argv) > 1 else None))
