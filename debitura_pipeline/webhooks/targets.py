"""Decide what is read for events. Pure.

An event is a hint: it says where to look, and what is true is read from the API. So neither the order of events nor their
repetition matters, and an unknown type counts by what it names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from debitura_pipeline.sync import TargetedSync, Targets
from debitura_pipeline.webhooks.events import (
    LEFT_TO_NIGHTLY,
    LEFT_TO_SYNC,
    NOT_LISTED,
    NOT_LOADED,
    NOTHING,
    REFRESHED,
    REFUSED,
    PendingEvent,
)

CREATED = "case.created"  # a new case has no transactions yet
PAGE_ROWS = 100
FEW_CASES = 20  # up to this many are read by id whatever the size of the listing
MAX_CASES = 500  # beyond this, the listing is read
REQUESTS_PER_CASE = 2  # the case itself, and the listing at its date
MAX_TRANSACTIONS = 300  # a client with more is left to the nightly sync: its transactions cannot be asked for by case
MAX_CLIENTS = 20  # whose transactions are read in one run; those of further ones are left to the nightly sync
# A case may be listed some minutes after its event; then it is looked up again.
LISTED_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True)
class KnownRows:
    """What of the events' subjects is in `raw`, live. `tenant_of_case`: by case id. `transactions`: number by tenant.

    `cases`: number of all cases.
    """

    clients: Collection[str] = frozenset()
    tenant_of_case: Mapping[str, str | None] = field(default_factory=dict)
    transactions: Mapping[str, int] = field(default_factory=dict)
    cases: int = 0


@dataclass(frozen=True)
class Choice:
    """`targets`: what is read. `is_listing_read`: the listing of cases is read, because that takes fewer requests."""

    targets: Targets
    is_listing_read: bool = False


def choose_targets(events: Sequence[PendingEvent], known: KnownRows) -> Choice:
    """Choose what to read for these events, each thing once."""
    cases = list(dict.fromkeys(event.case_id for event in events if event.case_id and _is_loaded(event, known)))
    clients = [event.tenant for event in events if not event.case_id and _is_loaded(event, known)]
    moved = [_tenant(event, known) for event in events if _moves_transactions(event)]
    few = [
        tenant
        for tenant in dict.fromkeys(moved)
        if tenant in known.clients and known.transactions.get(tenant or "", 0) <= MAX_TRANSACTIONS
    ]
    pages = -(-known.cases // PAGE_ROWS)
    is_many = len(cases) > FEW_CASES and (len(cases) * REQUESTS_PER_CASE > pages or len(cases) > MAX_CASES)
    return Choice(
        Targets(
            cases=() if is_many else tuple(cases),
            transactions=tuple(tenant for tenant in few[:MAX_CLIENTS] if tenant),
            clients=tuple(dict.fromkeys(tenant for tenant in clients if tenant)),
        ),
        is_many,
    )


def outcomes_of(
    events: Sequence[PendingEvent], known: KnownRows, choice: Choice, found: TargetedSync, now: datetime
) -> dict[str, str]:
    """The outcome of each event by its id. Events of cases that may still appear in the listing have none."""
    found_outcomes = {event.id: _outcome(event, known, choice, found, now) for event in events}
    return {event_id: outcome for event_id, outcome in found_outcomes.items() if outcome is not None}


def _outcome(event: PendingEvent, known: KnownRows, choice: Choice, found: TargetedSync, now: datetime) -> str | None:
    if not event.case_id and not event.tenant:
        return NOTHING
    if not _is_loaded(event, known):
        return NOT_LOADED
    resource = "cases" if event.case_id else "clients"
    if resource in found.deferred:
        return LEFT_TO_SYNC
    is_refused = event.case_id in found.refused_cases if event.case_id else event.tenant in found.failed
    if is_refused or resource in found.refused:
        return REFUSED
    if event.case_id and not choice.is_listing_read and event.case_id not in found.listed:
        return None if now - event.received_at < LISTED_WITHIN else NOT_LISTED
    return _outcome_of_transactions(_tenant(event, known), choice, found) if _moves_transactions(event) else REFRESHED


def _outcome_of_transactions(tenant: str | None, choice: Choice, found: TargetedSync) -> str:
    """The outcome of an event whose case was read."""
    if tenant not in choice.targets.transactions:
        return LEFT_TO_NIGHTLY
    if "transactions" in found.deferred:
        return LEFT_TO_SYNC
    return REFUSED if tenant in found.failed or "transactions" in found.refused else REFRESHED


def _moves_transactions(event: PendingEvent) -> bool:
    return bool(event.case_id) and event.type != CREATED


def _is_loaded(event: PendingEvent, known: KnownRows) -> bool:
    """Whether its client is in `raw`: a client is loaded with its whole history or not at all."""
    return (event.case_id or "") in known.tenant_of_case or _tenant(event, known) in known.clients


def _tenant(event: PendingEvent, known: KnownRows) -> str | None:
    return known.tenant_of_case.get(event.case_id or "") or event.tenant
