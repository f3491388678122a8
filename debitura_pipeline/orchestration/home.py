"""DAGSTER_HOME without importing Dagster, which takes seconds: `dagster.yaml`, storage, and the process tag of runs.

A `dagster.yaml` that was changed by hand is left alone. `instance.py` opens the instance.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.settings import PROJECT_ROOT, Secret, Settings
from debitura_pipeline.warehouse.postgres.connection import WAIT_S, connect, server_label

# The queue on which a run was put. A run that has it, and no process yet, waits for a worker (`workers/`).
QUEUE_TAG = "debitura/queue"
# The top-level settings that Dagster accepts. Dagster itself checks the rest.
ROOT_NAMES = frozenset(
    """auto_materialize backfills code_servers compute_logs concurrency defs_state_storage event_log_storage freshness
    instance_class local_artifact_storage nux python_logs retention run_coordinator run_launcher run_monitoring run_queue
    run_retries run_storage schedule_storage scheduler schedules secrets sensors storage telemetry""".split()  # noqa: SIM905
)
REWRITTEN = "Without the file, the next run writes one."

TEMPLATE = """\
# Dagster's instance for the pipeline. Written once; yours to change. Storage is SQLite beside this file.
telemetry:
  enabled: false
nux:
  enabled: false
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config:  # a run whose turn comes while the code server is being started again goes back into the queue
    max_user_code_failure_retries: 30
    user_code_failure_retry_delay: 10
concurrency:
  runs:
    max_concurrent_runs: 3  # each is a process of its own
  pools:
    default_limit: 1  # `warehouse` and `debitura_api`: one step at a time
    granularity: op
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  poll_interval_seconds: 30
  free_slots_after_run_end_seconds: 30
run_retries:
  enabled: true
  max_retries: 0  # a run asks for more by its tag dagster/max_retries, as the scheduled night does (DEBITURA_RUN_RETRIES)
retention:  # in days; the sensor ticks every half minute
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 7
      failure: 30
      success: 90
schedules:
  use_threads: true
  num_workers: 2
sensors:
  use_threads: true
  num_workers: 2
"""

# What differs where an instance serves all partners of a partners file.
COORDINATOR = "run_coordinator:\n  module: dagster._core.run_coordinator\n  class: QueuedRunCoordinator\n"
PARTNERS_COORDINATOR = """\
run_coordinator:  # tags each run with its partner
  module: debitura_pipeline.orchestration.run_queue
  class: PartnerRunCoordinator
"""
LIMITS = """\
    max_concurrent_runs: 3  # each is a process of its own
  pools:
    default_limit: 1  # `warehouse` and `debitura_api`: one step at a time
    granularity: op
"""
PARTNERS_LIMITS = """\
    max_concurrent_runs: 4  # on this machine; each is a process of its own
    tag_concurrency_limits:  # one at a time for each partner's key and warehouse; a run that waits takes no place
      - key: debitura/warehouse
        value:
          applyLimitPerUniqueValue: true
        limit: 1
"""
MONITORING = "run_monitoring:\n  enabled: true\n"
# Two days for a run that hangs: rate limits may stretch a first load over more than one.
PARTNERS_MONITORING = f"{MONITORING}  max_runtime_seconds: 172800\n"

# What is added where workers execute the runs (`workers/`): the launcher is loaded by name, and only then.
START_TIMEOUT = "  start_timeout_seconds: 300\n"
WORKERS_START_TIMEOUT = "  start_timeout_seconds: 86400  # a run may wait for a worker that is busy\n"
WORKERS_LAUNCHER = """\
run_launcher:  # puts runs on the queue in DEBITURA_CELERY_BROKER, from which each `debitura worker` takes one at a time
  module: debitura_pipeline.workers.launcher
  class: QueueLauncher
"""

# SHA-256 of the `dagster.yaml` that earlier versions wrote. If unchanged, it is replaced by the current one.
EARLIER = {
    "5f1a0ca9963fec66029ecfd1af827978449da9bd7c9c5ad88b188ec3abd7d8e7",  # before run_retries
    "d7e0dbf16246369861ee67350adeca45e7af532cf1fc923aacfb31bad9b7d196",  # the same on Postgres
    # On Postgres, before sessions in UTC: of one partner, of all, and of both with workers.
    "e66903509d07eb5f4f5ed6f2fb2ed8e3a8664e8d643d0de07005b129f35aa6a8",
    "d45e9c7cbc2eb5dc0d0afc0f33d210627b45fa28ad6b994a2211eaa6c3df520b",
    "2967d29e9566cabdb0625679b0e949cb59ce0af50ca2d201bc284a39282e5790",
    "6ae1ee6c19449d600ca91a956bc2ddc81427a422defcd14c9ebee09e5dd164f2",
}

POSTGRES_VARIABLE = "DAGSTER_POSTGRES_URL"
POSTGRES_TEMPLATE = PROJECT_ROOT / "deploy" / "dagster.yaml"
CONFIG = "dagster.yaml"


class InstanceError(DebituraError):
    """Dagster's instance cannot be configured as the settings require."""


def write_config(settings: Settings) -> None:
    """Write `dagster.yaml`, unless there is a customised one. Raises InstanceError if that one cannot be used."""
    config = settings.dagster_home / CONFIG
    wanted = _template(settings)
    if read_config(settings) is None and (not config.exists() or config.read_text() != wanted):
        write_private_atomically(config, wanted.encode(), fsync=False)


