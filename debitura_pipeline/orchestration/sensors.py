"""Sensors: request onboarding runs, delete old runs. They read the API and Dagster's event log, never the warehouse."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.incidents.api_fault import clear_api_fault, note_api_fault
from debitura_pipeline.onboarding.lifecycle import GONE, Decision, decide
from debitura_pipeline.onboarding.reading import read_newest
from debitura_pipeline.orchestration import telling
from debitura_pipeline.orchestration.coverage import KnownClients, read_known
from debitura_pipeline.orchestration.instance import end_dead_runs
from debitura_pipeline.orchestration.jobs import ONBOARD, onboarding
from debitura_pipeline.orchestration.keys import CLIENTS
from debitura_pipeline.orchestration.partner_view import Instance
from debitura_pipeline.orchestration.progress import active_runs, read_progress, run_config_of
from debitura_pipeline.orchestration.read_failures import NONE, ReadFailures
from debitura_pipeline.orchestration.refresh_reports import reports_outdated
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.retention import purge_old_runs
from debitura_pipeline.orchestration.wanted import wanted
from debitura_pipeline.orchestration.webhook_sensors import webhook_inbox, webhook_subscriptions

INTERVAL_S = 30  # one request each: 2,880 of the day's 100,000
REASON, PURPOSE, ACCESS = "debitura/reason", "debitura/purpose", "access"
ACCESS_PAUSE = timedelta(hours=1)
MAX_NAMED = 5  # clients named in a tick's message


@dg.sensor(
    name="new_clients",
    job=onboarding,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests one onboarding run for all new clients that are due, and rechecks unsigned ones.",
)
def new_clients(context: dg.SensorEvaluationContext, debitura: Debitura) -> dg.SensorResult | dg.SkipReason:
    """One tick: compare listed clients and existing partitions with what is done. Raises SensorReadError."""
    now = datetime.now(UTC)
    failures = ReadFailures.of(context.cursor)
    end_dead_runs(context.instance)
    active, known = active_runs(context.instance), read_known(context.instance)
    progress = read_progress(context.instance, now, active, known.covered)

    def is_known(key: str) -> bool:
        return key in known.covered or (key in progress and progress[key].state != GONE)

    try:
        with debitura.endpoint() as endpoint:
            listed = read_newest(debitura.settings, endpoint, is_known)
    except DebituraError as error:
        note_api_fault(debitura.settings.data_dir, error, now)
        counted = failures.one_more("The clients could not be read, so nothing was decided", error)
        context.update_cursor(counted.cursor)
        return dg.SkipReason(counted.message)
    clear_api_fault(debitura.settings.data_dir)
    context.update_cursor(NONE.cursor)
    decision = decide(listed, progress, now, known.covered, len(active))
    is_idle = not active and not decision.run
    return result_of(decision, known.untried if is_idle and is_access_due(context.instance, known, now) else 0)


def result_of(decision: Decision, untried: int) -> dg.SensorResult:
    """What a tick asks for. `untried`: clients whose access is to be tried if there is nothing else to do."""
    added = [CLIENTS.build_add_request(list(decision.new))] if decision.new else []
    if decision.run:
        request = dg.RunRequest(
            run_config=run_config_of([client.key for client in decision.run], decision.due), tags=_tags(decision)
        )
    elif untried:
        reason = f"access of {untried} clients was never tried"
        request = dg.RunRequest(run_config=run_config_of([], 0), tags={REASON: reason, PURPOSE: ACCESS})
    else:
        return dg.SensorResult(skip_reason=_summary(decision), dynamic_partitions_requests=added)
    return dg.SensorResult(run_requests=[request], dynamic_partitions_requests=added)


def is_access_due(instance: Instance, known: KnownClients, now: datetime) -> bool:
    """Access checks have low priority: at most once an hour, and after an hour without other onboarding runs."""
    if not known.untried or known.at is None or now < known.at + ACCESS_PAUSE:
        return False
    wanted = dg.RunsFilter(job_name=ONBOARD, tags={PURPOSE: ACCESS}, created_after=now - ACCESS_PAUSE)
    return not instance.get_run_records(wanted, limit=1)


def _tags(decision: Decision) -> dict[str, str]:
    """The reasons of the run, for the UI, and its priority: runs with clients never seen before go first."""
    reasons = Counter(client.reason for client in decision.run)
    is_new = any(client.key in set(decision.new) for client in decision.run)
    return {
        REASON: "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common()),
        "debitura/clients": str(len(decision.run)),
        "dagster/priority": "1" if is_new else "0",
    }


def _summary(decision: Decision) -> str:
    later = "; ".join(f"{client.key}: {client.reason}" for client in decision.later[:MAX_NAMED])
    more = f"; and {len(decision.later) - MAX_NAMED} more" if len(decision.later) > MAX_NAMED else ""
    return f"{decision.done} onboarded, {len(decision.later)} pending" + (f" ({later}{more})" if later else "")


@dg.sensor(
    name="retention",
    minimum_interval_seconds=3600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Deletes finished runs older than DEBITURA_KEEP_RUN_DAYS. Requests no runs.",
)
def retention(context: dg.SensorEvaluationContext, debitura: Debitura) -> dg.SkipReason:
    """One tick: delete a bounded number of old runs."""
    deleted = purge_old_runs(context.instance, debitura.settings, datetime.now(UTC))
    return dg.SkipReason(f"{deleted} old runs deleted")


@dg.sensor(
    name="incidents",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports incidents (DEBITURA_ALERTS) and writes the metrics file. Requests no runs.",
)
def incidents(debitura: Debitura) -> dg.SkipReason:
    """One tick: report what happened since the last run, retry failed deliveries, send reminders."""
    open_ = telling.tick(debitura.settings, datetime.now(UTC))
    named = "; ".join(f"{incident.kind} ({incident.subject})" for incident in open_[:MAX_NAMED])
    return dg.SkipReason(
        f"{len(open_)} open incident{'' if len(open_) == 1 else 's'}" + (f": {named}" if named else "")
    )


sensors = [new_clients, wanted, reports_outdated, retention, incidents, webhook_inbox, webhook_subscriptions]
