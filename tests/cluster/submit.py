"""Request a night of each partner as the scheduler would: `python -m tests.cluster.submit SOCKET NIGHT`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.timestamp import TimestampWithTimezone
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.daemon import get_default_daemon_logger
from dagster._scheduler.scheduler import _submit_run_request

from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.settings import load_common

NIGHT_TAG = "cluster/night"


def main(socket: str, night: str) -> None:
    """All at once: the queue and the workers see to the rest."""
    settings, at = load_common(), datetime.now(UTC)
    target = GrpcServerTarget(host="localhost", port=None, socket=socket, location_name="debitura")
    with open_instance(settings) as instance, WorkspaceProcessContext(instance, target) as workspace:
        location = workspace.create_request_context().get_code_location("debitura")
        (repository,) = location.get_repositories().values()
        for name in settings.serves:
            schedule = repository.get_schedule(f"nightly_{name}")
            asked = location.get_schedule_execution_data(
                instance,
                repository.handle,
                schedule.name,
                TimestampWithTimezone(at.timestamp(), "UTC"),
                log_key=None,
            )
            (whole,) = asked.run_requests or ()
            request = dg.RunRequest(partition_key=whole.partition_key, tags={**whole.tags, NIGHT_TAG: night})
            _submit_run_request(request, workspace, schedule, at, get_default_daemon_logger("cluster"), None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
