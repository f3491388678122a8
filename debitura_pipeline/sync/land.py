"""Reads what a plan names into a sync folder: the whole listing, or what changed since the last sync where that is cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from debitura_pipeline.extract.ask import PAGE_ROWS, SPARE_REQUESTS
from debitura_pipeline.extract.behaviour import NotHeededError
from debitura_pipeline.extract.evidence import Totals, VerifiedWindow
from debitura_pipeline.extract.landed_rows import COLUMNS
from debitura_pipeline.extract.night import EVERYTHING, Forecast, Night
from debitura_pipeline.extract.night_cases import CasesNight
from debitura_pipeline.extract.night_transactions import TransactionsNight
from debitura_pipeline.extract.overlay import Overlay, snapshot_sql
from debitura_pipeline.extract.parts import MAX_WINDOW_ROWS
from debitura_pipeline.extract.plan import Knowledge, Plan
from debitura_pipeline.extract.prove import Prover
from debitura_pipeline.extract.read import Reader
from debitura_pipeline.warehouse.base import Warehouse

BEFORE = "before.parquet"  # the warehouse's rows when a reading began; removed once it is merged
# Requests of a full reading above which finding out what changed is not worth it: a request of a nightly plan takes
# twice the CPU of one that reads on.
PAYS = 0.5

ClientStats = Mapping[str, tuple[int | None, int | None, str | None]]


@dataclass(frozen=True)
class Ground:
    """What a reading starts from: the rows before, in a file, and what the clients' records say of them."""

    before: Path
    client_stats: ClientStats = field(default_factory=dict)
    # Tenant id by creditor, of clients that are gone too: their rows have to be asked for before they are marked deleted.
    tenants: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Landing:
    """What was read: the certificate's windows, the API's closing totals, keys that are gone, what is not proven.

    `mode`: the plan that was followed in the end. `is_settled`: of every row that was not shown it is known whether it is gone.
    """

    windows: tuple[VerifiedWindow, ...]
    totals: Totals
    mode: str
    gone: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    is_settled: bool = True


def survey(warehouse: Warehouse, resource: str, mode: str | None, folder: Path, tenant: str | None = None) -> Ground:
    """Take from the warehouse what a reading needs to know, so that it can be closed meanwhile."""
    before = folder / BEFORE
    warehouse.export(snapshot_sql(resource, mode, COLUMNS[resource], tenant), before)
    found = warehouse.rows(
        "SELECT creditor_id, cases_total, cases_closed, external_tenant_id, _deleted_at IS NULL FROM raw.clients"
    )
    stats = {creditor: (total, closed, tenant) for creditor, total, closed, tenant, is_live in found if is_live}
    return Ground(before, stats, {creditor: tenant for creditor, _, _, tenant, _ in found})


async def land(reader: Reader, chosen: Plan, ground: Ground | None, mode: str | None) -> Landing:
    """Read everything that the plan names and prove it as a whole."""
    before, tenants = (ground.before, ground.tenants) if ground is not None else (None, {})
    prover = Prover(reader, chosen.whole, mode, before, tenants)
    proof = await prover.prove(await reader.read(chosen.slices))
    return Landing(proof.windows, proof.totals, _whole_mode(chosen), proof.gone, proof.unproven, proof.is_settled)


async def land_nightly(
    reader: Reader, chosen: Plan, ground: Ground, known: Knowledge, mode: str | None, at: datetime, refresh_days: int
) -> Landing:
    """Read what changed since the last sync and prove the rest by the API's totals, or everything where that is no dearer."""
    reader.asker.ceiling = 2 * chosen.requests + SPARE_REQUESTS
    try:
        with closing(await _overlay(reader, ground, mode)) as overlay:
            night = _night(reader, overlay, ground, known, at, refresh_days)
            if (await night.estimate(chosen.requests)).requests <= PAYS * chosen.requests:
                reading = await night.read()
                return Landing(reading.windows, reading.totals, chosen.mode, reading.gone, reading.unproven)
    except NotHeededError:
        pass  # it cannot be read by date, so neither can a part of it be compared
    return await land(reader, chosen, ground, mode)


async def forecast(
    reader: Reader, chosen: Plan, ground: Ground, known: Knowledge, mode: str | None, at: datetime, refresh_days: int
) -> tuple[str, Forecast]:
    """The plan that `land_nightly` would follow, and what it would cost; asks for totals only."""
    with closing(await _overlay(reader, ground, mode)) as overlay:
        night = _night(reader, overlay, ground, known, at, refresh_days)
        pays = (await night.estimate(chosen.requests)).requests <= PAYS * chosen.requests
        if pays:
            return chosen.mode, await night.forecast()
    return _whole_mode(chosen), await whole_cost(reader, chosen)


async def whole_cost(reader: Reader, chosen: Plan) -> Forecast:
    """What a plan that reads everything costs, by the API's own count: pages, and a page more per window for its rest."""
    rows = (await reader.totals(chosen.whole)).count
    pages = max(1, -(-rows // (PAGE_ROWS - 1)))
    windows = 0 if rows <= MAX_WINDOW_ROWS else -(-rows // MAX_WINDOW_ROWS)
    return Forecast((("pages", float(pages)), ("windows and proof", windows * 0.5 + 1)))


def _whole_mode(chosen: Plan) -> str:
    return "full" if chosen.mode == "nightly" else chosen.mode


def _night(
    reader: Reader, overlay: Overlay, ground: Ground, known: Knowledge, at: datetime, refresh_days: int
) -> Night:
    if reader.listing.resource == "cases":
        return CasesNight(reader, overlay, at, refresh_days, known.last_upper, client_stats=ground.client_stats)
    return TransactionsNight(reader, overlay, at, refresh_days, known.last_upper)


async def _overlay(reader: Reader, ground: Ground, mode: str | None) -> Overlay:
    """Rows before, dated by the column that the API filters by: of two, the one that counts as the API does."""
    resource = reader.listing.resource
    first = Overlay(ground.before, resource, mode, COLUMNS[resource][0])
    for other in COLUMNS[resource][1:]:
        if not first.differs_by(other):
            continue
        second = Overlay(ground.before, resource, mode, other)
        ours, theirs = first.ledger(), second.ledger()
        months = EVERYTHING.months(first.earliest() or reader.upper, reader.upper)[1:-1]
        probe = max(months, key=lambda month: abs(ours.rows(month) - theirs.rows(month)), default=None)
        if probe is None or ours.rows(probe) == theirs.rows(probe):
            second.close()
            continue
        counted = (await reader.exact_totals(probe.start, probe.end, ())).count
        if abs(counted - theirs.rows(probe)) < abs(counted - ours.rows(probe)):
            first.close()
            return second
        second.close()
    return first
