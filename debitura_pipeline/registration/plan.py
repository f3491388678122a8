"""Decide what happens to each wanted client: from the roster, `ops.registrations`, the listing and the clock. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from debitura_pipeline.outbound.plan_document import PlanRow
from debitura_pipeline.registration.listed import ListedClient
from debitura_pipeline.registration.record import EXPIRED, Registration
from debitura_pipeline.registration.states import (
    INVALID,
    LINKED,
    LINKED_ELSEWHERE,
    NEEDS_LINKING,
    NO_ROW,
    PENDING,
    PLANNED,
    REFUSALS,
    REFUSED,
    REGISTERED,
    SENT,
    WITHDRAWN,
)
from debitura_pipeline.source import RosterClient, SourceRow
from debitura_pipeline.source.places import country_code

# After that, a request that was never answered has no effect any more.
QUIET = timedelta(minutes=15)


@dataclass(frozen=True)
class Situation:
    """What is known beside the roster, all by stored tenant. `listed`: the API's clients now.

    `formerly_linked`: tenants that a sync has seen. `link_events`: the last event about an approval link, and when it came.
    `again`: withdrawn tenants that a person wants registered again.
    """

    now: datetime
    listed: Mapping[str, ListedClient] = field(default_factory=dict)
    registrations: Mapping[str, Registration] = field(default_factory=dict)
    formerly_linked: Collection[str] = ()
    link_events: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)
    again: Set[str] = frozenset()


@dataclass(frozen=True)
class PlannedClient:
    """One client: its state, why, and whether it is sent. `row`: None if the roster no longer has it."""

    tenant: str
    state: str
    reasons: tuple[str, ...] = ()
    is_sent: bool = False
    row: SourceRow[RosterClient] | None = None
    known: Registration | None = None
    creditor_id: str | None = None

    def as_plan_row(self) -> PlanRow:
        """The same for a document."""
        number, row_hash = (self.row.number, self.row.row_hash) if self.row else (None, None)
        return PlanRow(number, self.tenant, self.state, self.reasons, row_hash=row_hash)


def plan_clients(rows: Sequence[SourceRow[RosterClient]], situation: Situation) -> list[PlannedClient]:
    """Each row of the roster in its order, then the clients in doubt that the roster no longer has."""
    wanted = {row.stored_key[0] for row in rows}
    gone = [
        PlannedClient(
            one.tenant, SENT, ("whether it was registered is unknown, and the roster no longer has it",), known=one
        )
        for one in situation.registrations.values()
        if one.is_in_doubt and one.tenant not in wanted and one.tenant not in situation.listed
    ]
    return [_plan(row, situation) for row in rows] + gone


def recorded_clients(rows: Sequence[SourceRow[RosterClient]], situation: Situation) -> list[PlannedClient]:
    """Where each client stands by the last apply, without the listing; first those of the roster, then those in doubt."""
    wanted = {row.stored_key[0] for row in rows}
    gone = [
        one for one in situation.registrations.values() if one.tenant not in wanted and (one.is_in_doubt or not rows)
    ]
    return [_recorded(row, situation) for row in rows] + [
        PlannedClient(one.tenant, one.state, tuple(filter(None, (one.message, one.error_types))), known=one)
        for one in gone
    ]


def _recorded(row: SourceRow[RosterClient], situation: Situation) -> PlannedClient:
    tenant = row.stored_key[0]
    known, reasons = situation.registrations.get(tenant), row.located_reasons()
    if known is None or known.state in (PLANNED, INVALID):
        return PlannedClient(tenant, INVALID if reasons else PLANNED, reasons, row=row, known=known)
    if known.state in (REFUSED, LINKED_ELSEWHERE) and known.row_hash != row.row_hash:
        return PlannedClient(
            tenant, INVALID if reasons else PLANNED, reasons or ("its row has changed",), row=row, known=known
        )
    return PlannedClient(
        tenant, known.state, (*_told(known), *reasons), row=row, known=known, creditor_id=known.creditor_id
    )


def _told(known: Registration) -> tuple[str, ...]:
    """What is recorded of a client whose row is there."""
    return tuple(filter(None, (None if known.message == NO_ROW else known.message, known.error_types)))


def _plan(row: SourceRow[RosterClient], situation: Situation) -> PlannedClient:
    tenant = row.stored_key[0]
    known, listed = situation.registrations.get(tenant), situation.listed.get(tenant)
    if row.row is None:
        reasons = row.located_reasons()
        if known is not None and known.is_in_doubt and listed is None:
            return PlannedClient(tenant, SENT, ("whether it was registered is unknown", *reasons), row=row, known=known)
        return PlannedClient(tenant, INVALID, reasons, row=row, known=known)
    if listed is not None:
        state, other = REGISTERED if listed.is_signed else PENDING, differences(row.row, listed)
        return PlannedClient(
            tenant, state, (other,) if other else (), row=row, known=known, creditor_id=listed.creditor_id
        )
    state, reason = _not_listed(row, known, situation)
    is_sent = state == PLANNED or (state == SENT and known is not None and known.row_hash == row.row_hash)
    return PlannedClient(tenant, state, (reason,) if reason else (), is_sent, row, known)


def _not_listed(row: SourceRow[RosterClient], known: Registration | None, situation: Situation) -> tuple[str, str]:
    """State and reason of a valid row whose tenant is not listed."""
    if known is None or known.state in (PLANNED, INVALID):
        return _withdrawn(row, situation) if row.stored_key[0] in situation.formerly_linked else (PLANNED, "")
    is_changed = known.row_hash != row.row_hash
    if known.state == SENT:
        return _in_doubt(known, situation.now, is_changed=is_changed)
    if known.state in LINKED or known.state == WITHDRAWN:
        return _withdrawn(row, situation, known)
    if known.state == NEEDS_LINKING:
        return _needs_linking(known, situation, is_changed=is_changed)
    if known.state == REFUSED and known.http_status not in (None, *REFUSALS):  # so earlier versions recorded it
        return PLANNED, f"HTTP {known.http_status} was no refusal by Debitura"
    if known.state in (REFUSED, LINKED_ELSEWHERE) and is_changed:
        return PLANNED, f"was {known.state.replace('_', ' ')}, and its row has changed"
    return known.state, ", ".join(_told(known))


def _in_doubt(known: Registration, now: datetime, *, is_changed: bool) -> tuple[str, str]:
    """Sent again as it was; a changed row only once the request that was never answered can have no effect any more."""
    if not is_changed:
        return SENT, "its outcome is unknown; it is sent again as it was"
    until = (known.intent_at or now) + QUIET
    if now >= until:
        return PLANNED, "its row has changed, and what was sent before had no effect"
    return SENT, f"its row changed while its outcome is unknown; it is looked up until {until:%H:%M} UTC"


def _withdrawn(
    row: SourceRow[RosterClient], situation: Situation, known: Registration | None = None
) -> tuple[str, str]:
    """Never sent again automatically: somebody has ended the link, unless the listing does not show it yet."""
    if row.stored_key[0] in situation.again:
        return PLANNED, "was withdrawn, and is to be registered again"
    is_new = known is not None and known.state in LINKED and _is_within(QUIET, known.outcome_at, situation.now)
    what = "is not listed; it may be too new to be" if is_new else "was linked, is no longer listed"
    return WITHDRAWN, f"{what}; `debitura clients apply --again TENANT` registers it again"


def _is_within(span: timedelta, at: datetime | None, now: datetime) -> bool:
    return at is not None and timedelta(0) <= now - at < span


def _needs_linking(known: Registration, situation: Situation, *, is_changed: bool) -> tuple[str, str]:
    event, at = situation.link_events.get(known.tenant, ("", None))
    if at is not None and (known.outcome_at is None or at > known.outcome_at):
        if event == EXPIRED:
            return PLANNED, "its approval link has expired"
        return NEEDS_LINKING, "the client has declined the link; `debitura clients links` asks it again"
    changed = "; its row has changed, and `debitura clients links` sends it again" if is_changed else ""
    return NEEDS_LINKING, f"the client has to approve the link{changed}"


def differences(wanted: RosterClient, listed: ListedClient) -> str | None:
    """The fields that the listing has otherwise than the roster, as a reason; None if there are none. The API cannot change
    them."""
    number = listed.registration_number
    pairs = {
        "company_name": listed.company_name and _plain(listed.company_name) != _plain(wanted.company_name),
        "country": listed.country and _plain_country(listed.country) != _plain_country(wanted.country),
        "registration_number": number and _plain(number) != _plain(wanted.registration_number or number),
    }
    names = [name for name, is_other in pairs.items() if is_other]
    return f"differs: {', '.join(names)}" if names else None


def _plain(text: str) -> str:
    return text.strip().casefold()


def _plain_country(text: str) -> str:
    return country_code(text) or _plain(text)
