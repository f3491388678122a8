"""A hundred incidents of every kind as facts, each with the command that must be told.

Belongs here: the facts. Does not: assertions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from debitura_pipeline.incidents import causes, kinds
from debitura_pipeline.incidents.facts import (
    ApiFault,
    DaemonFact,
    Facts,
    LockFact,
    NightFact,
    OffSubscription,
    OutboundFault,
    ResourceFact,
    StuckFact,
    WarehouseFacts,
    WebhookFacts,
)

NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RESOURCES = ("clients", "cases", "transactions")
REASON = "Reading GET /me failed: HTTP 401 on GET /me"


@dataclass(frozen=True)
class Planted:
    """One cause: the facts that show it at `NOW`, the incident that it is, and the command to be told."""

    facts: Facts
    kind: str
    subject: str
    command: str


def good_night(at: datetime = NOW) -> NightFact:
    return NightFact(at - HOUR, at - HOUR / 2, True)


def clean(at: datetime = NOW, nights: tuple[NightFact, ...] | None = None) -> Facts:
    """Everything was looked at and is well."""
    return Facts(
        now=at,
        stuck_days=14,
        nights=nights if nights is not None else (good_night(at - DAY), good_night(at)),
        warehouse=WarehouseFacts(tuple(ResourceFact(name, at, True, live_rows=10) for name in RESOURCES)),
        webhooks=WebhookFacts(),
        daemon=DaemonFact(at),
        full_folders="",
        outbound=(),
        held_locks=(),
    )


def failed_night(cause: str, reason: str = "a reason", at: datetime = NOW) -> Facts:
    night = NightFact(at - HOUR, at - HOUR / 2, False, cause, reason)
    return clean(at, (good_night(at - DAY), night))


def with_resource(**facts: object) -> Facts:
    whole = clean()
    assert whole.warehouse is not None
    name = facts["resource"]
    resources = tuple(
        replace(fact, **facts) if fact.resource == name else fact  # type: ignore[arg-type]
        for fact in whole.warehouse.resources
    )
    return replace(whole, warehouse=replace(whole.warehouse, resources=resources))


def with_stuck(*stuck: StuckFact) -> Facts:
    whole = clean()
    assert whole.warehouse is not None
    return replace(whole, warehouse=replace(whole.warehouse, stuck=stuck))


def one_of_each() -> list[Planted]:
    """Every kind that is not about one client, claim, resource or subscription."""
    silent = NOW - timedelta(minutes=20)
    by_night = {
        causes.NIGHT_FAILED: ("nightly", "debitura doctor"),
        causes.KEY_REFUSED: ("nightly", "debitura doctor"),
        causes.PERMISSION_MISSING: ("nightly", "debitura doctor"),
        causes.BUDGET_SPENT: ("nightly", "debitura nightly"),
        causes.SHRINK_REFUSED: ("nightly", "debitura reconcile"),
        causes.IDENTITY_REFUSED: ("nightly", "debitura doctor"),
        causes.API_UNREACHABLE: ("nightly", "debitura doctor"),
        causes.JOURNAL_DAMAGED: ("nightly", "debitura repair"),
        causes.WAREHOUSE_UNREADABLE: ("warehouse", "debitura doctor"),
        causes.NIGHT_UNPROVEN: ("nightly", "debitura reconcile"),
        causes.DISK_FULL: ("disk", "debitura doctor"),
    }
    found = [Planted(failed_night(cause), cause, *told) for cause, told in by_night.items()]
    old = clean(nights=(good_night(NOW - timedelta(hours=30)),))
    stale = replace(clean(), webhooks=WebhookFacts(stale_total=3, stale_at=NOW - HOUR))
    waiting = replace(clean(), warehouse=replace(_warehouse(), oldest_event_at=NOW - 2 * HOUR))
    gone = replace(clean(), warehouse=None, warehouse_fault="The warehouse cannot be opened.")
    refused = replace(clean(), api_fault=ApiFault(causes.KEY_REFUSED, REASON, NOW - HOUR))
    held = LockFact("0123456789", "Dagster run 01234567 was given up, but its process 7 still holds the run lock", NOW)
    check = failed_night(causes.CHECK_FAILED, "step raw/cases: a blocking check failed")
    return [
        *found,
        Planted(old, kinds.NIGHT_LATE, "nightly", "debitura nightly"),
        Planted(replace(clean(), daemon=DaemonFact(silent)), kinds.DAEMON_STALE, "daemon", "debitura dev"),
        Planted(replace(clean(), held_locks=(held,)), kinds.RUN_LOCK_HELD, "01234567", "debitura doctor"),
        Planted(fault(kinds.SOURCE_UNREADABLE, "roster"), kinds.SOURCE_UNREADABLE, "roster", "debitura doctor"),
        Planted(fault(kinds.OUTBOUND_STOPPED, "roster"), kinds.OUTBOUND_STOPPED, "roster", "debitura clients apply"),
        Planted(fault(kinds.OUTBOUND_STOPPED, "claims"), kinds.OUTBOUND_STOPPED, "claims", "debitura cases apply"),
        Planted(stale, kinds.STALE_DELIVERIES, "receiver", "debitura doctor"),
        Planted(waiting, kinds.EVENTS_WAITING, "events", "debitura nightly"),
        Planted(gone, causes.WAREHOUSE_UNREADABLE, "warehouse", "debitura doctor"),
        Planted(replace(clean(), full_folders="/data"), causes.DISK_FULL, "disk", "debitura doctor"),
        Planted(refused, causes.KEY_REFUSED, "nightly", "debitura doctor"),
        Planted(check, causes.NIGHT_FAILED, "nightly", "debitura doctor"),
    ]


def fault(kind: str, source: str) -> Facts:
    return replace(clean(), outbound=(OutboundFault(source, kind, "a reason", NOW),))


def of_resources() -> list[Planted]:
    found = []
    for name in RESOURCES:
        # The API's totals differ, which is why the sync is not proven either: one incident.
        differs = with_resource(resource=name, differing=2, contradicted=2, is_proven=False, message="2 totals differ")
        rows = with_resource(resource=name, quarantined=3, is_proven=False, message="3 rows in quarantine")
        unproven = with_resource(resource=name, is_proven=False, message="1 of 9 windows are not verified")
        drift = with_resource(resource=name, drift=("field newField",))
        found += [
            Planted(differs, kinds.TOTALS_DIFFER, name, "debitura reconcile"),
            Planted(rows, kinds.QUARANTINE, name, "debitura status"),
            Planted(unproven, causes.NIGHT_UNPROVEN, name, "debitura reconcile"),
            Planted(drift, kinds.SCHEMA_DRIFT, name, "debitura status"),
        ]
    return found


def of_clients_and_claims(count: int) -> list[Planted]:
    """`count` clients and claims, every state in turn, and subscriptions."""
    found: list[Planted] = []
    for number in range(count):
        tenant, reference = f"tenant {number}", f"INV-{number}"
        claim = f"{tenant}/{reference}"
        since = NOW - timedelta(days=15)
        subscription = f"00000000-0000-4000-8000-{number:012d}"
        off = OffSubscription(subscription, f"Webhook subscription {subscription} is off.")
        made = (
            _stuck(kinds.CLIENT_UNKNOWN, tenant, tenant, "debitura clients apply", since),
            _stuck(kinds.CLIENT_REFUSED, tenant, tenant, "debitura clients status", NOW),
            _stuck(kinds.CLIENT_WAITING, tenant, tenant, f"debitura clients links --tenant '{tenant}'", since),
            _stuck(kinds.CLAIM_UNKNOWN, claim, tenant, "debitura cases apply", since),
            _stuck(kinds.CLAIM_NEEDS_HUMAN, claim, tenant, "debitura cases status", NOW),
            _stuck(kinds.CLAIM_REFUSED, claim, tenant, "debitura cases status", NOW),
            _stuck(kinds.CLAIM_WAITING, claim, tenant, "debitura cases status", since),
            Planted(
                replace(clean(), webhooks=WebhookFacts(off=(off,))),
                kinds.SUBSCRIPTION_OFF,
                subscription,
                f"debitura webhooks enable {subscription}",
            ),
        )
        found.append(made[number % len(made)])
    return found


def a_hundred() -> list[Planted]:
    single = [*one_of_each(), *of_resources()]
    return [*single, *of_clients_and_claims(100 - len(single))]


def _stuck(kind: str, subject: str, tenant: str, command: str, since: datetime) -> Planted:
    return Planted(with_stuck(StuckFact(kind, subject, tenant, "stuck", since, "ErrorType")), kind, subject, command)


def _warehouse() -> WarehouseFacts:
    found = clean().warehouse
    assert found is not None
    return found
