"""The registration step of a run of job `outbound`. Metadata has counts and states only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.orchestration.coverage import add_registered
from debitura_pipeline.orchestration.keys import REGISTRATION
from debitura_pipeline.orchestration.outbound import OutboundStep, execute, plan_metadata
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.wanted import AGAIN_AFTER
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.outbound.permission import CLIENTS
from debitura_pipeline.registration import apply_registrations, plan_registrations
from debitura_pipeline.registration.record import read_registrations
from debitura_pipeline.registration.states import LINKED, SENT
from debitura_pipeline.settings import Settings
from debitura_pipeline.source.roster import ROSTER
from debitura_pipeline.warehouse.opening import open_warehouse


class RegistrationStopped(DebituraError):
    """An apply ended before every planned client was sent."""


def register(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    """Plan, and apply if DEBITURA_WRITES allows it. Yields nothing without a roster.

    Raises RegistrationStopped after the results, and what the plan raises.
    """
    yield from execute(_STEP, context, debitura)


def _onboard(context: dg.AssetExecutionContext, debitura: Debitura) -> None:
    added = add_registered(debitura.state(context.instance), registered_keys(debitura.settings))
    if added:
        context.log.info(f"{added} registered clients were added for onboarding")


def registered_keys(settings: Settings) -> list[str]:
    """Partition keys of the clients that were registered, and that Debitura has a record of. Raises WarehouseError."""
    with open_warehouse(settings, read_only=True) as warehouse:
        found = read_registrations(warehouse).values()
    return sorted(
        ClientRef(one.tenant, one.creditor_id).key for one in found if one.state in LINKED and one.creditor_id
    )


def pause_after_registering(applied: AppliedPlan) -> timedelta | None:
    """When to look again, if a later run goes on. Refused clients wait for a changed row; so do those in doubt that the roster no
    longer has."""
    is_unfinished = any(row.state == SENT and row.row is not None for row in applied.document.rows)
    return AGAIN_AFTER if applied.stopped is not None or is_unfinished else None


_STEP = OutboundStep(
    ROSTER, CLIENTS, REGISTRATION["plan"], REGISTRATION["clients"],
    plan=lambda settings, endpoint: plan_registrations(settings, endpoint).document,
    apply=apply_registrations, describe=plan_metadata, pause=pause_after_registering, stopped=RegistrationStopped, after=_onboard,
)  # fmt: skip
