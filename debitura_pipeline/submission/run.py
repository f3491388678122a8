"""Entry points: plan, apply, status. Called by the command line and by the Dagster assets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.write_budget import WriteBudget
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.outbound.budget import open_write_budget
from debitura_pipeline.outbound.permission import CASES, require_writes
from debitura_pipeline.outbound.plan_document import PlanDocument, check_kept
from debitura_pipeline.registration.gather import partner_session
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.source import Claim, SourceRead, SourceRow, read_claims
from debitura_pipeline.source.claims import CLAIMS
from debitura_pipeline.source.read import ensure_set
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.apply import OnOutcome, Submitter
from debitura_pipeline.submission.claims_plan import ClaimsPlan, document_of
from debitura_pipeline.submission.facts import keys_honoured
from debitura_pipeline.submission.gather import Gatherer
from debitura_pipeline.submission.known import Known, RecordsByRow, api_day, current_creditors, read_warehouse_state
from debitura_pipeline.submission.lookup_failures import NOT_REACHED
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.sessions import CustomerApi
from debitura_pipeline.submission.settled import ask_for_named_cases, read_settled_records
from debitura_pipeline.submission.states import DECISIVE, INVALID, PLANNED, REFUSED, SENT, Record
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists
from debitura_pipeline.warehouse.run_lock import CASES_APPLY, exclusive_run

OPEN = frozenset({PLANNED, REFUSED, SENT})


def plan_claims(
    settings: Settings, endpoint: Endpoint, *, runtime: Runtime | None = None, allow_shrink: bool = False
) -> ClaimsPlan:
    """What `apply_claims` would do now. Sends no write requests, and writes nothing to the warehouse.

    Raises SourceError, IdentityRefused, UnprovenError, ApiError, WarehouseError, SettingsError.
    """
    runtime = runtime or Runtime()
    ensure_set(settings.outbound.claims, CLAIMS)

    async def work() -> ClaimsPlan:
        async with partner_session(settings, endpoint, runtime) as (partner, _):
            source = _read(settings, partner, runtime, allow_shrink=allow_shrink)
            known = Known()
            if warehouse_exists(settings):
                with open_warehouse(settings, read_only=True) as warehouse:
                    known = read_warehouse_state(warehouse, source, partner.server_time or runtime.now())
            known = replace(known, records=tuple(await ask_for_named_cases(partner, known.records)))
            async with _gatherer(settings, endpoint, partner, known, runtime) as (gatherer, _):
                return await gatherer.make_plan(source)

    return asyncio.run(work())


def apply_claims(
    settings: Settings,
    endpoint: Endpoint,
    kept: Path | None = None,
    *,
    runtime: Runtime | None = None,
    allow_shrink: bool = False,
    on_outcome: OnOutcome | None = None,
) -> AppliedPlan:
    """Submit what the source wants. `kept`: a plan file that must still hold.

    Raises SettingsError without `cases` in DEBITURA_WRITES, before anything is read; PlanMoved, with nothing sent; and what
    `plan_claims` raises.
    """
    require_writes(settings, CASES)
    runtime = runtime or Runtime()
    ensure_set(settings.outbound.claims, CLAIMS)
    # Held from the plan to the last outcome, also while requests are on their way: the next step of a claim rests on what was
    # stored and looked up before. Between two claims, another apply or a sync could change both.
    with exclusive_run(settings, CASES_APPLY):

        async def work() -> AppliedPlan:
            async with partner_session(settings, endpoint, runtime) as (partner, identity):
                source = _read(settings, partner, runtime, allow_shrink=allow_shrink)
                with open_warehouse(settings) as warehouse:
                    known = read_warehouse_state(warehouse, source, partner.server_time or runtime.now())
                    known = replace(known, records=tuple(await ask_for_named_cases(partner, known.records)))
                    async with _gatherer(settings, endpoint, partner, known, runtime, is_applied=True) as (
                        gatherer,
                        budget,
                    ):
                        found = await gatherer.make_plan(source)
                        if kept is not None:
                            check_kept(kept, found.document, NOT_REACHED)
                        identity.keep()
                        return await _send(settings, warehouse, gatherer, budget, found, on_outcome)

        return asyncio.run(work())


async def _send(
    settings: Settings,
    warehouse: SqlWarehouse,
    gatherer: Gatherer,
    budget: WriteBudget,
    found: ClaimsPlan,
    on_outcome: OnOutcome | None,
) -> AppliedPlan:
    records, before = Records(warehouse), set(gatherer.known.stored)
    records.store(
        one
        for one in (*gatherer.known.records, *(claim.record for claim in found.claims), *found.unwanted)
        if one not in before
    )
    submitter = Submitter(gatherer, gatherer.customer, budget, records, gatherer.runtime)
    applied = await submitter.apply_all(found.claims, on_outcome)
    document = document_of(settings, found.source.label, applied.claims, found.document.made_at)
    return AppliedPlan(
        found.document, document, applied.sent, applied.stopped or found.stopped, found.source.unknown, open_states=OPEN
    )


def claims_status(settings: Settings, now: datetime, *, with_source: bool = True) -> PlanDocument:
    """Where each claim stands, by the source and the warehouse alone. Raises SourceError, WarehouseError."""
    uses_source = with_source and settings.outbound.claims is not None
    if not warehouse_exists(settings):
        return status_document(settings, _source(settings, now.date(), uses_source), (), now)
    with open_warehouse(settings, read_only=True) as warehouse:
        source = _source(settings, api_day(settings, warehouse, now), uses_source)
        creditors = current_creditors(warehouse, (row.stored_key[0] for row in source.rows))
        return status_document(settings, source, read_settled_records(warehouse), now, creditors)


def status_document(
    settings: Settings,
    source: SourceRead[Claim],
    records: Iterable[Record],
    now: datetime,
    creditors: Mapping[str, str] | None = None,
) -> PlanDocument:
    """Records, each with its row's number, and the rows of the source that have none. `creditors`: by tenant id, as known."""
    records = list(records)
    known, claims, shown = RecordsByRow(records, creditors or {}), [], set()
    for row in source.rows:
        tenant, reference = row.stored_key
        stored = known.of(row.stored_key)
        if stored is not None:
            shown.add(stored)
        claims.append(_standing(stored, row, Record(tenant, reference)))
    claims += [PlannedClaim(record, reasons=plan.reasons_of(record)) for record in records if record not in shown]
    claims.sort(key=lambda one: (one.row is None, one.row.number if one.row else 0))
    return document_of(settings, source.label, claims, now)


