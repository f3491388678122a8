"""What starts runs by itself besides the clock. Sensors read the API and Dagster's event log, never the DuckDB file.

Here will stand, beside `new_clients`: the roster's clients, which add to what is wanted, and the webhook inbox, which
asks for targeted refreshes. Both decide by state, as this one does.
"""

from datetime import UTC, datetime

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.onboarding.lifecycle import Decision, Verdict, decide
from debitura_pipeline.onboarding.reading import read_newest
from debitura_pipeline.orchestration.instance import end_dead_runs
from debitura_pipeline.orchestration.jobs import onboarding
from debitura_pipeline.orchestration.partitions import CLIENTS
from debitura_pipeline.orchestration.progress import read_progress
from debitura_pipeline.orchestration.refusals import NONE, Refusals
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.retention import purge_old_runs

INTERVAL_S = 30  # one request each: 2,880 of the day's 100,000
SHOWN = 5  # clients named in a tick's message


@dg.sensor(
    name="new_clients",
    job=onboarding,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Finds clients that are not onboarded yet and asks for one run each; looks again at those who still have to sign.",
)
def new_clients(context: dg.SensorEvaluationContext, debitura: Debitura) -> dg.SensorResult | dg.SkipReason:
    """One tick: what the API lists and what exists, compared with what is done."""
    now = datetime.now(UTC)
    refusals = Refusals.of(context.cursor)
    end_dead_runs(context.instance)
    known = read_progress(context.instance, now)
    try:
        with debitura.endpoint() as endpoint:
            listed = read_newest(debitura.settings, endpoint, lambda key: key in known and known[key].is_done)
    except DebituraError as error:
        counted = refusals.one_more("The clients could not be read, so nothing is decided", error)
        context.update_cursor(counted.cursor)
        return dg.SkipReason(counted.message)
    context.update_cursor(NONE.cursor)
    return _result(decide(listed, known, now))


def _result(decision: Decision) -> dg.SensorResult:
    added = [CLIENTS.build_add_request(list(decision.new))] if decision.new else []
    if not decision.run:
        return dg.SensorResult(skip_reason=_summary(decision), dynamic_partitions_requests=added)
    requests = [dg.RunRequest(partition_key=verdict.key, tags=_tags(verdict, decision)) for verdict in decision.run]
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=added)


def _tags(verdict: Verdict, decision: Decision) -> dict[str, str]:
    """Why the run was asked for; and a client never seen before passes those who have waited for some ticks already."""
    return {"debitura/reason": verdict.reason, "dagster/priority": "1" if verdict.key in decision.new else "0"}


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
