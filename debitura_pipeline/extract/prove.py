"""Proves a listing as a whole: the windows' distinct keys are what the API counts when nothing is filtered.

Belongs here: the closing question, finding the windows that moved since they were read, reading these again. Does not:
reading one window (`read.py`). Used by `sync.py` after all windows are landed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.evidence import FLOATING, Totals, VerifiedWindow
from debitura_pipeline.extract.read import Reader
from debitura_pipeline.extract.stages import stage_totals_sql
from debitura_pipeline.extract.windows import Slice
from debitura_pipeline.landing.contract import TABLES

ROWS_A_PASS = 500_000  # counted at once: some 100 MB
MAX_ROUNDS = 3  # closing questions; each round reads again only what moved since the one before


@dataclass(frozen=True)
class Proof:
    """The windows that make up the reading, and the API's totals at its close."""

    windows: tuple[VerifiedWindow, ...]
    totals: Totals


async def prove(reader: Reader, whole: Slice, windows: Sequence[VerifiedWindow], mode: str | None) -> Proof:
    """Show that `windows` hold what the API counts of `whole`, a slice without dates, reading again what moved meanwhile.

    Raises UnprovenError when counts still differ after the last resort, one reading without any date.
    """
    current = {verified.slice: verified for verified in windows}
    if whole in current:  # read as one window: its own pages are the closing question
        return Proof((current[whole],), current[whole].totals)
    for _ in range(MAX_ROUNDS):
        closing = await reader.totals(whole)
        holds, is_counted = _compare(reader, list(current.values()), closing, mode)
        if holds:
            return Proof(tuple(current.values()), closing)
        moved = await _moved(reader, list(current.values()))
        if not moved:
            if is_counted:  # every row is there; the sums' difference is the control totals' to judge
                return Proof(tuple(current.values()), closing)
            break
        for slice_ in moved:
            del current[slice_]
        current |= {verified.slice: verified for verified in await reader.read(moved, again=True)}
    return await _whole(reader, whole)


async def _whole(reader: Reader, whole: Slice) -> Proof:
    """The last resort: one reading without dates, for an API whose date filter hides rows."""
    seen = await reader.read_whole(whole)
    if seen is None:
        raise UnprovenError(
            f"{reader.listing.resource}: the windows' rows are not as many as the API counts in all, and the list would "
            "not hold still for one reading. Nothing of this sync reached the warehouse; run it again later.",
            resource=reader.listing.resource,
        )
    return Proof((seen,), seen.totals)


def _compare(reader: Reader, windows: Sequence[VerifiedWindow], closing: Totals, mode: str | None) -> tuple[bool, bool]:
    """Whether rows and settled sums equal the closing totals, and whether the rows alone do."""
    files = [reader.folder.path / verified.file for verified in windows if verified.file]
    bad = {row.row_key or row.payload_sha256 for verified in windows for row in verified.bad}
    keys, sums = landed_totals(reader.listing.resource, files, mode)
    is_counted = keys + len(bad) == closing.count
    if bad or reader.listing.resource != "transactions":
        return is_counted, is_counted
    stated = {name: total for name, total in closing.summary.items() if name not in FLOATING}
    holds = all(
        (total.count is None or total.count == sums.get(name, (0, Decimal(0)))[0])
        and (total.usd is None or abs(total.usd - sums.get(name, (0, Decimal(0)))[1]) < Decimal("0.01"))
        for name, total in stated.items()
    )
    return is_counted and holds, is_counted


async def _moved(reader: Reader, windows: Sequence[VerifiedWindow]) -> list[Slice]:
    """Windows whose totals are no longer what they were when they were read; one request each."""
    now = await asyncio.gather(*(reader.totals(verified.slice) for verified in windows))
    return [v.slice for v, totals in zip(windows, now, strict=True) if totals.version != v.totals.version]


def landed_totals(resource: str, files: Sequence[Path], mode: str | None) -> tuple[int, dict[str, tuple[int, Decimal]]]:
    """Distinct keys over landed files, and of transactions count and USD per stage, the later reading winning.

    In several passes where there are many rows, each over a share of the keys, so that memory does not grow with them.
    """
    if not files:
        return 0, {}
    key, stages, keys = TABLES[resource].key, dict[str, tuple[int, Decimal]](), 0
    with duckdb.connect(config={"memory_limit": "256MB", "threads": 2}) as connection:
        landed = connection.read_parquet([str(file) for file in files])
        connection.register("landed", landed)
        rows = connection.execute("SELECT count(*) FROM landed").fetchall()[0][0]
        passes = rows // ROWS_A_PASS + 1
        for number in range(passes):
            share = f"""(SELECT * FROM landed WHERE hash("{key}") % {passes} = {number})"""
            if resource != "transactions":
                keys += connection.execute(f'SELECT count(DISTINCT "{key}") FROM {share}').fetchall()[0][0]
                continue
            latest = f"""(SELECT unnest(arg_max(struct_pack({_PACKED}), _seq)) FROM {share} GROUP BY "{key}")"""
            for stage, count, usd in connection.execute(stage_totals_sql(latest, mode)).fetchall():
                before = stages.get(stage, (0, Decimal(0)))
                stages[stage] = (before[0] + count, before[1] + usd)
    return keys + sum(count for count, _ in stages.values()), stages


_PACKED = ", ".join(
    f"{name} := {name}"
    for name in ("referral_fee_usd", "commission_status", "platform_invoicing_status", "referral_invoicing_status")
)
