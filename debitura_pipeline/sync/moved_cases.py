"""Find the clients of transactions that are new, or that moved from one client to another, with their cases.

Two closed cases that exchange clients change no number of cases, but their transactions move with them.
"""

from __future__ import annotations

import duckdb

from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.land import BEFORE
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse

MEMORY_LIMIT = "256MB"

# Only cases that were last read before the transaction: a case that was read later differs at the API, too.
_MERGED = """
    SELECT DISTINCT t.case_id, t.creditor_id
    FROM raw.transactions AS t
    JOIN raw.cases AS c ON c.case_id = t.case_id AND c.creditor_id <> t.creditor_id
    LEFT JOIN ops.syncs AS s ON s.sync_id = t._sync_id
    WHERE t._deleted_at IS NULL AND c._deleted_at IS NULL
        AND c._verified_at <= greatest(coalesce(s.finished_at, t._changed_at), t._changed_at)"""
_LANDED = """
    SELECT DISTINCT l.case_id, l.creditor_id FROM (
        SELECT arg_max(struct_pack(transaction_id, case_id, creditor_id), _seq) AS l
        FROM read_parquet(?) GROUP BY transaction_id
    ) LEFT JOIN read_parquet(?) AS b ON b.key = l.transaction_id
    WHERE l.case_id IS NOT NULL AND l.creditor_id IS NOT NULL AND b.creditor_id IS DISTINCT FROM l.creditor_id"""

Owner = tuple[str, str]  # case id, creditor id of one of its transactions


def owners_in_warehouse(warehouse: Warehouse) -> list[Owner]:
    """Of merged transactions whose cases the warehouse gives to other clients. Raises WarehouseError."""
    return [(case_id, creditor) for case_id, creditor in warehouse.rows(_MERGED)]


def has_moved_cases(settings: Settings) -> bool:
    """Whether merged transactions show that cases moved to other clients since they were read. Raises WarehouseError."""
    with open_warehouse(settings, read_only=True) as warehouse:
        return bool(owners_in_warehouse(warehouse))


def owners_landed(transactions: SyncFolder) -> list[Owner]:
    """Of the transactions of a sync that is not merged yet; none where the warehouse had no transactions before."""
    before = transactions.path / BEFORE
    used = set(transactions.end.windows) if transactions.end is not None else set()
    files = [str(transactions.path / line.file) for line in transactions.windows if line.seq in used and line.file]
    if not files or not before.exists():
        return []
    with duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 2}) as connection:
        return [
            (case_id, creditor) for case_id, creditor in connection.execute(_LANDED, [files, str(before)]).fetchall()
        ]
