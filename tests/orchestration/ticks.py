"""A daemon by hand for tests of the sensor: it ticks, adds what is to be added, and runs what is asked for when told to.

Belongs here: that daemon and what tests ask of it. Does not: assertions about onboarding.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from debitura_pipeline.definitions import defs
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.orchestration import sensors
from debitura_pipeline.orchestration.jobs import ONBOARD
from debitura_pipeline.orchestration.keys import RAW
from debitura_pipeline.orchestration.progress import run_config_of
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.sandbox import RunningSandbox


class Ticks:
    """A daemon by hand: evaluates the sensor, adds what it asks to add, keeps the runs it asks for."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance, self.settings = instance, settings
        self._patch = monkeypatch
        self._cursor: str | None = None

    def tick(self, later: timedelta = timedelta()) -> tuple[list[str], str]:
        """Partition keys of the runs asked for, and the reason where none were; `later`: by this much."""

        class Clock(datetime):
            @classmethod
            def now(cls, tz: object = None) -> Any:
                return datetime.now(UTC) + later

        self._patch.setattr(sensors, "datetime", Clock)
        with dg.build_sensor_context(
            instance=self.instance, resources={"debitura": Debitura()}, cursor=self._cursor
        ) as context:
            outcome: Any = sensors.new_clients(context)
            self._cursor = context.cursor  # a tick that raises leaves it as it was, as in the daemon
        if isinstance(outcome, dg.SkipReason):
            return [], str(outcome.skip_message)
        for request in outcome.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        message = outcome.skip_reason.skip_message if outcome.skip_reason else ""
        self.requests = list(outcome.run_requests or [])
        assert len(self.requests) <= 1, "those that are due together are one run's"
        return [key for request in self.requests for key in keys_of(request.run_config)], str(message)

    def run(self, *keys: str, due: int = 0) -> dg.ExecuteInProcessResult:
        """Run the onboarding job for these clients, as the daemon would."""
        job = defs.resolve_job_def(ONBOARD)
        config = run_config_of(keys, due)
        return job.execute_in_process(instance=self.instance, run_config=config, raise_on_error=False)

    def choose(self, key: str) -> dg.ExecuteInProcessResult:
        """Run the job for one partition, as a person would who picks it in the UI."""
        job = defs.resolve_job_def(ONBOARD)
        return job.execute_in_process(instance=self.instance, partition_key=key, raise_on_error=False)

    def night(self) -> dg.ExecuteInProcessResult:
        """What of a night concerns onboarding: the raw tables, one after the other.

        A second after whatever was added: the API's clock is known by its Date header, which has no fractions.
        """
        time.sleep(1.1)
        job = defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(instance=self.instance, asset_selection=list(RAW.values()))

    def leave_run(self, key: str, status: dg.DagsterRunStatus) -> None:
        """A run record as another process would have left it."""
        job = defs.resolve_job_def(ONBOARD)
        config = run_config_of([key], 1)
        run = self.instance.create_run_for_job(job, run_config=config, status=dg.DagsterRunStatus.STARTED)
        if status is dg.DagsterRunStatus.FAILURE:
            self.instance.report_run_failed(run)


def keys_of(config: dict[str, Any]) -> list[str]:
    return list(config["ops"]["onboard_clients"]["config"]["clients"])


def add(sandbox: RunningSandbox, tenant: str, **more: object) -> str:
    added = sandbox.admin("clients", {"tenant": tenant, "cases": 3, "transactions": 4, **more})
    return ClientRef(tenant, added["creditorId"]).key


def states(settings: Settings) -> dict[str, str]:
    with open_warehouse(settings, read_only=True) as warehouse:
        return dict(warehouse.rows("SELECT partition_key, state FROM ops.onboarding"))
