"""Facts -> findings: each thing that is wrong, whatever its cause. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from debitura_pipeline.incidents import causes, kinds
from debitura_pipeline.incidents.facts import Facts, NightFact, ResourceFact, StuckFact, WebhookFacts

LATE_AFTER = timedelta(hours=26)  # a day, and two hours for the run
DAEMON_SILENT_AFTER = timedelta(minutes=5)  # it writes a heartbeat every half minute
UNKNOWN_AFTER = timedelta(hours=1)  # until then, the next run asks what became of it
EVENT_WAITS = timedelta(hours=1)
STALE_FOR = timedelta(days=1)  # after the last stale delivery
FAULT_LASTS = timedelta(minutes=2)  # nobody needs to know of shorter outages

NIGHT, DISK, WAREHOUSE, DAEMON, RECEIVER, EVENTS = "nightly", "disk", "warehouse", "daemon", "receiver", "events"
_SUBJECTS = {causes.DISK_FULL: DISK, causes.WAREHOUSE_UNREADABLE: WAREHOUSE}
OF_CLIENTS = (kinds.CLIENT_UNKNOWN, kinds.CLIENT_REFUSED, kinds.CLIENT_WAITING)

Key = tuple[str, str]  # kind and subject


@dataclass(frozen=True)
class Finding:
    """One open incident. `since`: None if only the moment of noticing is known. `is_explained`: another one has its cause."""

    kind: str
    subject: str
    what: str
    since: datetime | None = None
    argument: str = ""
    is_explained: bool = False

    @property
    def key(self) -> Key:
        """Kind and subject: the same incident as long as these stay."""
        return self.kind, self.subject


def last_good(nights: Collection[NightFact]) -> NightFact | None:
    """The newest nightly run that is done."""
    return max((night for night in nights if night.is_done), key=lambda night: night.ended_at, default=None)


def find_faults(facts: Facts, noticed: dict[Key, datetime]) -> Iterator[Finding]:
    """Everything that is wrong. `noticed`: since when stuck clients and claims without an instant of their own are known."""
    if facts.full_folders:
        yield Finding(causes.DISK_FULL, DISK, f"There is no space left in {facts.full_folders}.")
    yield from _of_api(facts)
    yield from _of_nights(facts)
    if facts.warehouse_fault:
        yield Finding(causes.WAREHOUSE_UNREADABLE, WAREHOUSE, facts.warehouse_fault)
    yield from of_daemon(facts)
    for lock in facts.held_locks or ():
        yield Finding(kinds.RUN_LOCK_HELD, lock.run_id[:8], f"{lock.what}.", lock.since)
    for resource in facts.warehouse.resources if facts.warehouse else ():
        yield from _of_resource(resource)
    for stuck in facts.warehouse.stuck if facts.warehouse else ():
        yield from _of_stuck(stuck, facts, noticed)
    yield from _of_webhooks(facts)
    yield from _of_outbound(facts)


def _of_outbound(facts: Facts) -> Iterator[Finding]:
    good = last_good(facts.nights or ())
    for fault in facts.outbound or ():
        if fault.kind == causes.KEY_REFUSED:
            # One incident with a night that fails for it; a good night shows that it is over.
            if good is None or good.ended_at < (fault.latest or fault.since):
                yield Finding(fault.kind, NIGHT, f"{fault.reason.rstrip('.')}.", fault.since)
        elif not fault.is_passing or facts.now - fault.since >= FAULT_LASTS:
            command = "clients" if fault.source == "roster" else "cases"
            yield Finding(fault.kind, fault.source, f"{fault.reason.rstrip('.')}.", fault.since, argument=command)


def _of_nights(facts: Facts) -> Iterator[Finding]:
    """Every cause that a night failed for since the last good one: only a good nightly run shows that a cause is gone."""
    if facts.nights is None:
        return
    good = last_good(facts.nights)
    failed = [night for night in facts.nights if not night.is_done and (good is None or night.ended_at > good.ended_at)]
    for cause in dict.fromkeys(night.cause or causes.NIGHT_FAILED for night in failed):
        its = [night for night in failed if (night.cause or causes.NIGHT_FAILED) == cause]
        times = f" {len(its)} runs have failed; this was the latest reason." if len(its) > 1 else ""
        reason = (its[-1].reason or "The reason is not known").rstrip(".")
        yield Finding(cause, _SUBJECTS.get(cause, NIGHT), f"{reason}.{times}", its[0].ended_at)
    first = good.ended_at if good else min((night.started_at for night in facts.nights), default=None)
    if first is not None and facts.now - first > LATE_AFTER:
        what = f"There has been no good nightly run since {instant(first)}."
        yield Finding(kinds.NIGHT_LATE, NIGHT, what, first, is_explained=bool(failed))


def _of_api(facts: Facts) -> Iterator[Finding]:
    """What the sensor meets between two nights, under the same key as a night that fails for it."""
    fault = facts.api_fault
    if fault is not None and facts.now - fault.since >= FAULT_LASTS:
        is_known = fault.cause in (causes.KEY_REFUSED, causes.PERMISSION_MISSING, causes.BUDGET_SPENT)
        cause = fault.cause if is_known else causes.API_UNREACHABLE
        yield Finding(cause, NIGHT, f"{fault.reason.rstrip('.')}.", fault.since)


def of_daemon(facts: Facts) -> Iterator[Finding]:
    """A daemon that ran once and has fallen silent."""
    beat_at = facts.daemon.beat_at if facts.daemon else None
    if beat_at is not None and facts.now - beat_at > DAEMON_SILENT_AFTER:
        yield Finding(kinds.DAEMON_STALE, DAEMON, f"The daemon's last heartbeat was at {instant(beat_at)}.", beat_at)


def _of_resource(fact: ResourceFact) -> Iterator[Finding]:
    name, at = fact.resource, fact.synced_at
    if fact.differing:
        verb = "differs" if fact.differing == 1 else "differ"
        what = f"{_count(fact.differing, 'control total')} of {name} {verb}; ops.control_totals has both values."
        yield Finding(kinds.TOTALS_DIFFER, name, what, at)
    if fact.quarantined:
        verb = "does" if fact.quarantined == 1 else "do"
        what = f"{_count(fact.quarantined, 'row')} of {name} {verb} not fit the contract."
        yield Finding(kinds.QUARANTINE, name, what)
    if fact.is_proven is False:
        is_explained = bool(fact.differing or fact.quarantined)
        what = f"The last sync of {name}: {(fact.message or 'no reason is recorded').rstrip('.')}."
        yield Finding(causes.NIGHT_UNPROVEN, name, what, at, is_explained=is_explained)
    if fact.drift:
        yield Finding(kinds.SCHEMA_DRIFT, name, f"Seen for the first time in {name}: {', '.join(fact.drift)}.", at)


def _of_stuck(fact: StuckFact, facts: Facts, noticed: dict[Key, datetime]) -> Iterator[Finding]:
    since = fact.since or noticed[(fact.kind, fact.subject)]
    patience = {kinds.CLIENT_UNKNOWN: UNKNOWN_AFTER, kinds.CLAIM_UNKNOWN: UNKNOWN_AFTER}.get(fact.kind)
    if fact.kind in (kinds.CLIENT_WAITING, kinds.CLAIM_WAITING):
        patience = timedelta(days=facts.stuck_days)
    if patience is not None and facts.now - since <= patience:
        return
    noun = "Client" if fact.kind in OF_CLIENTS else "Claim"
    detail = f" ({fact.detail})" if fact.detail else ""
    what = f"{noun} {fact.subject} is {fact.state}{detail}."
    yield Finding(fact.kind, fact.subject, what, since, argument=fact.tenant)


def _of_webhooks(facts: Facts) -> Iterator[Finding]:
    oldest = [facts.warehouse.oldest_event_at] if facts.warehouse else []
    if facts.webhooks is not None:
        oldest.append(facts.webhooks.oldest_at)
        for one in facts.webhooks.off:
            name = one.subscription_id
            yield Finding(kinds.SUBSCRIPTION_OFF, name, one.what, one.since, argument=name)
        yield from _of_deliveries(facts.webhooks, facts.now)
    waiting = min((at for at in oldest if at is not None), default=None)
    if waiting is not None and facts.now - waiting > EVENT_WAITS:
        yield Finding(kinds.EVENTS_WAITING, EVENTS, f"The oldest was received at {instant(waiting)}.", waiting)


def _of_deliveries(webhooks: WebhookFacts, now: datetime) -> Iterator[Finding]:
    if webhooks.stale_at is not None and now - webhooks.stale_at < STALE_FOR:
        what = "A delivery with a valid signature was refused because its timestamp was too old, and it never arrived in time."
        yield Finding(kinds.STALE_DELIVERIES, RECEIVER, what)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def instant(at: datetime) -> str:
    """`2026-11-27 02:14 UTC`."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
