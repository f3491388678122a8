"""Execute one run in this process, which a worker has started: `python -m debitura_pipeline.workers.execute RUN_ID`.

The instance is that of the settings. A partner's secrets are read here, once the run's partner is known, and nowhere else.
Prints what became of the run, as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

import dagster as dg
from dagster._cli.api import _execute_run_command_body
from dagster._core.execution.run_cancellation_thread import start_run_cancellation_thread
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.instance import end_dead_runs, mark_run, open_instance
from debitura_pipeline.orchestration.liveness import run_locks
from debitura_pipeline.orchestration.run_queue import partner_of
from debitura_pipeline.settings import load_common, load_settings, served_partners


@dataclass(frozen=True)
class WorkOutcome:
    """What became of a run. `status`: Dagster's, in lower case; `about`: why this process did not execute it."""

    status: str
    job: str | None = None
    partner: str | None = None
    about: str | None = None


def execute_once(instance: dg.DagsterInstance, run_id: str) -> WorkOutcome:
    """Execute the run, unless it is none of this process's business: over, canceled, or executed by another one."""
    about = _not_ours(instance, run_id)
    if about is None and not run_locks(instance).try_hold(run_id):
        about = "another process executes it"
    if about is None:
        mark_run(instance, run_id)
        about = _not_ours(instance, run_id)  # another process had the lock until now
    if about is not None:
        end_dead_runs(instance)  # the message may have come again because its run's process was killed
        return _outcome(instance, run_id, about)
    thread, over = start_run_cancellation_thread(instance, run_id)
    try:
        _execute_run_command_body(run_id, instance, lambda _: None, set_exit_code_on_failure=True)
    finally:
        over.set()
        thread.join()
    return _outcome(instance, run_id, None)


def _not_ours(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Why the run is not to be begun; None if it is."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        return "Dagster's storage has no such run; do daemon and worker have the same DAGSTER_POSTGRES_URL or DAGSTER_HOME?"
    if run.status is dg.DagsterRunStatus.CANCELING and run_locks(instance).try_hold(run_id):
        instance.report_run_canceled(run, "Canceled before a worker began it.")
        return "it was canceled"
    return None if run.status is dg.DagsterRunStatus.STARTING else f"it is {run.status.value.lower()} already"


def _outcome(instance: dg.DagsterInstance, run_id: str, about: str | None) -> WorkOutcome:
    run = instance.get_run_by_id(run_id)
    if run is None:
        return WorkOutcome("unknown", about=about)
    return WorkOutcome(run.status.value.lower(), run.job_name, partner_of(run.tags), about)


def main() -> int:
    """Returns 0 if the run has ended or is none of this process's business, else 1 or, for wrong settings, 2."""
    out = os.dup(1)
    os.dup2(2, 1)  # what steps print is the log; the line for the worker alone goes there
    setup_interrupt_handlers()
    try:
        with capture_interrupts(), open_instance(load_common() if served_partners() else load_settings()) as instance:
            outcome = execute_once(instance, sys.argv[1])
    except DebituraError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    os.write(out, json.dumps(asdict(outcome)).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