def _standing(stored: Record | None, row: SourceRow[Claim], new: Record) -> PlannedClaim:
    """A row beside its record. What the record says of a row that is valid now, or no longer is, is not repeated."""
    record = stored or new
    if record.state in DECISIVE or (row.row is not None and record.state != INVALID):
        return PlannedClaim(record, row, reasons=plan.reasons_of(record))
    state = PLANNED if row.row is not None else INVALID
    return PlannedClaim(record.having(state=state), row, reasons=row.located_reasons())


def _source(settings: Settings, today: date, is_used: bool) -> SourceRead[Claim]:
    if not is_used:
        return SourceRead("no claims", ())
    return read_claims(settings, today, allow_shrink=True, is_noted=False)


def _read(settings: Settings, partner: ApiClient, runtime: Runtime, *, allow_shrink: bool) -> SourceRead[Claim]:
    today = (partner.server_time or runtime.now()).astimezone(UTC).date()
    return read_claims(settings, today, allow_shrink=allow_shrink)


@asynccontextmanager
async def _gatherer(
    settings: Settings,
    endpoint: Endpoint,
    partner: ApiClient,
    known: Known,
    runtime: Runtime,
    *,
    is_applied: bool = False,
) -> AsyncIterator[tuple[Gatherer, WriteBudget]]:
    with open_write_budget(settings, endpoint, runtime) as (limiter, budget):
        async with CustomerApi(settings, endpoint, partner, limiter, runtime) as customer:
            honoured = keys_honoured(settings)
            yield Gatherer(settings, runtime, partner, customer, known, honoured, is_applied), budget
