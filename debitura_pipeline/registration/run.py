"""Entry points: plan, apply, links. Called by the command line and by the Dagster assets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.http import DEFAULT_TIMEOUTS
from debitura_pipeline.api.writes import WRITE_TIMEOUTS, WriteClient
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.outbound.budget import open_write_budget
from debitura_pipeline.outbound.permission import CLIENTS, require_writes
from debitura_pipeline.outbound.plan_document import check_kept
from debitura_pipeline.registration.apply import Applied, OnOutcome, Registrar
from debitura_pipeline.registration.gather import ClientsPlan, make_plan, partner_session, read_wanted
from debitura_pipeline.registration.listed import ListedClient
from debitura_pipeline.registration.outcome import RegistrationOutcome
from debitura_pipeline.registration.plan import PlannedClient
from debitura_pipeline.registration.record import write_registrations
from debitura_pipeline.registration.settle import settled
from debitura_pipeline.registration.states import NEEDS_LINKING, OPEN, PENDING
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.source import SourceRead
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.run_lock import CLIENTS_APPLY, CLIENTS_LINKS, exclusive_run


@dataclass(frozen=True)
class ClientLink:
    """Where a client signs or approves, as of now; it is printed and never stored. `remark`: why there is no link."""

    tenant: str
    state: str
    url: str | None = field(default=None, repr=False)
    remark: str | None = None


def plan_registrations(
    settings: Settings,
    endpoint: Endpoint,
    *,
    runtime: Runtime | None = None,
    allow_shrink: bool = False,
    again: Sequence[str] = (),
) -> ClientsPlan:
    """What `apply_registrations` would do now. Sends no write requests, and writes nothing to the warehouse.

    Raises SourceError, IdentityRefused, UnprovenError, ApiError, WarehouseError.
    """
    runtime = runtime or Runtime()
    known = check_identity(settings)
    roster = read_wanted(settings, runtime.now(), allow_shrink=allow_shrink)

    async def work() -> ClientsPlan:
        async with partner_session(settings, endpoint, runtime, known) as (client, _):
            return await make_plan(settings, client, roster, runtime.now(), again=again)

    return asyncio.run(work())


def apply_registrations(
    settings: Settings,
    endpoint: Endpoint,
    kept: Path | None = None,
    *,
    runtime: Runtime | None = None,
    allow_shrink: bool = False,
    again: Sequence[str] = (),
    on_outcome: OnOutcome | None = None,
) -> AppliedPlan:
    """Register what the roster wants. `kept`: a plan file that must still hold. `again`: withdrawn clients to register again.

    Raises SettingsError without `clients` in DEBITURA_WRITES, before anything is read; PlanMoved, with nothing sent; SourceError,
    IdentityRefused, UnprovenError, ApiError, WarehouseError.
    """
    require_writes(settings, CLIENTS)
    runtime = runtime or Runtime()
    with exclusive_run(settings, CLIENTS_APPLY):
        known = check_identity(settings)
        roster = read_wanted(settings, runtime.now(), allow_shrink=allow_shrink)

        async def work() -> AppliedPlan:
            async with partner_session(settings, endpoint, runtime, known) as (client, identity):
                with open_warehouse(settings) as warehouse:
                    found = await make_plan(settings, client, roster, runtime.now(), warehouse, again)
                    if kept is not None:
                        check_kept(kept, found.document)
                    identity.keep()
                    write_registrations(warehouse, list(settled(found.clients, found.situation)))
                    applied = await _send(settings, endpoint, runtime, warehouse, found.clients, on_outcome)
            return _after(found, applied)

        return asyncio.run(work())


def client_links(
    settings: Settings, endpoint: Endpoint, tenant: str | None = None, *, runtime: Runtime | None = None
) -> list[ClientLink]:
    """Links of all clients that have to sign or approve, or of one. `tenant`: as in the roster, or as stored.

    A client that must approve is sent again, which gives a fresh link, if DEBITURA_WRITES has `clients`. Raises SettingsError if
    neither the roster nor the API has the tenant, and what `apply_registrations` raises.
    """
    runtime = runtime or Runtime()
    known = check_identity(settings)
    is_set = settings.outbound.roster is not None
    roster = read_wanted(settings, runtime.now()) if is_set else SourceRead("no roster", ())

    async def work() -> list[ClientLink]:
        async with partner_session(settings, endpoint, runtime, known) as (client, identity):
            found = await make_plan(settings, client, roster, runtime.now())
            _check_tenant(found, tenant)
            chosen = [one for one in found.clients if _is_chosen(one, tenant)]
            waiting = [replace(one, is_sent=True) for one in chosen if _needs_linking(one)]
            fresh: dict[str, RegistrationOutcome] = {}
            remark = "DEBITURA_WRITES lacks `clients`, which a fresh link needs"
            if waiting and CLIENTS in settings.outbound.writes:
                identity.keep()
                with open_warehouse(settings) as warehouse:
                    applied = await _send(settings, endpoint, runtime, warehouse, waiting)
                fresh, remark = applied.outcomes, applied.stopped or "the API gave no link"
            return [*_links(chosen, found, fresh, remark), *_links_of_others(found, tenant)]

    if CLIENTS in settings.outbound.writes:
        with exclusive_run(settings, CLIENTS_LINKS):
            return asyncio.run(work())
    return asyncio.run(work())


async def _send(
    settings: Settings,
    endpoint: Endpoint,
    runtime: Runtime,
    warehouse: SqlWarehouse,
    clients: Sequence[PlannedClient],
    on_outcome: OnOutcome | None = None,
) -> Applied:
    timeouts = WRITE_TIMEOUTS if runtime.timeouts is DEFAULT_TIMEOUTS else runtime.timeouts
    with open_write_budget(settings, endpoint, runtime) as (_, budget):
        writer = WriteClient(
            endpoint.base_url, endpoint.api_key, budget, clock=runtime.now, timeouts=timeouts, network=settings.network
        )
        async with writer:
            return await Registrar(writer, budget, warehouse, runtime).send_all(clients, on_outcome)


def _after(found: ClientsPlan, applied: Applied) -> AppliedPlan:
    """The plan's rows with the states that the outcomes have made of them."""
    rows = []
    for client in found.clients:
        row, outcome = client.as_plan_row(), applied.outcomes.get(client.tenant)
        if client.is_sent and outcome is not None:
            reasons = tuple(filter(None, (outcome.message, ", ".join(dict.fromkeys(outcome.error_types)))))
            row = replace(row, state=outcome.state, reasons=reasons)
        rows.append(row)
    document = replace(found.document, rows=tuple(rows))
    sent = sum(one.had_effect for one in applied.outcomes.values())
    return AppliedPlan(found.document, document, sent, applied.stopped, found.roster.unknown, open_states=OPEN)


