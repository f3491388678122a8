"""Run code server, daemon, web server, webhook receiver and sandbox until Ctrl-C, for `debitura dev`.

With a partners file and no partner chosen, one instance serves all partners. The partners' secrets are then kept from Dagster's
programs: each run, and each look of the lookout, reads its own partner's.

The code server listens on a socket in a private folder, because anyone who can connect to it can run code as this user.
Also runs as `python -m debitura_pipeline.supervision.dev [PORT]`.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import dagster as dg

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.errors import WarehouseBusy
from debitura_pipeline.interrupts import INTERRUPTED
from debitura_pipeline.orchestration.failed_runs import FailedRuns
from debitura_pipeline.orchestration.home import POSTGRES_VARIABLE, dagster_url
from debitura_pipeline.orchestration.instance import end_dead_runs, open_instance
from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.orchestration.periodic import periodically
from debitura_pipeline.settings import Endpoint, Settings, load_settings, open_partners
from debitura_pipeline.supervision.programs import CODE_SERVER, HOST, WEB_SERVER, Programs, choose_port
from debitura_pipeline.supervision.sandbox_keeper import SandboxKeeper
from debitura_pipeline.supervision.secret_variables import variables_served
from debitura_pipeline.supervision.supervisor import Supervisor
from debitura_pipeline.warehouse.dagster_processes import DAEMON, refuse_while_dagster_runs
from debitura_pipeline.warehouse.opening import private_umask
from debitura_pipeline.warehouse.process_lock import ProcessLock
from debitura_pipeline.warehouse.run_lock import HOME_FILE, exclusive_dev

CHECK_EVERY_S = 0.5
CHECK_FAILURES_EVERY_S = 3.0
ORPHANS_END_WITHIN_S = 10.0  # the daemon of a `debitura dev` that was killed


def run_dev(settings: Settings, port: int | None = None, say: Callable[[str], None] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM, then return exit status 130.

    Raises WarehouseBusy if another `debitura dev` or Dagster daemon uses the data directory or DAGSTER_HOME, and DevError if
    `port` is in use or a process keeps dying.
    """
    with exclusive_dev(settings):
        _refuse_beside_common(settings)
        refuse_while_dagster_runs(settings, (DAEMON,), ORPHANS_END_WITHIN_S)
        return _run_dev(settings, port, say or _say)


def _run_dev(settings: Settings, port: int | None, say: Callable[[str], None]) -> int:
    chosen = choose_port(port, say)
    url = f"http://{HOST}:{chosen}"
    obtain_manifest()
    with private_umask(), open_instance(settings) as instance:
        for run_id in end_dead_runs(instance):
            say(f"Run {run_id[:8]} was left unfinished by a process that is gone; it is now marked as failed.")
        with (
            _stop_signals() as stopped,
            nullcontext() if settings.serves else open_endpoint(settings) as endpoint,
            _supervised(settings, endpoint, say) as supervisor,
        ):
            sandbox = "The sandbox is up. " if endpoint is not None and endpoint.is_simulated else ""
            say(f"Starting Dagster, which takes about 15 s. {sandbox}Logs: {logs_of(settings)}")
            failures = FailedRuns(instance, url, datetime.now(UTC))
            with periodically(CHECK_FAILURES_EVERY_S, lambda: failures.report(say)):
                _watch(settings, instance, endpoint, supervisor, chosen, say, stopped)
            say("Stopping.")
    return INTERRUPTED


