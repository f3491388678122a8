"""Note in `ops.syncs` which readings analysts have seen: those that the published file holds.

Reports on changes compare with the last of them. A night that failed before it was published, and a sync without a publication,
would otherwise hide what they found.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import duckdb

from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.published_folder import WAREHOUSE, current_night

NEWEST = 100  # syncs that are looked at: the older ones were noted before
_PUBLISHED = f"""
    SELECT sync_id FROM ops.syncs WHERE status = 'done' AND coalesce(mode, '') <> 'client'
    ORDER BY started_at DESC LIMIT {NEWEST}"""
_NOTE = """
    UPDATE ops.syncs SET published_at = CAST($1 AS TIMESTAMPTZ)
    WHERE published_at IS NULL AND sync_id IN (SELECT unnest(CAST($2 AS VARCHAR[])))"""


def mark_published_readings(warehouse: SqlWarehouse, folder: Path) -> None:
    """Note the readings of the night that is published in `folder`, if there is one. Raises WarehouseError."""
    night, found = current_night(folder), []
    if night is None:
        return
    with suppress(duckdb.Error), duckdb.connect(night.path / WAREHOUSE, read_only=True) as published:
        found = [sync_id for (sync_id,) in published.execute(_PUBLISHED).fetchall()]
    if found:
        with warehouse.transaction():
            warehouse.run(_NOTE, (night.published_at, found))
