"""Reads what a plan names into a sync folder and closes its journal: the certificate, whichever plan it was.

Belongs here: choosing the reading that fits the plan, and what the journal's `end` line says. Does not: requests
(`extract/`), merging (`run.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from debitura_pipeline.extract.evidence import Totals, VerifiedWindow
from debitura_pipeline.extract.night import EVERYTHING, Forecast, Night
from debitura_pipeline.extract.night_cases import CasesNight
from debitura_pipeline.extract.night_transactions import TransactionsNight
from debitura_pipeline.extract.overlay import Overlay, snapshot_sql
from debitura_pipeline.extract.plan import Knowledge, Plan
from debitura_pipeline.extract.prove import prove
from debitura_pipeline.extract.read import MAX_WINDOW_ROWS, PAGE_ROWS, Reader
from debitura_pipeline.warehouse.base import Warehouse

BEFORE = "before.parquet"  # the warehouse's rows when a nightly reading began; removed once it is merged
DATES = {"cases": ("created_at",), "transactions": ("occurred_at", "paid_at")}
PROBED_MONTHS = 6  # to tell by which of two dates the API filters

ClientStats = Mapping[str, tuple[int | None, int | None, str | None]]


@dataclass(frozen=True)
class Ground:
    """What a nightly reading starts from: the rows before, in a file, and what the clients' records say of them."""

    before: Path
    client_stats: ClientStats = field(default_factory=dict)


@dataclass(frozen=True)
class Landing:
    """What was read: the certificate's windows, the API's closing totals, keys that are gone, what is not proven."""

    windows: tuple[VerifiedWindow, ...]
    totals: Totals
    gone: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()


def survey(warehouse: Warehouse, resource: str, mode: str | None, folder: Path) -> Ground:
    """Take from the warehouse what a nightly reading needs, so that it can be closed meanwhile."""
    before = folder / BEFORE
    warehouse.export(snapshot_sql(resource, mode, DATES[resource]), before)
    if resource != "cases":
        return Ground(before)
    stats = warehouse.rows(
        "SELECT creditor_id, cases_total, cases_closed, external_tenant_id FROM raw.clients WHERE _deleted_at IS NULL"
    )
    return Ground(before, {creditor: (total, closed, tenant) for creditor, total, closed, tenant in stats})


async def land(reader: Reader, chosen: Plan, mode: str | None) -> Landing:
    """Read everything that the plan names and prove it as a whole."""
    proof = await prove(reader, chosen.whole, await reader.read(chosen.slices), mode)
    return Landing(proof.windows, proof.totals)


async def land_nightly(
    reader: Reader, ground: Ground, known: Knowledge, mode: str | None, at: datetime, refresh_days: int
) -> Landing:
    """Read what changed since the last sync and prove the rest by the API's totals."""
    with closing(await _overlay(reader, ground, mode)) as overlay:
        night = _night(reader, overlay, ground, known, at, refresh_days)
        reading = await night.read()
    return Landing(reading.windows, reading.totals, reading.gone, reading.unproven)


async def forecast(
    reader: Reader, ground: Ground, known: Knowledge, mode: str | None, at: datetime, refresh_days: int
) -> Forecast:
    """What `land_nightly` would cost; asks for totals only."""
    with closing(await _overlay(reader, ground, mode)) as overlay:
        return await _night(reader, overlay, ground, known, at, refresh_days).forecast()


async def whole_cost(reader: Reader, chosen: Plan) -> Forecast:
    """What a plan that reads everything costs, by the API's own count: pages, and a page more per window for its rest."""
    rows = (await reader.totals(chosen.whole)).count
    pages = max(1, -(-rows // PAGE_ROWS))
    windows = 0 if rows <= MAX_WINDOW_ROWS else -(-rows // MAX_WINDOW_ROWS)
    return Forecast((("pages", float(pages)), ("windows and proof", windows * 1.5)))


def _night(
    reader: Reader, overlay: Overlay, ground: Ground, known: Knowledge, at: datetime, refresh_days: int
) -> Night:
    if reader.listing.resource == "cases":
        return CasesNight(reader, overlay, at, refresh_days, known.last_upper, client_stats=ground.client_stats)
    return TransactionsNight(reader, overlay, at, refresh_days, known.last_upper)


async def _overlay(reader: Reader, ground: Ground, mode: str | None) -> Overlay:
    """Rows before, dated by the column that the API filters by: of two, the one whose months have the API's counts."""
    resource = reader.listing.resource
    first = Overlay(ground.before, resource, mode, DATES[resource][0])
    for other in DATES[resource][1:]:
        if not first.differs_by(other):
            continue
        misses = await _misses(reader, first)
        if not misses:
            break
        second = Overlay(ground.before, resource, mode, other)
        if await _misses(reader, second) < misses:
            first.close()
            return second
        second.close()
    return first


async def _misses(reader: Reader, overlay: Overlay) -> int:
    """How far, in the fullest months, the rows by this date are from what the API counts."""
    ledger = overlay.ledger()
    months = EVERYTHING.months(overlay.earliest() or reader.upper, reader.upper)[1:-1]
    fullest = sorted(months, key=ledger.rows)[-PROBED_MONTHS:]
    stated = await asyncio.gather(*(reader.exact_totals(month.start, month.end, ()) for month in fullest))
    return sum(abs(totals.count - ledger.rows(month)) for month, totals in zip(fullest, stated, strict=True))
