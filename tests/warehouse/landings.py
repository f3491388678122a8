"""Landings made by hand: a few rows as dictionaries become the Parquet files and the `LandedSync` that a sync would hand over.

Independent of `landing/shape.py`: types come from the contract, the hash is taken here.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from debitura_pipeline.contract.tables import LANDED_EXTRA, TABLES, Table
from debitura_pipeline.landing.findings import BadRow, Drift
from debitura_pipeline.warehouse.base import DeletionScope, LandedSync, WindowRecord

Row = Mapping[str, Any]

ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "BOOLEAN": pa.bool_(),
    "BIGINT": pa.int64(),
    "DECIMAL(18,4)": pa.decimal128(18, 4),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}

FIRST_NIGHT = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def night(number: int) -> datetime:
    return FIRST_NIGHT + timedelta(days=number)


def case(key: str, **values: Any) -> dict[str, Any]:
    defaults = {
        "case_id": key,
        "reference": f"ref {key}",
        "external_tenant_id": "tenant-1",
        "creditor_id": "creditor-1",
        "gross_amount": Decimal("1200.5000"),
        "remainder": Decimal("1200.5000"),
        "currency": "EUR",
        "lifecycle": "Active",
        "created_at": datetime(2026, 1, 15, 10, 0, tzinfo=UTC),
        "needs_info": False,
    }
    return {**defaults, **values}


def transaction(key: str, **values: Any) -> dict[str, Any]:
    defaults = {
        "transaction_id": key,
        "occurred_at": datetime(2026, 2, 1, 12, 0, tzinfo=UTC),
        "external_tenant_id": "tenant-1",
        "creditor_id": "creditor-1",
        "case_id": "case-1",
        "payment_amount": Decimal("100.0000"),
        "referral_fee_usd": Decimal("10.1234"),
        "is_estimate": False,
    }
    return {**defaults, **values}


class Landings:
    """Writes landings below `folder`. Sync ids count up unless given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def land(
        self,
        resource: str,
        *files: Sequence[Row],
        at: datetime = FIRST_NIGHT,
        sync_id: str | None = None,
        deletion_scope: DeletionScope | None = None,
        bad: Sequence[BadRow] = (),
        drift: Sequence[Drift] = (),
        windows: Sequence[WindowRecord] = (),
        partner: tuple[str | None, Decimal | None] | None = None,
        mode: str = "small",
    ) -> LandedSync:
        sync_id = sync_id or f"sync-{next(self._numbers)}"
        folder = self._folder / resource / f"sync={sync_id}"
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for seq, rows in enumerate(files, 1):
            paths.append(folder / f"{seq:05d}.parquet")
            write_parquet(TABLES[resource], rows, paths[-1], seq)
        return LandedSync(
            sync_id=sync_id,
            resource=resource,
            mode=mode,
            at=at,
            started_at=at,
            finished_at=at + timedelta(seconds=30),
            upper_bound=at,
            files=tuple(paths),
            sha256=tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths),
            windows=tuple(windows),
            bad=tuple(bad),
            drift=tuple(drift),
            deletion_scope=deletion_scope or DeletionScope("all"),
            requests=len(files),
            retries=0,
            rows_read=sum(len(rows) for rows in files),
            partner=partner,
        )


def write_parquet(table: Table, rows: Sequence[Row], path: Path, seq: int) -> None:
    columns = [*((column.name, column.kind.sql) for column in table.columns), *LANDED_EXTRA]
    unknown = {name for row in rows for name in row} - {name for name, _ in columns}
    assert not unknown, f"{table.resource} has no column {unknown}"
    filled = [{"_row_hash": row_hash(table, row), **row, "_seq": seq} for row in rows]
    schema = pa.schema([(name, ARROW_TYPES[sql]) for name, sql in columns])
    pq.write_table(pa.Table.from_pylist(filled, schema=schema), path)


def row_hash(table: Table, row: Row) -> str:
    """What a version is told by: the contract's columns, less those that float while the row is an estimate."""
    is_estimate = table.estimate_flag is not None and row.get(table.estimate_flag)
    names = [name for name in table.hashed if not (is_estimate and name in table.floating)]
    return hashlib.md5(repr([(name, row.get(name)) for name in names]).encode()).hexdigest()
