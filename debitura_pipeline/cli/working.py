"""Check what `debitura worker` needs before it takes runs, and start it."""

from __future__ import annotations

import logging
import os

from debitura_pipeline import notes
from debitura_pipeline.cli import console
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration.home import check_database
from debitura_pipeline.settings import Settings, WorkQueue, declared, load_common, load_settings, served_partners
from debitura_pipeline.warehouse.postgres.connection import server_label
from debitura_pipeline.work_queue.broker import opened, redis_label


def prepared_worker(queue: WorkQueue, grace_s: float) -> int:
    """Run a worker for `queue`. Raises SettingsError; DebituraError if broker or Dagster's storage cannot be used."""
    if os.environ.get(declared.PARTNER.name):
        raise SettingsError(
            f"A worker executes runs of all partners; leave out --partner and {declared.PARTNER.name}. Example: debitura worker"
        )
    settings = load_common() if served_partners() else load_settings()
    with opened(queue):
        pass
    if settings.dagster_postgres is not None:
        check_database(settings.dagster_postgres)
    from debitura_pipeline.workers.worker import run_worker  # noqa: PLC0415 - Celery is optional

    is_verbose = logging.getLogger(notes.OURS).isEnabledFor(logging.DEBUG)
    return run_worker(queue, console.say, _greeting(queue, settings), grace_s=grace_s, is_verbose=is_verbose)


def _greeting(queue: WorkQueue, settings: Settings) -> str:
    storage = settings.dagster_postgres
    where = f"Postgres at {server_label(storage)}" if storage is not None else str(settings.dagster_home)
    whose = f"{len(settings.serves)} partners" if settings.serves else settings.label
    return (
        f"Taking runs from queue {queue.name} ({redis_label(queue.broker)}), one at a time, for {whose}. "
        f"Dagster's storage: {where}. Ctrl-C ends it."
    )
