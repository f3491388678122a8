"""What starts runs by itself besides the clock. Sensors read the API and Dagster's event log, never the DuckDB file.

Here will stand, beside `new_clients`: the roster's clients, which add to what is wanted, and the webhook inbox, which
asks for targeted refreshes. Both decide by state, as this one does.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.onboarding.lifecycle import GONE, Decision, decide
from debitura_pipeline.onboarding.reading import read_newest
from debitura_pipeline.orchestration.coverage import Known, read_known
from debitura_pipeline.orchestration.instance import end_dead_runs
from debitura_pipeline.orchestration.jobs import ONBOARD, onboarding
from debitura_pipeline.orchestration.partitions import CLIENTS
from debitura_pipeline.orchestration.progress import read_progress, run_config_of, runs_on
from debitura_pipeline.orchestration.refusals import NONE, Refusals
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.retention import purge_old_runs

INTERVAL_S = 30  # one request each: 2,880 of the day's 100,000
REASON, PURPOSE, ACCESS = "debitura/reason", "debitura/purpose", "access"
ACCESS_PAUSE = timedelta(hours=1)
SHOWN = 5  # clients named in a tick's message


@dg.sensor(
    name="new_clients",
    job=onboarding,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Finds clients that are not onboarded yet and asks for one run for those that are due together; looks again at "
    "those who still have to sign.",
)
def new_clients(context: dg.SensorEvaluationContext, debitura: Debitura) -> dg.SensorResult | dg.SkipReason:
    """One tick: what the API lists and what exists, compared with what is done."""
    now = datetime.now(UTC)
    refusals = Refusals.of(context.cursor)
    end_dead_runs(context.instance)
    on, known = runs_on(context.instance), read_known(context.instance)
    progress = read_progress(context.instance, now, on, known.covered)

    def is_known(key: str) -> bool:
        return key in known.covered or (key in progress and progress[key].state != GONE)

    try:
        with debitura.endpoint() as endpoint:
            listed = read_newest(debitura.settings, endpoint, is_known)
    except DebituraError as error:
        counted = refusals.one_more("The clients could not be read, so nothing is decided", error)
        context.update_cursor(counted.cursor)
        return dg.SkipReason(counted.message)
    context.update_cursor(NONE.cursor)
    decision = decide(listed, progress, now, known.covered, len(on))
    is_idle = not on and not decision.run
    return _result(decision, known.untried if is_idle and _is_access_due(context.instance, known, now) else 0)


def _result(decision: Decision, untried: int) -> dg.SensorResult:
    added = [CLIENTS.build_add_request(list(decision.new))] if decision.new else []
    if decision.run:
        asked = dg.RunRequest(
            run_config=run_config_of([verdict.key for verdict in decision.run], decision.due), tags=_tags(decision)
        )
    elif untried:
        reason = f"access of {untried} clients was never tried"
        asked = dg.RunRequest(run_config=run_config_of([], 0), tags={REASON: reason, PURPOSE: ACCESS})
    else:
        return dg.SensorResult(skip_reason=_summary(decision), dynamic_partitions_requests=added)
    return dg.SensorResult(run_requests=[asked], dynamic_partitions_requests=added)


def _is_access_due(instance: dg.DagsterInstance, known: Known, now: datetime) -> bool:
    """Nobody waits for that: it is done when nothing else was for an hour, and no oftener than once an hour."""
    if not known.untried or known.at is None or now < known.at + ACCESS_PAUSE:
        return False
    wanted = dg.RunsFilter(job_name=ONBOARD, tags={PURPOSE: ACCESS}, created_after=now - ACCESS_PAUSE)
    return not instance.get_run_records(wanted, limit=1)


def _tags(decision: Decision) -> dict[str, str]:
    """Why the run was asked for; and clients never seen before pass those who have waited for some ticks already."""
    reasons = Counter(verdict.reason for verdict in decision.run)
    is_new = any(verdict.key in set(decision.new) for verdict in decision.run)
    return {
        REASON: "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common()),
        "debitura/clients": str(len(decision.run)),
        "dagster/priority": "1" if is_new else "0",
    }


def _summary(decision: Decision) -> str:
    later = "; ".join(f"{verdict.key}: {verdict.reason}" for verdict in decision.later[:SHOWN])
    more = f"; and {len(decision.later) - SHOWN} more" if len(decision.later) > SHOWN else ""
    return f"{decision.done} clients are done, {len(decision.later)} wait" + (f" ({later}{more})" if later else "")


@dg.sensor(
    name="retention",
    minimum_interval_seconds=3600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Deletes finished runs that are older than DEBITURA_KEEP_RUN_DAYS; starts none.",
)
def retention(context: dg.SensorEvaluationContext, debitura: Debitura) -> dg.SkipReason:
    """One tick: a bounded number of old runs."""
    deleted = purge_old_runs(context.instance, debitura.settings, datetime.now(UTC))
    return dg.SkipReason(f"{deleted} old runs deleted")


sensors = [new_clients, retention]
