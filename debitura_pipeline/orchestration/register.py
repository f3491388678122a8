"""Execute the registration step of a run of job `outbound`, and describe it in Dagster's metadata: counts and states only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.incidents.outbound_fault import outbound_noted
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.orchestration.coverage import add_registered
from debitura_pipeline.orchestration.keys import REGISTRATION
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.wanted import (
    AGAIN_AFTER,
    handled_state,
    look_again,
    wanted_parts,
    wanted_state,
)
from debitura_pipeline.outbound.permission import CLIENTS
from debitura_pipeline.outbound.plan_document import PlanDocument
from debitura_pipeline.registration import AppliedPlan, apply_registrations, plan_registrations
from debitura_pipeline.registration.record import read_registrations
from debitura_pipeline.registration.states import LINKED, SENT
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import ROSTER
from debitura_pipeline.warehouse.opening import open_warehouse


class RegistrationStopped(DebituraError):
    """An apply ended before every planned client was sent."""


def register(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    """Plan, and apply if DEBITURA_WRITES allows it. Yields nothing without a roster.

    Raises RegistrationStopped after the results, and what the plan raises.
    """
    with outbound_noted(debitura.settings, ROSTER.name):
        yield from _register(context, debitura)


def _register(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    settings = debitura.settings
    part = next((part for part in wanted_parts(settings) if part.plan == REGISTRATION["plan"]), None)
    if part is None:
        context.log.info("DEBITURA_ROSTER is not set, so there is nothing to register")
        return
    state, before = (
        wanted_state(settings, context.instance, part, datetime.now(UTC)),
        handled_state(context.instance, part),
    )
    applied: AppliedPlan | None = None
    with debitura.endpoint() as endpoint:
        if CLIENTS in settings.outbound.writes:
            applied = apply_registrations(settings, endpoint)
            planned = applied.planned
        else:
            planned = plan_registrations(settings, endpoint).document
    first = AGAIN_AFTER if applied and is_unfinished(applied) else None
    again = look_again(state, before, datetime.now(UTC), first)
    yield dg.MaterializeResult(REGISTRATION["plan"], metadata={**plan_metadata(planned), **state, **again})
    if applied is None:
        return
    added = add_registered(context.instance, registered_keys(settings))
    if added:
        context.log.info(f"{added} registered clients were added for onboarding")
    yield dg.MaterializeResult(
        REGISTRATION["clients"], metadata={**plan_metadata(applied.document), "sent": applied.sent}
    )
    if applied.stopped:
        raise RegistrationStopped(applied.stopped)


def registered_keys(settings: Settings) -> list[str]:
    """Partition keys of the clients that were registered, and that Debitura has a record of. Raises WarehouseError."""
    with open_warehouse(settings, read_only=True) as warehouse:
        found = read_registrations(warehouse).values()
    return sorted(
        ClientRef(one.tenant, one.creditor_id).key for one in found if one.state in LINKED and one.creditor_id
    )


def plan_metadata(document: PlanDocument) -> dict[str, Any]:
    """The number of rows, and of rows by state."""
    counts = {f"state_{state}": count for state, count in document.summary.items()}
    return {"rows": len(document.rows), "origin": document.source, **counts}


def is_unfinished(applied: AppliedPlan) -> bool:
    """Whether a later run goes on. Refused clients wait for a changed row; so do those in doubt that the roster no longer has."""
    return applied.stopped is not None or any(
        row.state == SENT and row.row is not None for row in applied.document.rows
    )
