"""Read some clients' part of a listing into one sync folder. Each client is proven separately; one failure affects no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from debitura_pipeline.errors import ApiError, RateLimitExhausted, UnprovenError
from debitura_pipeline.extract.landed_rows import DATE_COLUMNS
from debitura_pipeline.extract.plan import Plan
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import Slice
from debitura_pipeline.incremental.baseline import snapshot_sql
from debitura_pipeline.reconcile.completeness import CompletenessProof, Prover
from debitura_pipeline.sync.land import Baseline, Landing, tenants_by_creditor
from debitura_pipeline.warehouse.base import Warehouse

log = logging.getLogger(__name__)


def export_client_baselines(
    warehouse: Warehouse, resource: str, mode: str | None, folder: Path, tenants: Sequence[str]
) -> dict[str, Baseline]:
    """Baselines of tenants that have rows in the warehouse, by tenant. Raises WarehouseError."""
    places = ", ".join(f"${place}" for place in range(1, len(tenants) + 1))
    found = warehouse.rows(
        f"SELECT DISTINCT external_tenant_id FROM raw.{resource} "
        f"WHERE _deleted_at IS NULL AND external_tenant_id IN ({places}) ORDER BY 1",
        tenants,
    )
    if not found:
        return {}
    of_creditor = tenants_by_creditor(warehouse, resource)
    baselines: dict[str, Baseline] = {}
    for number, (tenant,) in enumerate(found):
        before = folder / f"before-{number}.parquet"
        warehouse.export(snapshot_sql(resource, mode, DATE_COLUMNS[resource], tenant), before)
        baselines[tenant] = Baseline(before, tenants=of_creditor)
    return baselines


async def land_clients(reader: Reader, chosen: Plan, baselines: Mapping[str, Baseline], mode: str | None) -> Landing:
    """Read and prove each slice of the plan, one per tenant, several concurrently.

    Tenants that cannot be read or proven are in `failed`; if none can, raises the first such ApiError or UnprovenError. Raises at
    once what concerns all tenants: BudgetSpent, LandingError, WarehouseError.
    """
    tenants = [slice_.filters[0][1] for slice_ in chosen.slices]
    readers = [reader.independent() for _ in tenants]
    slots = asyncio.Semaphore(max(1, reader.client.concurrency_limit))

    async def prove(own: Reader, slice_: Slice, tenant: str) -> CompletenessProof | Exception:
        baseline = baselines.get(tenant)
        before, known = (baseline.before, baseline.tenants) if baseline is not None else (None, {})
        async with slots:
            try:
                return await Prover(own, slice_, mode, before, known).prove(await own.read([slice_]))
            except RateLimitExhausted:
                raise
            except (ApiError, UnprovenError) as error:
                return error

    proving = [asyncio.create_task(prove(*one)) for one in zip(readers, chosen.slices, tenants, strict=True)]
    try:
        found = dict(zip(tenants, await asyncio.gather(*proving), strict=True))
    finally:
        for task in proving:
            task.cancel()
        await asyncio.gather(*proving, return_exceptions=True)
    failed = {tenant: one for tenant, one in found.items() if isinstance(one, Exception)}
    if len(failed) == len(tenants):
        raise next(iter(failed.values()))
    proofs = {tenant: one for tenant, one in found.items() if isinstance(one, CompletenessProof)}
    for error in failed.values():
        log.warning("a client's %s could not be read: %s", reader.listing.resource, error)
    return _landing(proofs, {tenant: str(error) for tenant, error in failed.items()}, readers)


def _landing(proofs: Mapping[str, CompletenessProof], failed: Mapping[str, str], readers: Sequence[Reader]) -> Landing:
    return Landing(
        windows=tuple(window for proof in proofs.values() for window in proof.windows),
        totals=Totals(sum(proof.totals.count or 0 for proof in proofs.values()), {}),
        mode="client",
        unproven=tuple(dict.fromkeys(text for proof in proofs.values() for text in proof.unproven)),
        is_settled=all(proof.is_settled for proof in proofs.values()),
        notes=tuple(dict.fromkeys(chain.from_iterable(reader.notes for reader in readers))),
        tenants=tuple(tenant for tenant, proof in proofs.items() if proof.is_settled),
        failed=failed,
    )