def read_config(settings: Settings) -> dict[str, Any] | None:
    """The parsed content of a customised `dagster.yaml`; None if there is none or it was written by this program.

    Raises InstanceError if it is invalid, or does not use DAGSTER_POSTGRES_URL although that is set.
    """
    config = settings.dagster_home / CONFIG
    try:
        found = config.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InstanceError(f"{config} cannot be read: {why}.", cure=REWRITTEN) from None
    if found in _templates() or hashlib.sha256(found.encode()).hexdigest() in EARLIER:
        return None
    if settings.dagster_postgres is not None and POSTGRES_VARIABLE not in found:
        raise InstanceError(
            f"{POSTGRES_VARIABLE} is set, but {config}, which was changed by hand, does not use it.",
            cure="Add the section `storage` of deploy/dagster.yaml to it, or remove the file.",
        )
    return _parsed(config, found)


def _parsed(config: Path, text: str) -> dict[str, Any]:
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise InstanceError(
            f"{config}{line}: is not valid YAML ({getattr(error, 'problem', None) or 'it cannot be parsed'}).",
            cure=f"Correct that line. {REWRITTEN}",
        ) from None
    if not isinstance(parsed, dict | None):
        raise InstanceError(f"{config} is not a mapping of settings.", cure=f"Correct it. {REWRITTEN}")
    unknown = sorted(str(name) for name in (parsed or {}) if name not in ROOT_NAMES)
    if unknown:
        raise InstanceError(
            f"{config}: Dagster knows no setting {', '.join(unknown)}.", cure=f"Correct its name. {REWRITTEN}"
        )
    return parsed or {}


def check_database(dsn: Secret, wait_s: float = WAIT_S) -> None:
    """Check that Dagster can store its tables there. Raises WarehouseError if the login fails, InstanceError if privileges
    are missing."""
    with connect(dsn, "look at Dagster's storage", read_only=True, wait_s=wait_s) as connection:
        connection.execute("RESET search_path")
        may_create, may_write = connection.execute(_RIGHTS).fetchone() or (False, False)
    if not may_create and not may_write:
        raise InstanceError(
            f"Postgres at {server_label(dsn)}: the user of {dsn.variable} may not create tables there.",
            cure="As an administrator, run GRANT CREATE ON SCHEMA public TO that user in that database, or create a separate "
            "database for Dagster.",
        )


def _template(settings: Settings) -> str:
    text = TEMPLATE if settings.dagster_postgres is None else POSTGRES_TEMPLATE.read_text()
    text = for_partners(text) if settings.serves else text
    return for_workers(text) if settings.work_queue is not None else text


def _templates() -> list[str]:
    ours = [TEMPLATE, POSTGRES_TEMPLATE.read_text()]
    ours = [*ours, *map(for_partners, ours)]
    return [*ours, *map(for_workers, ours)]


def for_partners(text: str) -> str:
    """The `dagster.yaml` of an instance that serves several partners, from that of a single one. Raises ValueError where a part
    that has to be replaced is not in it."""
    parts = ((COORDINATOR, PARTNERS_COORDINATOR), (LIMITS, PARTNERS_LIMITS), (MONITORING, PARTNERS_MONITORING))
    return _with_parts(text, parts)


def for_workers(text: str) -> str:
    """The `dagster.yaml` of an instance whose runs are executed by workers. Raises ValueError as `for_partners`."""
    return _with_parts(text, ((START_TIMEOUT, WORKERS_START_TIMEOUT),)) + WORKERS_LAUNCHER


def _with_parts(text: str, parts: Iterable[tuple[str, str]]) -> str:
    for old, new in parts:
        if old not in text:
            raise ValueError(f"dagster.yaml has no part {old!r}")
        text = text.replace(old, new)
    return text


@contextmanager
def postgres_environment(settings: Settings) -> Iterator[None]:
    """Set DAGSTER_POSTGRES_URL in the environment within the block, where Dagster looks for it, even if it is from `.env`."""
    if settings.dagster_postgres is None:
        yield
        return
    use_utc_sessions()  # also for a `dagster.yaml` that was changed by hand
    before = os.environ.get(POSTGRES_VARIABLE)
    os.environ[POSTGRES_VARIABLE] = dagster_url(settings.dagster_postgres)
    try:
        yield
    finally:
        if before is None:
            del os.environ[POSTGRES_VARIABLE]
        else:
            os.environ[POSTGRES_VARIABLE] = before


def use_utc_sessions() -> None:
    """Make this process and those that it starts ask Postgres servers for the time zone UTC, as `postgres_storage.py` explains."""
    os.environ["PGTZ"] = "UTC"


def dagster_url(url: Secret) -> str:
    """The URL with the scheme that Dagster's database library accepts."""
    return "postgresql://" + url.reveal().partition("://")[2]


def process_mark(pid: int | None = None) -> str | None:
    """The value of PROCESS_TAG for process `pid` (default: this one); None if it does not exist or is a zombie."""
    pid = os.getpid() if pid is None else pid
    started = "0"
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            facts = stat.read_text().rpartition(")")[2].split()
            if facts[0] in "ZX":
                return None
            started = facts[19]
    except ProcessLookupError:
        return None
    except OSError:  # another user's process: it exists, and is not ours
        pass
    return f"{socket.gethostname()}:{pid}:{started}"


def is_of_living_process(mark: str | None) -> bool:
    """Whether a mark names a live process of this machine. False for processes of other hosts."""
    pid = (mark or "").split(":")[1:2]
    return bool(pid) and pid[0].isdecimal() and process_mark(int(pid[0])) == mark


_RIGHTS = """SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
    CASE WHEN to_regclass('runs') IS NULL THEN false ELSE has_table_privilege(to_regclass('runs'), 'INSERT') END"""
