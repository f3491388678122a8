"""The sensor `wanted`: requests a run of job `outbound` when a source changed, a client became ready, or something is due again.

Level-triggered: each tick compares what is wanted now with what the last run has recorded in its materialisation. It reads the
sources and Dagster's event log, and opens no warehouse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from debitura_pipeline.onboarding.lifecycle import failure_pause
from debitura_pipeline.orchestration.coverage import read_known
from debitura_pipeline.orchestration.jobs import OUTBOUND, outbound
from debitura_pipeline.orchestration.keys import ONBOARDING, REGISTRATION, SUBMISSION
from debitura_pipeline.orchestration.partner_view import Instance
from debitura_pipeline.orchestration.read_failures import ReadFailures
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.source_looks import SourceLook, WantedCursor, look_at_all
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import CLAIMS, ROSTER
from debitura_pipeline.source.fingerprint import wanted_fingerprint
from debitura_pipeline.source.table import SourceTable
from debitura_pipeline.webhooks.position import read_position

INTERVAL_S = 30
AGAIN_AFTER = timedelta(minutes=15)  # what is in doubt or was stopped is looked at again
LADDER = (
    AGAIN_AFTER,
    timedelta(hours=1),
    timedelta(hours=6),
)  # pauses while nothing else changes; the last one repeats
CLOCKS_DIFFER = timedelta(minutes=5)  # a day begins for the API too before a run is requested for it
SOURCE, READY, MAY_WRITE, DAY, AGAIN_AT = "source", "clients_ready", "may_write", "day", "again_at"
PAUSE_S = "again_after_s"
LINKS, NEVER = "link_event_at", "never"
REASON = "debitura/reason"
REASONS = {
    SOURCE: "the {} changed",
    READY: "a client became ready or left",
    MAY_WRITE: "DEBITURA_WRITES changed",
    DAY: "a new day began for the {}",
    LINKS: "an approval link expired or was declined",
}
FAILURES_COUNTED = 8


@dataclass(frozen=True)
class WantedPart:
    """A source and the asset whose materialisation records how far it was handled. `right`: its word in DEBITURA_WRITES."""

    plan: dg.AssetKey
    location: Secret
    table: SourceTable[Any]
    right: str

    @property
    def name(self) -> str:
        """The source's name, for reasons."""
        return self.table.name


def wanted_parts(settings: Settings) -> Iterator[WantedPart]:
    """The sources that are set."""
    if settings.outbound.roster is not None:
        yield WantedPart(REGISTRATION["plan"], settings.outbound.roster, ROSTER, "clients")
    if settings.outbound.claims is not None:
        yield WantedPart(SUBMISSION["plan"], settings.outbound.claims, CLAIMS, "cases")


def wanted_state(settings: Settings, instance: Instance, part: WantedPart, now: datetime) -> dict[str, str]:
    """What a run is to handle, as its asset records it. Taken before the source is read, so that no change is missed.

    The day is part of it: a due date passes, and what the API says about a claim changes, while the source stays the same.
    Raises SourceError.
    """
    return _state(settings, part, wanted_fingerprint(settings, part.location, part.table), ready_digest(instance), now)


def _state(settings: Settings, part: WantedPart, fingerprint: str, ready: str, now: datetime) -> dict[str, str]:
    may_write = part.right in settings.outbound.writes
    return state_of(settings.data_dir, part.name, fingerprint, ready, now, may_write=may_write)


def state_of(
    data_dir: Path, source: str, fingerprint: str, ready: str, now: datetime, *, may_write: bool
) -> dict[str, str]:
    """What a run is to handle. `source`: its name; `ready`: the digest of `ready_digest`."""
    state = {
        SOURCE: fingerprint,
        READY: ready,
        MAY_WRITE: "yes" if may_write else "no",
        DAY: (now - CLOCKS_DIFFER).astimezone(UTC).date().isoformat(),
    }
    if source == ROSTER.name:
        at = read_position(data_dir).link_event_at
        state[LINKS] = at.isoformat() if at else NEVER
    return state


