"""Facts -> the incidents that are open, one per cause. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from debitura_pipeline.incidents import causes, kinds
from debitura_pipeline.incidents.facts import Facts
from debitura_pipeline.incidents.findings import (
    LATE_AFTER,
    OF_CLIENTS,
    Finding,
    Key,
    find_faults,
    instant,
    last_good,
    of_daemon,
)

_OF_NIGHTS = (
    causes.NIGHT_FAILED, causes.KEY_REFUSED, causes.PERMISSION_MISSING, causes.BUDGET_SPENT, causes.SHRINK_REFUSED,
    causes.IDENTITY_REFUSED, causes.API_UNREACHABLE, causes.JOURNAL_DAMAGED, kinds.NIGHT_LATE,
)  # fmt: skip
_OF_WAREHOUSE = (
    causes.NIGHT_UNPROVEN, kinds.TOTALS_DIFFER, kinds.QUARANTINE, kinds.SCHEMA_DRIFT, kinds.CLIENT_UNKNOWN, kinds.CLIENT_REFUSED,
    kinds.CLIENT_WAITING, kinds.CLAIM_UNKNOWN, kinds.CLAIM_REFUSED, kinds.CLAIM_WAITING,
    kinds.CLAIM_NEEDS_HUMAN,
)  # fmt: skip
# An incident of the first kind is not told where one of the others is open: it has the same cause.
_EXPLAINED_BY = {
    kinds.NIGHT_LATE: (kinds.DAEMON_STALE, kinds.RUN_LOCK_HELD),
    causes.NIGHT_FAILED: (causes.DISK_FULL, kinds.RUN_LOCK_HELD),
    causes.WAREHOUSE_UNREADABLE: (causes.DISK_FULL, kinds.RUN_LOCK_HELD),
    causes.CHECK_FAILED: (kinds.TOTALS_DIFFER, kinds.QUARANTINE, causes.NIGHT_UNPROVEN),
    kinds.OUTBOUND_STOPPED: (
        causes.KEY_REFUSED,
        causes.PERMISSION_MISSING,
        causes.API_UNREACHABLE,
        causes.BUDGET_SPENT,
        causes.DISK_FULL,
        causes.WAREHOUSE_UNREADABLE,
        kinds.RUN_LOCK_HELD,
    ),
    kinds.EVENTS_WAITING: (
        kinds.DAEMON_STALE,
        kinds.RUN_LOCK_HELD,
        causes.KEY_REFUSED,
        causes.PERMISSION_MISSING,
        causes.API_UNREACHABLE,
        causes.BUDGET_SPENT,
        causes.DISK_FULL,
    ),
}


@dataclass(frozen=True)
class Findings:
    """`open_`: in the order of importance. `judged`: the kinds that the facts sufficed for; others stay as they were.

    `last_good_at`: the end of the last good nightly run. `noticed`: see `Facts`.
    """

    open_: tuple[Finding, ...]
    judged: frozenset[str]
    last_good_at: datetime | None
    noticed: dict[Key, datetime]


def judge(facts: Facts, carried: Collection[Key] = ()) -> Findings:
    """What is open. `carried`: open incidents so far, which may explain others where the facts do not suffice to judge them."""
    judged = frozenset(_judged(facts))
    noticed = _noticed(facts)
    found = {finding.key: finding for finding in find_faults(facts, noticed)}
    still = {key for key in carried if key[0] not in judged}
    open_: dict[Key, Finding] = {}
    for finding in (_as_night(_explained(each, found.keys() | still)) for each in found.values()):
        if open_.setdefault(finding.key, finding).is_explained:
            open_[finding.key] = finding
    good = last_good(facts.nights or ())
    return Findings(tuple(open_.values()), judged, good.ended_at if good else None, noticed)


def stale_reasons(facts: Facts) -> list[str]:
    """Why `debitura watch` fails: no good nightly run in 26 hours, or no recent heartbeat of the daemon."""
    good = last_good(facts.nights or ())
    reasons = [finding.what for finding in of_daemon(facts)]
    if good is None:
        reasons.insert(0, "There has been no good nightly run yet.")
    elif facts.now - good.ended_at > LATE_AFTER:
        reasons.insert(0, f"The last good nightly run ended at {instant(good.ended_at)}, more than 26 hours ago.")
    failed = [night for night in facts.nights or () if not night.is_done]
    if reasons and failed and failed[-1] is (facts.nights or ())[-1]:
        reasons.append(f"The last one failed: {(failed[-1].reason or 'the reason is not known').rstrip('.')}.")
    return reasons


def _judged(facts: Facts) -> Iterator[str]:
    is_warehouse_known = facts.warehouse is not None or facts.warehouse_fault is not None
    if facts.nights is not None:
        yield from _OF_NIGHTS
        if is_warehouse_known:
            yield causes.WAREHOUSE_UNREADABLE
        if facts.full_folders is not None:
            yield causes.DISK_FULL
    if facts.warehouse is not None:
        yield from (*_OF_WAREHOUSE, kinds.EVENTS_WAITING)
    if facts.webhooks is not None:
        yield from (kinds.SUBSCRIPTION_OFF, kinds.STALE_DELIVERIES)
    if facts.daemon is not None:
        yield kinds.DAEMON_STALE
    if facts.held_locks is not None:
        yield kinds.RUN_LOCK_HELD
    if facts.outbound is not None:
        yield from (kinds.SOURCE_UNREADABLE, kinds.OUTBOUND_STOPPED)


def _explained(finding: Finding, known: Collection[Key]) -> Finding:
    by = _EXPLAINED_BY.get(finding.kind, ())
    is_same_tenant = finding.kind == kinds.CLAIM_WAITING and any(
        (kind, finding.argument) in known for kind in OF_CLIENTS
    )
    if is_same_tenant or any(kind in by for kind, _ in known):
        return replace(finding, is_explained=True)
    return finding


def _as_night(finding: Finding) -> Finding:
    """A blocking check that nothing else explains is a failed night."""
    return replace(finding, kind=causes.NIGHT_FAILED) if finding.kind == causes.CHECK_FAILED else finding


def _noticed(facts: Facts) -> dict[Key, datetime]:
    stuck = facts.warehouse.stuck if facts.warehouse else None
    if stuck is None:
        return dict(facts.noticed)
    keys = [(fact.kind, fact.subject) for fact in stuck if fact.since is None]
    return {key: facts.noticed.get(key, facts.now) for key in keys}
