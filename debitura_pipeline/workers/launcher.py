"""Dagster's run launcher for workers: puts a run's id on a queue, and fails the run if no worker listens there.

In `dagster.yaml`: `run_launcher: {module: debitura_pipeline.workers.launcher, class: QueueLauncher}`. Queue and broker are settings
(DEBITURA_CELERY_QUEUE, DEBITURA_CELERY_BROKER), so that no password is in that file or in Dagster's UI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.home import QUEUE_TAG
from debitura_pipeline.orchestration.instance import GONE
from debitura_pipeline.orchestration.liveness import run_locks
from debitura_pipeline.work_queue.broker import PUT_WITHIN_S, put_run, require_queue


class QueueLauncher(RunLauncher[Any], ConfigurableClass):
    """Launches runs on workers: on the queue that the run's tag `debitura/queue` names, else on that of the settings."""

    put_within_s: ClassVar[float] = PUT_WITHIN_S

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What `dagster.yaml` says."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No configuration: queue and broker are settings."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> QueueLauncher:
        """Called by Dagster."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Put the run on its queue, or fail it with one line that says why that cannot be done."""
        run = context.dagster_run
        try:
            queue = require_queue()
            name = run.tags.get(QUEUE_TAG) or queue.name
            self._instance.add_run_tags(run.run_id, {QUEUE_TAG: name})
            put_run(queue, name, run.run_id, within_s=self.put_within_s)
        except DebituraError as error:
            self._instance.report_run_failed(run, str(error))
            return
        self._instance.report_engine_event(f"Put on queue {name} for the next worker.", run, cls=type(self))

    def terminate(self, run_id: str) -> bool:
        """Cancel a run. Its process looks every ten seconds, and ends in order. Without a process, it is canceled at once.

        The status is set before the lock is looked at, so a worker that takes the run at this moment finds out.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if run_locks(self._instance).dead({run_id}):
            canceling = self._instance.get_run_by_id(run_id)
            if canceling is not None and not canceling.is_finished:
                self._instance.report_run_canceled(canceling, "Canceled while no worker executed it.")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Dagster's monitoring asks, also while the code server, and with it the watchdog, is away."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a process holds the run's lock."""
        if run_locks(self._instance).dead({run.run_id}):
            return CheckRunHealthResult(WorkerStatus.FAILED, GONE)
        return CheckRunHealthResult(WorkerStatus.RUNNING)
