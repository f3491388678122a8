"""Collect what a plan needs: the roster, `ops.registrations`, the listing. Sends no write requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime, open_client
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.outbound.plan_document import PlanDocument
from debitura_pipeline.outbound.privacy_mode import check_privacy_mode
from debitura_pipeline.registration.listed import read_listed
from debitura_pipeline.registration.plan import PlannedClient, Situation, plan_clients, recorded_clients
from debitura_pipeline.registration.record import formerly_linked, link_events, read_registrations
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.source import RosterClient, SourceRead, read_roster
from debitura_pipeline.sync.partner import read_me
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.identity import IdentityCheck, api_name, check_identity
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists

KIND = "clients"


@dataclass(frozen=True)
class ClientsPlan:
    """What would happen to each wanted client, and from what this was decided."""

    roster: SourceRead[RosterClient]
    situation: Situation
    clients: tuple[PlannedClient, ...]
    document: PlanDocument


def read_wanted(
    settings: Settings, now: datetime, *, allow_shrink: bool = False, is_noted: bool = True
) -> SourceRead[RosterClient]:
    """The roster, before anything else is asked. Raises SourceError."""
    return read_roster(settings, now.astimezone(UTC).date(), allow_shrink=allow_shrink, is_noted=is_noted)


@asynccontextmanager
async def partner_session(
    settings: Settings, endpoint: Endpoint, runtime: Runtime, known: IdentityCheck | None = None
) -> AsyncIterator[tuple[ApiClient, IdentityCheck]]:
    """A client of the API, once it is known that this key's partner is the one whose data is here.

    `known`: whose data it is, if that was checked before. Raises IdentityRefused, ApiError, WarehouseError.
    """
    known = known or check_identity(settings)
    async with open_client(settings, endpoint, runtime) as client:
        _, partner_id = await read_me(client)
        yield client, known.with_partner(partner_id)


async def make_plan(
    settings: Settings,
    client: ApiClient,
    roster: SourceRead[RosterClient],
    now: datetime,
    warehouse: SqlWarehouse | None = None,
    again: Sequence[str] = (),
) -> ClientsPlan:
    """The plan as of now. `warehouse`: open already, else it is opened for reading if there is one. `again`: tenant ids, as in
    the roster, of withdrawn clients that are to be registered again.

    Raises SettingsError if one of these is not known; UnprovenError, ApiError, WarehouseError.
    """
    keys = BusinessKeys.from_settings(settings)
    listed = {keys.stored(tenant): one for tenant, one in (await read_listed(client)).items()}
    situation = Situation(now, listed, again={keys.stored(tenant) for tenant in again})
    if warehouse is not None:
        situation = _with_known(situation, warehouse)
    elif warehouse_exists(settings):
        with open_warehouse(settings, read_only=True) as found:
            situation = _with_known(situation, found)
    check_privacy_mode(settings, "registrations", ((tenant,) for tenant in situation.registrations))
    unknown = situation.again - {row.stored_key[0] for row in roster.rows} - situation.registrations.keys()
    if unknown:
        raise SettingsError(
            "--again names a client that is neither in the roster nor recorded. Example: --again tenant-042"
        )
    return plan_from(settings, roster, situation)


def plan_from(
    settings: Settings, roster: SourceRead[RosterClient], situation: Situation, *, uses_listing: bool = True
) -> ClientsPlan:
    """The plan for a roster and what is known. Without `uses_listing`, clients stand where they are recorded."""
    decide = plan_clients if uses_listing else recorded_clients
    clients = tuple(decide(roster.rows, situation))
    rows = tuple(one.as_plan_row() for one in clients)
    document = PlanDocument(KIND, settings.environment, api_name(settings), roster.label, situation.now, rows)
    return ClientsPlan(roster, situation, clients, document)


def known_situation(settings: Settings, now: datetime) -> Situation:
    """What the warehouse knows, without the API: an empty situation if there is none. Raises WarehouseError."""
    situation = Situation(now)
    if not warehouse_exists(settings):
        return situation
    with open_warehouse(settings, read_only=True) as warehouse:
        return _with_known(situation, warehouse)


def _with_known(situation: Situation, warehouse: SqlWarehouse) -> Situation:
    return replace(
        situation,
        registrations=read_registrations(warehouse),
        formerly_linked=formerly_linked(warehouse),
        link_events=link_events(warehouse),
    )