def _watch(
    settings: Settings,
    instance: dg.DagsterInstance,
    endpoint: Endpoint | None,
    supervisor: Supervisor,
    port: int,
    say: Callable[[str], None],
    stopped: Callable[[], bool],
) -> None:
    """Start everything, the code server first, and keep it running until told to stop."""
    is_kept = endpoint is not None and settings.uses_embedded_sandbox
    keeper = SandboxKeeper(settings.data_dir, endpoint, supervisor) if endpoint is not None and is_kept else None
    with (
        tempfile.TemporaryDirectory(prefix="debitura-dev-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        secrets = Path(folder) / "secrets" if settings.serves else None
        if secrets is not None:
            stack.enter_context(variables_served(secrets, _variables_of))
        programs = Programs(Path(folder), port, instance, say, secrets)
        supervisor.start(programs.code_server())
        for program in (programs.receiver(settings), programs.lookout(settings) if settings.serves else None):
            if program is not None:
                supervisor.start(program)
        has_clients = is_announced = False
        while not stopped():
            supervisor.check()
            if keeper is not None:
                keeper.check()
            if not has_clients and supervisor.is_up(CODE_SERVER):
                has_clients = True
                supervisor.start(programs.daemon())
                supervisor.start(programs.web_server())
            if not is_announced and supervisor.is_up(WEB_SERVER):
                is_announced = True
                say(f"Dagster is up: http://{HOST}:{port} (Ctrl-C stops it). Data: {settings.data_dir}")
            time.sleep(CHECK_EVERY_S)


@contextmanager
def _supervised(settings: Settings, endpoint: Endpoint | None, say: Callable[[str], None]) -> Iterator[Supervisor]:
    supervisor = Supervisor(child_environment(settings, endpoint, os.environ), logs_of(settings), say)
    try:
        yield supervisor
    finally:
        supervisor.close()


def logs_of(settings: Settings) -> Path:
    """The folder of the processes' log files."""
    return settings.data_dir / "logs"


def child_environment(settings: Settings, endpoint: Endpoint | None, outer: Mapping[str, str]) -> dict[str, str]:
    """The children's environment: `outer`, the settings that paths depend on, and the API's address and key.

    The key is passed in the environment only, never on a command line or in a file. The embedded sandbox may get another
    address when it is restarted, so each process looks it up in the data directory. With a partners file, the name of the
    partner is passed: each process reads the file itself. Without a name (`endpoint` is None) the instance serves all partners, and
    no variable is passed that a partner's table names.
    """
    ours = {"DAGSTER_HOME": str(settings.dagster_home), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    if settings.serves:
        ours["DEBITURA_PARTNER"] = ""
        outer = {name: value for name, value in outer.items() if name not in open_partners()[0].variables}
    elif settings.partner is not None:
        ours["DEBITURA_PARTNER"] = settings.partner
    else:
        ours |= {"DEBITURA_DATA_DIR": str(settings.data_dir), "DEBITURA_ENVIRONMENT": settings.environment}
        if endpoint is not None and not settings.uses_embedded_sandbox:
            ours["DEBITURA_API_URL"] = endpoint.base_url
            ours["DEBITURA_API_KEY"] = endpoint.api_key.reveal()
            ours["DEBITURA_CUSTOMER_API_URL"] = endpoint.customer_url or ""
    if settings.dagster_postgres is not None:
        ours[POSTGRES_VARIABLE] = dagster_url(settings.dagster_postgres)
    return {**outer, **ours}


def _variables_of(partner: str) -> dict[str, str]:
    """The variables of this process that the partner's table names. Dagster's programs do not get them."""
    users = open_partners()[0].variables
    return {name: os.environ[name] for name in users if partner in users[name] and name in os.environ}


def _refuse_beside_common(settings: Settings) -> None:
    """Raises WarehouseBusy for a partner's own `debitura dev` beside the one that serves all: each night would start twice."""
    if settings.common is None or settings.common.home == settings.dagster_home:
        return
    holder = ProcessLock(settings.common.home.resolve() / HOME_FILE).holder()
    if holder is not None:
        raise WarehouseBusy(f"A `debitura dev` serves all partners: {holder}. Nothing was touched.", pid=holder.pid)


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
    with suppress(OSError):  # keep running when the terminal is gone
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run_dev(load_settings(), int(sys.argv[1]) if len(sys.argv) > 1 else None))
