"""A worker: takes runs, and parts of first loads, from a queue, one at a time, and starts a process for each. Does not import
Dagster.

Celery's thread pool executes the task, which waits for the run's process: this process goes on answering. On SIGTERM or
Ctrl-C the worker takes no more runs and ends its own (`child.py`); on a second one it ends at once.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

from celery import Celery, signals
from celery.exceptions import Reject
from celery.worker import state

from debitura_pipeline.interrupts import INTERRUPTED, left_to_the_program
from debitura_pipeline.settings import WorkQueue
from debitura_pipeline.work_queue.app import PART_TASK, TASK, make_app
from debitura_pipeline.workers.child import RunProcess

FAILED = 1
_RUN_ID = re.compile(r"[0-9a-fA-F-]{1,64}")
_LOAD_ID, _PARTNER = re.compile(r"\d{8}T\d{12}-[a-z]{1,16}"), re.compile(r"[A-Za-z0-9_-]{1,64}")


def run_worker(queue: WorkQueue, say: Callable[[str], None], greeting: str, *, grace_s: float, is_verbose: bool) -> int:
    """Work until SIGTERM or Ctrl-C. `say`: called with `greeting` once the worker listens, and with a line per run.

    Returns an exit status.
    """
    runs = RunProcess(say, queue, is_verbose, grace_s)
    app = make_app(queue.broker)
    _add_task(app, runs)
    with left_to_the_program(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", module=r"celery\."
        )  # of root, which is for pickled messages; of its next version
        ready = _on_ready(runs, say, greeting)
        signals.worker_ready.connect(ready)
        try:
            worker = app.Worker(
                hostname=f"debitura@{socket.gethostname()}.{os.getpid()}",
                queues=[queue.name],
                pool="threads",
                concurrency=1,
                loglevel="WARNING",
                quiet=True,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            )
            worker.start()
        finally:
            signals.worker_ready.disconnect(ready)
            runs.kill()
    return INTERRUPTED if runs.is_stopping.is_set() else worker.exitcode or FAILED


def _add_task(app: Celery, runs: RunProcess) -> None:
    def take(execute: Callable[[], None], *, is_sound: bool) -> None:
        if runs.is_stopping.is_set() or not is_sound:
            raise Reject("this worker ends", requeue=is_sound)
        execute()
        if runs.is_stopping.is_set():
            state.should_stop = 0

    def execute_run(run_id: str) -> None:
        take(lambda: runs.execute(run_id), is_sound=_RUN_ID.fullmatch(run_id) is not None)

    def read_part(load_id: str, number: int, partner: str | None) -> None:
        is_sound = _LOAD_ID.fullmatch(load_id) is not None and isinstance(number, int)
        is_sound &= partner is None or _PARTNER.fullmatch(partner) is not None
        take(lambda: runs.read_part(load_id, number, partner), is_sound=is_sound)

    app.task(name=TASK)(execute_run)
    app.task(name=PART_TASK)(read_part)


def _on_ready(runs: RunProcess, say: Callable[[str], None], greeting: str) -> Callable[..., None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        if runs.is_stopping.is_set():
            runs.kill()
            os._exit(INTERRUPTED)
        runs.stop()
        if not runs.is_busy:
            state.should_stop = 0

    def ready(**_: Any) -> None:  # also after each outage of Redis
        if signal.getsignal(signal.SIGTERM) is stop:
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        say(greeting)

    return ready
