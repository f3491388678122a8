"""The sensors of an instance that serves all partners: one per kind, which goes round the partners within a bounded time.

They hold no key and call no API: `lookout.py` looks for each partner in a process of its own, and leaves what it sees in the
partner's data directory. What is wrong with one partner is that partner's incident; the tick goes on with the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.target import ExecutableDefinition

from debitura_pipeline.orchestration.jobs import (
    ONBOARD,
    REFRESH,
    REFRESH_REPORTS,
    onboarding,
    outbound,
    refresh,
    refresh_reports,
)
from debitura_pipeline.orchestration.keys import PARTNER_TAG
from debitura_pipeline.orchestration.retention import purge_old_runs
from debitura_pipeline.partners.turns import Turns, take_turns
from debitura_pipeline.partners.visits import (
    DUE,
    Tick,
    Visit,
    begin_tick,
    visit_inbox,
    visit_incidents,
    visit_new_clients,
    visit_reports,
    visit_subscriptions,
    visit_wanted,
)
from debitura_pipeline.settings import load_common

NOTHING = "nothing to do"
MAX_SAID = 20


def result(tick: Tick, turns: Turns) -> dg.SensorResult:
    """What Dagster is told of a tick."""
    more = f"; and {len(tick.said) - MAX_SAID} more" if len(tick.said) > MAX_SAID else ""
    said = "; ".join(tick.said[:MAX_SAID]) + more
    return dg.SensorResult(
        run_requests=tick.requests,
        dynamic_partitions_requests=tick.partitions,
        asset_events=tick.events,
        skip_reason=None if tick.requests else said or NOTHING,
        cursor=turns.as_text(),
    )


def go_round(
    instance: dg.DagsterInstance, cursor: str | None, folders: Mapping[str, Path], visit: Visit, now: datetime
) -> dg.SensorResult:
    """One tick of a sensor. What cannot be read of one partner is said, and left to its next turn."""
    tick = begin_tick(instance, now)

    def each(partner: str, note: str) -> str:
        try:
            return visit(tick, partner, folders[partner], note)
        except Exception as error:  # noqa: BLE001 - one partner holds up nobody else
            tick.said.append(f"{partner}: {type(error).__name__}")
            return note

    return result(tick, take_turns(list(folders), Turns.of(cursor), each))


def round_of_reports(
    instance: dg.DagsterInstance, cursor: str | None, folders: Mapping[str, Path], now: datetime
) -> dg.SensorResult:
    """One tick: visit the partners for which something was loaded since their last visit."""
    turns = Turns.of(cursor)
    since = datetime.fromisoformat(turns.notes[SINCE]) if SINCE in turns.notes else None
    notes = {name: note for name, note in turns.notes.items() if name in folders}
    for partner in folders if since is None else _loaded_since(instance, since - OVERLAP):
        if partner in folders:
            notes[partner] = DUE
    due = {partner: folder for partner, folder in folders.items() if notes.get(partner) == DUE}
    found = go_round(instance, Turns(turns.next, notes).as_text(), due, visit_reports, now)
    after = Turns.of(found.cursor)
    left = {name: note for name, note in after.notes.items() if note} | {SINCE: now.isoformat()}
    return found._replace(cursor=Turns(after.next, left).as_text())


SINCE = ""  # no partner's name
OVERLAP = timedelta(minutes=2)


def _loaded_since(instance: dg.DagsterInstance, since: datetime) -> set[str]:
    wanted = [dg.RunsFilter(job_name=job, updated_after=since) for job in (ONBOARD, REFRESH, REFRESH_REPORTS)]
    records = [record for one in wanted for record in instance.get_run_records(one)]
    return {record.dagster_run.tags.get(PARTNER_TAG, "") for record in records}


def partner_sensors(folders: Mapping[str, Path]) -> list[dg.SensorDefinition]:
    """A sensor per kind. `folders`: each partner's data directory."""

    def sensor(name: str, job: Any, every_s: int, about: str, visit: Visit | None) -> dg.SensorDefinition:
        def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
            now = datetime.now(UTC)
            if visit is None:
                return round_of_reports(context.instance, context.cursor, folders, now)
            return go_round(context.instance, context.cursor, folders, visit, now)

        target: ExecutableDefinition | None = job
        return dg.SensorDefinition(
            name=name,
            job=target,
            evaluation_fn=tick,
            minimum_interval_seconds=every_s,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description=about,
        )

    def retention(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(f"{purge_old_runs(context.instance, load_common(), datetime.now(UTC))} old runs deleted")

    return [
        sensor("new_clients", onboarding, 30, "Requests onboarding runs.", visit_new_clients),
        sensor("wanted", outbound, 30, "Requests runs where roster or claims changed.", visit_wanted),
        sensor("reports_outdated", refresh_reports, 30, "Publishes what was loaded between two nights.", None),
        sensor("webhook_inbox", refresh, 15, "Requests runs for webhook events that wait.", visit_inbox),
        sensor("webhook_subscriptions", refresh, 60, "Enables webhook subscriptions.", visit_subscriptions),
        sensor("incidents", None, 60, "Names open incidents. Requests no runs.", visit_incidents),
        dg.SensorDefinition(
            name="retention",
            evaluation_fn=retention,
            minimum_interval_seconds=3600,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description="Deletes finished runs older than DEBITURA_KEEP_RUN_DAYS. Requests no runs.",
        ),
    ]
