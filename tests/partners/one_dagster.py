"""What runs in a process of its own for `test_one_dagster.py`: the nights of two partners at once in one Dagster instance.

Each night is a process, forked before any secret was read, as the code server starts one for each run.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, cast

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.coverage import read_known
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.jobs import FRESHNESS, NIGHTLY, ONBOARD, REFRESH_REPORTS
from debitura_pipeline.orchestration.keys import PARTNER_TAG, PUBLISHED, RAW
from debitura_pipeline.orchestration.partner_view import PartnerView
from debitura_pipeline.orchestration.run_queue import queue_tags
from debitura_pipeline.settings import Settings, load_common

PARTNERS = ("a", "b")


def main() -> None:
    """Print what the instance has afterwards, as JSON."""
    settings = load_common()
    with open_instance(settings):
        pass
    for pid in [_start(settings, name) for name in PARTNERS]:
        os.waitpid(pid, 0)
    with open_instance(settings) as instance:
        found = {name: _facts(instance, name) for name in PARTNERS}
        sys.stdout.write(json.dumps({**found, "launched": _launched(instance), "slots": _slots(instance)}))


def _start(settings: Settings, name: str) -> int:
    """The night and its checks; for `a` also what the sensor requests, which has no partition."""
    pid = os.fork()
    if pid:
        return pid
    try:
        with open_instance(settings) as instance:
            for job in (NIGHTLY, FRESHNESS, ONBOARD)[: 3 if name == "a" else 2]:
                tags = {PARTNER_TAG: name} if job == ONBOARD else {PARTITION_NAME_TAG: name}
                defs.resolve_job_def(job).execute_in_process(
                    instance=instance, tags={**tags, **queue_tags(job, tags)}, raise_on_error=False
                )
    finally:
        os._exit(0)


def _facts(instance: dg.DagsterInstance, name: str) -> dict[str, Any]:
    view = PartnerView(instance, name)
    runs = view.get_run_records(dg.RunsFilter(job_name=NIGHTLY))
    checks = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(RAW["cases"], "freshness"), limit=20
    )
    return {
        "nights": [record.dagster_run.status.value for record in runs],
        "onboarding": [
            record.dagster_run.status.value for record in view.get_run_records(dg.RunsFilter(job_name=ONBOARD))
        ],
        "published": view.get_latest_materialization_event(PUBLISHED) is not None,
        "covered": len(read_known(view).covered),
        "fresh": sorted(
            {check.status.value for check in checks if check.partition == name and check.status.value != "PLANNED"}
        ),
    }


def _launched(instance: dg.DagsterInstance) -> list[list[str]]:
    """Which runs the queue would start while a run of `a` hangs: of a night and checks of `a`, and two nights of `b`."""
    tags = queue_tags(REFRESH_REPORTS, {PARTNER_TAG: "a"})
    job = defs.resolve_job_def(REFRESH_REPORTS)
    instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    for name, wanted in (("a", NIGHTLY), ("a", FRESHNESS), ("b", NIGHTLY), ("b", NIGHTLY)):
        origin = RemoteJobOrigin(
            RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("debitura"), "__repository__"), wanted
        )
        run = instance.create_run_for_job(
            defs.resolve_job_def(wanted), tags={PARTITION_NAME_TAG: name}, remote_job_origin=origin
        )
        instance.run_coordinator.submit_run(SubmitRunContext(run, cast(Any, None)))
    with QueuedRunCoordinatorDaemon(interval_seconds=1) as daemon:
        chosen = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    return sorted([run.tags[PARTNER_TAG], run.job_name] for run in chosen)


def _slots(instance: dg.DagsterInstance) -> list[str]:
    return sorted(instance.event_log_storage.get_concurrency_run_ids())
