"""Sensors for webhooks: request a refresh for waiting events, and check the subscriptions every hour.

They read the inbox, the API and Dagster's run records, never the warehouse. Both are level-triggered: what waits, waits until a
run has succeeded.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.incidents.webhook_facts import note_off
from debitura_pipeline.orchestration.jobs import REFRESH, refresh
from debitura_pipeline.orchestration.keys import WEBHOOK_EVENTS
from debitura_pipeline.orchestration.partner_view import Instance
from debitura_pipeline.orchestration.read_failures import NONE, ReadFailures
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.webhooks import HANDLED, SUBSCRIPTIONS, UNUSED
from debitura_pipeline.webhooks.position import InboxState, inbox_state, last_event_at
from debitura_pipeline.webhooks.subscriptions import list_subscriptions
from debitura_pipeline.webhooks.watch import (
    describe_subscriptions,
    overdue_since,
    switched_off,
    uses_webhooks,
)

INBOX_INTERVAL_S = 15
HOUR_S = 3_600
REASON, SWEEP_TAG = "debitura/reason", "debitura/sweep"
STEP = "ops__webhook_events"
# Between the starts of two runs: each run leaves a landing folder and rows in `ops` for every resource that it reads.
BETWEEN_RUNS = timedelta(minutes=1)
AGAIN_AFTER = timedelta(minutes=1)  # for events whose case is not listed yet
# After the n-th failed run in a row: 1, 2, 4, ... minutes, at most half an hour.
FAILURE_PAUSE, MAX_FAILURE_PAUSE = timedelta(minutes=1), timedelta(minutes=30)
COUNTED_OVER, COUNTED = timedelta(days=1), 10
FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dg.sensor(
    name="webhook_inbox",
    job=refresh,
    minimum_interval_seconds=INBOX_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests one run for all webhook events that wait, at most one a minute.",
)
def webhook_inbox(context: dg.SensorEvaluationContext, debitura: Debitura) -> dg.SensorResult | dg.SkipReason:
    """One tick: check what waits in the inbox."""
    now, state = datetime.now(UTC), inbox_state(debitura.settings.data_dir)
    if not state.waiting:
        return dg.SkipReason("No event waits." if state.exists else "There is no inbox: no receiver has run.")
    told_at = datetime.fromisoformat(context.cursor) if context.cursor else None
    told = overdue_check(state, told_at, now)
    if told:
        context.update_cursor(now.isoformat())
    again_at = not_before(context.instance, state)
    if is_in_flight(context.instance):
        return dg.SensorResult(skip_reason=f"{state.waiting} events wait for the run in progress.", asset_events=told)
    if again_at is not None and now < again_at:
        reason = f"{state.waiting} events wait; next attempt at {again_at:%Y-%m-%d %H:%M:%SZ}."
        return dg.SensorResult(skip_reason=reason, asset_events=told)
    request = dg.RunRequest(tags={REASON: f"{state.waiting} webhook events"})
    return dg.SensorResult(run_requests=[request], asset_events=told)


def is_in_flight(instance: Instance) -> bool:
    """Whether a refresh is queued, starting or running."""
    return bool(instance.get_run_records(dg.RunsFilter(job_name=REFRESH, statuses=NOT_FINISHED_STATUSES), limit=1))


def not_before(instance: Instance, state: InboxState) -> datetime | None:
    """When the next run is due; None if at once, as after a quiet minute.

    Later after each failure in a row, and a minute after the end of a run that has looked up events in vain.
    """
    wanted = dg.RunsFilter(job_name=REFRESH, created_after=datetime.now(UTC) - COUNTED_OVER)
    records = instance.get_run_records(wanted, limit=COUNTED)
    ended = [record for record in records if record.dagster_run.is_finished]
    if not ended:
        return None
    last = datetime.fromtimestamp(ended[0].end_time, UTC) if ended[0].end_time else ended[0].update_timestamp
    failures = next((number for number, one in enumerate(ended) if one.dagster_run.status not in FAILED), len(ended))
    if failures:
        return last + min(FAILURE_PAUSE * (1 << (failures - 1)), MAX_FAILURE_PAUSE)
    return ended[0].create_timestamp + BETWEEN_RUNS if state.unread else last + AGAIN_AFTER


def overdue_check(
    state: InboxState, told_at: datetime | None, now: datetime, partner: str | None = None
) -> list[dg.AssetCheckEvaluation]:
    """A failed check once an hour, while events wait for more than an hour. The run that handles them reports a passed one."""
    since = overdue_since(state, now)
    if since is None or (told_at is not None and now - told_at < timedelta(seconds=HOUR_S)):
        return []
    description = f"{state.waiting} events wait, the first since {since:%Y-%m-%d %H:%M} UTC"
    return [evaluation(HANDLED, description, is_passed=False, partner=partner)]


@dg.sensor(
    name="webhook_subscriptions",
    job=refresh,
    minimum_interval_seconds=HOUR_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Checks whether the webhook subscriptions are enabled; requests a run that enables them and reads what was missed.",
)
def webhook_subscriptions(context: dg.SensorEvaluationContext, debitura: Debitura) -> dg.SensorResult | dg.SkipReason:
    """One tick: check the subscriptions. Raises SensorReadError if they could not be read for several ticks."""
    settings = debitura.settings
    if not uses_webhooks(settings, inbox_state(settings.data_dir)):
        return dg.SkipReason(f"{UNUSED}: DEBITURA_WEBHOOK_SECRETS is not set.")
    due_since = _due_since(context)
    try:
        with debitura.endpoint() as endpoint:
            found = list_subscriptions(settings, endpoint)
    except DebituraError as error:
        counted = ReadFailures.of(None if due_since else context.cursor).one_more(
            "The subscriptions could not be read", error
        )
        if due_since is None:
            context.update_cursor(counted.cursor)
        return dg.SkipReason(counted.message)
    off = switched_off(found, last_event_at(settings.data_dir))
    note_off(settings.data_dir, off)
    told = [evaluation(SUBSCRIPTIONS, describe_subscriptions(off, len(found)), is_passed=not off)]
    can_switch_on = "webhooks" in settings.outbound.writes and any(one.is_automatic for one in off)
    if can_switch_on and due_since is None:
        due_since = datetime.now(UTC)
    if due_since is None or was_swept(context.instance, due_since):
        context.update_cursor(NONE.cursor)
        return dg.SensorResult(skip_reason=describe_subscriptions(off, len(found)), asset_events=told)
    context.update_cursor(f"{DUE}{due_since.isoformat()}")
    if is_in_flight(context.instance):
        return dg.SensorResult(skip_reason="A sweep is due once the run in progress has ended.", asset_events=told)
    return dg.SensorResult(run_requests=[sweep_request(len(off))], asset_events=told)


DUE = "sweep due since "


def _due_since(context: dg.SensorEvaluationContext) -> datetime | None:
    """Since when a sweep is due that no run has made yet; None if there is none."""
    cursor = context.cursor or ""
    return datetime.fromisoformat(cursor.removeprefix(DUE)) if cursor.startswith(DUE) else None


def was_swept(instance: Instance, since: datetime) -> bool:
    """Whether a sweep has succeeded since then."""
    wanted = dg.RunsFilter(
        job_name=REFRESH, statuses=[dg.DagsterRunStatus.SUCCESS], tags={SWEEP_TAG: "yes"}, created_after=since
    )
    return bool(instance.get_run_records(wanted, limit=1))


def sweep_request(off: int) -> dg.RunRequest:
    """A run that enables subscriptions and reads what was missed. `off`: number of those that are off."""
    config = {"ops": {STEP: {"config": {"sweep": True}}}}
    reason = f"{off} webhook subscriptions were off" if off else "a sweep is due"
    return dg.RunRequest(run_config=config, tags={REASON: reason, SWEEP_TAG: "yes"})


def evaluation(name: str, description: str, *, is_passed: bool, partner: str | None = None) -> dg.AssetCheckEvaluation:
    """The result of a check of the events, outside of a run."""
    return dg.AssetCheckEvaluation(
        asset_key=WEBHOOK_EVENTS, check_name=name, passed=is_passed, metadata={},
        severity=dg.AssetCheckSeverity.WARN, description=description, partition=partner,
    )  # fmt: skip
