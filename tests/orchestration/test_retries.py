"""A scheduled night that fails is started again by Dagster's daemons, so often and no more; what would only fail again is not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.definitions.timestamp import TimestampWithTimezone
from dagster._core.storage.tags import MAX_RETRIES_TAG, RETRY_STRATEGY_TAG, WILL_RETRY_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._scheduler.scheduler import _submit_run_request

from debitura_pipeline.definitions import defs
from debitura_pipeline.errors import (
    ApiError,
    ApiOutage,
    IdentityRefused,
    RateLimitExhausted,
    RefusedError,
    SettingsError,
    ShapeError,
    UnprovenError,
    WarehouseBusy,
)
from debitura_pipeline.orchestration.instance import end_dead_runs, open_instance, prepare_home
from debitura_pipeline.orchestration.keys import POOLS, RAW
from debitura_pipeline.orchestration.retries import is_lasting
from debitura_pipeline.orchestration.runs import PROCESS_TAG
from debitura_pipeline.settings import Settings
from tests.orchestration.conftest import Pointed
from tests.support.sandbox import ROOT, RunningSandbox

PATIENCE_S = 480
SCHEDULE = "nightly_schedule"


@pytest.mark.parametrize(("value", "retries"), [(None, "3"), ("0", "0"), ("10", "10"), ("11", "0"), ("many", "0")])
def test_the_scheduled_night_asks_for_as_many_retries_as_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, value: str | None, retries: str
) -> None:
    """Wrong settings ask for none: the run starts, and says what is wrong."""
    monkeypatch.delenv("DEBITURA_RUN_RETRIES", raising=False)
    if value is not None:
        monkeypatch.setenv("DEBITURA_RUN_RETRIES", value)
    schedule = defs.get_repository_def().get_schedule_def(SCHEDULE)
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = schedule.evaluate_tick(dg.build_schedule_context(instance)).run_requests or ()
    assert (request.tags[MAX_RETRIES_TAG], request.tags[RETRY_STRATEGY_TAG]) == (retries, "ALL_STEPS")


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (SettingsError("x"), True),
        (IdentityRefused("x"), True),
        (RefusedError("x", 401), True),
        (RateLimitExhausted("x"), True),
        (ApiError("the certificate"), True),
        (ApiOutage("x"), False),
        (ShapeError("x"), False),
        (UnprovenError("x"), False),
        (WarehouseBusy("x"), False),
        (OSError("x"), False),
    ],
)
def test_what_would_be_met_again_is_told_from_what_may_pass(error: Exception, lasting: bool) -> None:
    wrapped = RuntimeError("as Dagster wraps it")
    wrapped.__cause__ = error
    assert (is_lasting(error), is_lasting(wrapped)) == (lasting, lasting)


def test_a_retry_is_not_taken_for_dead_by_the_mark_of_the_run_before_it(
    point_at: Pointed, shared_sandbox: RunningSandbox
) -> None:
    """It begins with that run's tags, the mark of its dead process among them, and is a moment old."""
    settings = point_at(shared_sandbox)
    with open_instance(settings) as instance:

        @dg.job
        def empty() -> None:
            pass

        tags = {PROCESS_TAG: "host:999999999:1"}
        dead = instance.create_run_for_job(empty, tags=tags, status=dg.DagsterRunStatus.STARTED)
        assert end_dead_runs(instance) == [dead.run_id]
        retry = instance.create_run_for_job(
            empty, tags=tags, status=dg.DagsterRunStatus.STARTED, parent_run_id=dead.run_id, root_run_id=dead.run_id
        )
        assert end_dead_runs(instance) == []
        instance.add_run_tags(retry.run_id, {PROCESS_TAG: "host:999999998:1"})
        assert end_dead_runs(instance) == [retry.run_id], "its own process is gone, too"


class Daemons:
    """The queue's and the retries' daemon, a turn at a time; code server and run workers are processes, as in `make dev`."""

    def __init__(self, workspace: WorkspaceProcessContext) -> None:
        self._workspace = workspace
        self._daemons = (EventLogConsumerDaemon(), QueuedRunCoordinatorDaemon(interval_seconds=1))

    def turn(self) -> None:
        for daemon in self._daemons:
            list(daemon.run_iteration(self._workspace))

    def start_the_night(self) -> None:
        """What the scheduler does at 02:00, for the first asset of the night alone: no other step is reached here."""
        at = datetime.now(UTC)
        location = self._workspace.create_request_context().get_code_location("debitura")
        (repository,) = location.get_repositories().values()
        schedule = repository.get_schedule(SCHEDULE)
        asked = location.get_schedule_execution_data(
            self._workspace.instance,
            repository.handle,
            SCHEDULE,
            TimestampWithTimezone(at.timestamp(), "UTC"),
            log_key=None,
        )
        (whole,) = asked.run_requests or ()
        request = dg.RunRequest(tags=dict(whole.tags), asset_selection=[RAW["clients"]], asset_check_keys=[])
        _submit_run_request(request, self._workspace, schedule, at, logging.getLogger("test"), None)


@contextmanager
def daemons(settings: Settings) -> Iterator[tuple[dg.DagsterInstance, Daemons]]:
    with dg.DagsterInstance.from_config(str(prepare_home(settings))) as instance:
        target = ModuleTarget("debitura_pipeline.definitions", None, str(ROOT), "debitura")
        with WorkspaceProcessContext(instance, target) as workspace:
            yield instance, Daemons(workspace)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")  # Dagster's own
def test_a_failed_night_is_started_again_by_the_daemons_and_not_for_ever(
    sandbox_factory: Callable[..., RunningSandbox], point_at: Pointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault at 02:00 cost the day: nothing tried again before the next night. The fault is one that is met at once."""
    sandbox = sandbox_factory(clients=1, cases=5, transactions=5)
    monkeypatch.setenv("DEBITURA_RUN_RETRIES", "1")
    settings = point_at(sandbox)
    (settings.data_dir / "landing").mkdir(parents=True)
    (settings.data_dir / "landing" / "clients").write_text("no folder")
    with daemons(settings) as (instance, daemon):
        daemon.turn()
        daemon.start_the_night()
        give_up_at = time.monotonic() + PATIENCE_S
        runs: list[dg.DagsterRun] = []
        while len(runs) < 2 or not all(run.is_finished for run in runs):
            assert time.monotonic() < give_up_at, [(run.run_id, run.status) for run in runs]
            daemon.turn()
            time.sleep(0.2)
            runs = [record.dagster_run for record in instance.get_run_records()]
        for _ in range(3):
            daemon.turn()
        retry, first = instance.get_runs()
        assert instance.get_runs_count() == 2, "one retry was asked for"
        slots = [instance.event_log_storage.get_concurrency_info(pool).active_slot_count for pool in POOLS]
    assert [run.status for run in (first, retry)] == [dg.DagsterRunStatus.FAILURE] * 2
    assert (first.tags[WILL_RETRY_TAG], retry.tags[WILL_RETRY_TAG]) == ("true", "false")
    assert retry.parent_run_id == first.run_id
    assert retry.step_keys_to_execute is None, "all steps"
    assert retry.tags[PROCESS_TAG] != first.tags[PROCESS_TAG]
    assert slots == [0] * len(POOLS)