def ready_digest(instance: Instance) -> str:
    """A hash of the partition keys of all clients whose history is loaded, and of those that must sign again."""
    keys = instance.get_materialized_partitions(ONBOARDING["history"])
    known = read_known(instance)
    facts = [known.covered.as_text(), known.unsigned.as_text(), *sorted(keys)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def handled_state(instance: Instance, plan: dg.AssetKey) -> dict[str, str]:
    """What the last run has recorded; empty before the first one."""
    for record in instance.fetch_materializations(plan, limit=1).records:
        event = record.asset_materialization
        if event is not None:
            return {name: str(value.value) for name, value in event.metadata.items()}
    return {}


def due_reason(wanted: Mapping[str, str], handled: Mapping[str, str], now: datetime, name: str) -> str | None:
    """Why a run is due, None if it is not. Pure."""
    if not handled:
        return f"the {name} was never planned"
    for fact, words in REASONS.items():
        if wanted.get(fact, NEVER) != handled.get(fact, NEVER):
            return words.format(name)
    again_at = handled.get(AGAIN_AT)
    if again_at and now >= datetime.fromisoformat(again_at):
        return f"rows of the {name} are in doubt or were not sent"
    return None


def look_again(
    wanted: Mapping[str, str], handled: Mapping[str, str], now: datetime, first: timedelta | None
) -> dict[str, str]:
    """Metadata that says when to look again. `first`: the pause if anything may go on without a change, else None. Pure.

    As long as nothing else is the reason for a run, pauses get longer: each look asks for every claim that is not done.
    """
    if first is None:
        return {}
    pause, last_s = first, handled.get(PAUSE_S)
    if last_s is not None and all(value == handled.get(fact) for fact, value in wanted.items()):
        longer = [step for step in LADDER if step > timedelta(seconds=float(last_s))]
        pause = max(first, longer[0] if longer else LADDER[-1])
    return {AGAIN_AT: (now + pause).isoformat(), PAUSE_S: f"{pause.total_seconds():.0f}"}


@dg.sensor(
    name="wanted",
    job=outbound,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a run of job outbound when roster or claims changed, a client became ready, or a day began.",
)
def wanted(context: dg.SensorEvaluationContext, debitura: Debitura) -> dg.RunRequest | dg.SkipReason:
    """One tick. Raises SensorReadError if a source could not be read for several ticks."""
    now, settings = datetime.now(UTC), debitura.settings
    parts = list(wanted_parts(settings))
    if not parts:
        return dg.SkipReason("Neither a roster nor claims are set.")
    if context.instance.get_run_records(dg.RunsFilter(job_name=OUTBOUND, statuses=NOT_FINISHED_STATUSES), limit=1):
        return dg.SkipReason("A run is in progress.")
    if (until := paused_until(context.instance)) is not None and now < until:
        return dg.SkipReason(f"The last run failed, next attempt at {until:%Y-%m-%d %H:%M:%SZ}.")
    cursor = WantedCursor.of(context.cursor)
    sources = [(part.location, part.table) for part in parts]
    looks, faults = look_at_all(settings, sources, cursor, now)
    reasons = _reasons(settings, context.instance, parts, looks, now)
    if faults and not reasons:
        failures = ReadFailures(cursor.failures)
        counted = failures.one_more("A source could not be read, so nothing was requested", faults[0])
        context.update_cursor(WantedCursor(counted.count, looks).as_text())
        return dg.SkipReason(counted.message)
    context.update_cursor(WantedCursor(0, looks).as_text())
    if reasons:
        return dg.RunRequest(tags={REASON: "; ".join(reasons)})
    written = [name for name, look in looks.items() if look.fingerprint is None]
    return dg.SkipReason(f"Just written: {' and '.join(written)}." if written else "Everything is up to date.")


def _reasons(
    settings: Settings,
    instance: Instance,
    parts: list[WantedPart],
    looks: dict[str, SourceLook],
    now: datetime,
) -> list[str]:
    """Why a run is due. A source that was just written is left to the next tick."""
    ready, reasons = ready_digest(instance), []
    for part in parts:
        fingerprint = looks[part.name].fingerprint if part.name in looks else None
        if fingerprint is not None:
            state = _state(settings, part, fingerprint, ready, now)
            reasons.append(due_reason(state, handled_state(instance, part.plan), now, part.name))
    return [reason for reason in reasons if reason]


def paused_until(instance: Instance) -> datetime | None:
    """When the next attempt after failed runs is due; None if the last run did not fail."""
    records = instance.get_run_records(dg.RunsFilter(job_name=OUTBOUND), limit=FAILURES_COUNTED)
    failed = 0
    for record in records:
        if record.dagster_run.status not in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
            break
        failed += 1
    if not failed:
        return None
    ended = records[0].end_time
    at = datetime.fromtimestamp(ended, UTC) if ended else records[0].update_timestamp
    return at + failure_pause(failed)
