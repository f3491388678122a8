"""What a plan makes of `ops.registrations` before anything is sent: states that the roster and the listing decide. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from debitura_pipeline.registration.plan import PlannedClient, Situation
from debitura_pipeline.registration.record import Registration
from debitura_pipeline.registration.states import INVALID, LINKED, NO_ROW, PENDING, PLANNED, REGISTERED, SENT, WITHDRAWN

# An invalid row says nothing about a client that was sent or linked before.
_REPLACED_BY_INVALID = frozenset({INVALID, PLANNED})


def settled(clients: tuple[PlannedClient, ...], situation: Situation) -> Iterator[Registration]:
    """The rows that differ from what is recorded, each tenant once."""
    seen = set()
    for client in clients:
        if client.tenant and client.tenant not in seen:
            seen.add(client.tenant)
            new = _of_wanted(client, situation.now)
            if new != client.known:
                yield new
    for known in situation.registrations.values():
        if known.tenant not in seen and (new := _of_unwanted(known, situation)) != known:
            yield new


def _of_wanted(client: PlannedClient, now: datetime) -> Registration:
    """The record of a wanted client as the plan sees it."""
    known, row_hash = client.known, client.row.row_hash if client.row else None
    if known is not None and known.message == NO_ROW and client.row is not None:  # it is back
        known = replace(known, message=None)
    if known is None:
        message = "; ".join(client.reasons) or None
        return Registration(
            client.tenant, row_hash, client.state, creditor_id=client.creditor_id, message=message,
            outcome_at=now if client.state in LINKED else None,
        )  # fmt: skip
    message = "; ".join(client.reasons) or None
    if client.state == INVALID:
        is_replaced = known.state in _REPLACED_BY_INVALID
        return replace(known, state=INVALID, row_hash=row_hash, message=message) if is_replaced else known
    if client.state in LINKED:
        at = known.outcome_at if known.state == client.state else now
        creditor_id = client.creditor_id or known.creditor_id
        linked = replace(
            known, state=client.state, row_hash=row_hash, creditor_id=creditor_id, message=message, outcome_at=at
        )
        # The listing has overtaken the last answer.
        return linked if known.state in LINKED else replace(linked, http_status=None, error_types=None)
    if client.state == WITHDRAWN and known.state != WITHDRAWN:
        return replace(known, state=WITHDRAWN, message=message, outcome_at=now)
    if client.state == PLANNED:  # the hash of what was refused stays until something else is sent
        return replace(known, state=PLANNED, message=message) if known.state in (INVALID, PLANNED) else known
    return known


def _of_unwanted(known: Registration, situation: Situation) -> Registration:
    """The record of a client that the roster no longer has."""
    listed = situation.listed.get(known.tenant)
    if listed is not None:
        state = REGISTERED if listed.is_signed else PENDING
        at = known.outcome_at if known.state == state else situation.now
        linked = replace(known, state=state, creditor_id=listed.creditor_id, outcome_at=at)
        return linked if known.state in LINKED else replace(linked, http_status=None, error_types=None, message=None)
    if known.state in LINKED:
        return replace(known, state=WITHDRAWN, message="was linked, is no longer listed", outcome_at=situation.now)
    return known if known.state in (SENT, WITHDRAWN) else replace(known, message=NO_ROW)