def _is_chosen(client: PlannedClient, tenant: str | None) -> bool:
    return tenant is None or tenant == client.tenant or (client.row is not None and tenant == client.row.key[0])


def _needs_linking(client: PlannedClient) -> bool:
    """Whether it waits for an approval, also where the link has expired."""
    return (
        client.row is not None
        and client.known is not None
        and client.known.state == NEEDS_LINKING
        and (client.is_sent or client.state == NEEDS_LINKING)
    )


def _links(
    chosen: Sequence[PlannedClient], found: ClientsPlan, fresh: Mapping[str, RegistrationOutcome], remark: str
) -> Iterator[ClientLink]:
    for client in chosen:
        outcome, listed = fresh.get(client.tenant), found.situation.listed.get(client.tenant)
        if outcome is not None:
            yield ClientLink(client.tenant, outcome.state, outcome.link, None if outcome.link else outcome.message)
        elif client.state == PENDING and listed is not None:
            yield _of_listed(client.tenant, listed)
        elif _needs_linking(client):
            yield ClientLink(client.tenant, NEEDS_LINKING, None, remark)


def _check_tenant(found: ClientsPlan, tenant: str | None) -> None:
    """Raises SettingsError for a tenant that is neither wanted nor listed."""
    listed = found.situation.listed
    is_known = any(_is_chosen(one, tenant) for one in found.clients) or any(
        tenant in (stored, one.tenant) for stored, one in listed.items()
    )
    if tenant is not None and not is_known:
        raise SettingsError(
            "--tenant names a client that neither the roster nor the API has. Example: --tenant tenant-042"
        )


def _links_of_others(found: ClientsPlan, tenant: str | None) -> Iterator[ClientLink]:
    """Clients that the roster does not have, and that have not signed."""
    wanted = {client.tenant for client in found.clients}
    for stored, listed in found.situation.listed.items():
        if stored not in wanted and not listed.is_signed and tenant in (None, stored, listed.tenant):
            yield _of_listed(stored, listed)


def _of_listed(tenant: str, listed: ListedClient) -> ClientLink:
    return ClientLink(tenant, PENDING, listed.link, None if listed.link else "the API lists no link")
