"""How long rows of `ops` are kept that nothing is proven with: webhook events and incidents."""

from __future__ import annotations

from datetime import datetime, timedelta

from debitura_pipeline.warehouse.base import Warehouse

KEPT = timedelta(
    days=400
)  # after the event was handled or the incident was over: a year, and a month to look back at it


def delete_old(warehouse: Warehouse, table: str, ended_at: str, now: datetime) -> int:
    """Delete rows whose column `ended_at` is older than KEPT; those without a value stay. Returns how many there were.

    Raises WarehouseError.
    """
    return warehouse.execute(f"DELETE FROM {table} WHERE {ended_at} < CAST($1 AS TIMESTAMPTZ)", (now - KEPT,))
