"""`ops.submissions`: read and write one row per claim. What is written is committed before the call returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.submission.states import SENT, Record
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.tables import OPS

TABLE = "submissions"
NAMES = tuple(field.name for field in fields(Record))
_COLUMNS = tuple((name, dict(OPS[TABLE])[name]) for name in NAMES)
_LISTED = ", ".join(NAMES)
assert set(NAMES) == set(dict(OPS[TABLE]))
# A row is replaced whole. Its key is the creditor and the reference, or the tenant and the reference while no creditor is known.
_SAME = """creditor_reference = {reference} AND (
    (creditor_id IS NULL AND external_tenant_id = {tenant}) OR creditor_id = {creditor})"""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTS = ("generation", "attempts", "unanswered")  # null in rows of older versions

Key = tuple[str, str]  # (creditor or tenant, reference)


def read_records(warehouse: Warehouse) -> list[Record]:
    """All rows; none if the warehouse is older than the table. Raises WarehouseError."""
    known = set(warehouse.columns("ops", TABLE))
    if not known:
        return []
    listed = ", ".join(name if name in known else f"NULL AS {name}" for name in NAMES)
    rows = warehouse.rows(f"SELECT {listed} FROM ops.{TABLE}")
    return [_record(dict(zip(NAMES, row, strict=True))) for row in rows]


def _record(values: dict[str, Any]) -> Record:
    """A row as a record. What a claim in doubt lacks is filled in so that it stays in doubt."""
    values |= {name: values[name] or 0 for name in _COUNTS}
    if values["state"] == SENT:
        values["unanswered"] = values["unanswered"] or int(not values["error_types"])
        values["last_attempt_at"] = values["last_attempt_at"] or values["intent_at"] or LONG_AGO
        values["intent_at"] = values["intent_at"] or values["last_attempt_at"]
    return Record(**values)


class Records:
    """The writer of `ops.submissions` for one run. Raises WarehouseError."""

    def __init__(self, warehouse: SqlWarehouse) -> None:
        self._warehouse = warehouse
        self.latest: dict[tuple[str | None, str], Record] = {}  # what was stored, by creditor and reference

    def store(self, records: Iterable[Record]) -> None:
        """Insert or replace rows in one durable transaction. Of records with one key, as of repeated rows, the last counts."""
        rows = list(
            {(one.creditor_id, one.external_tenant_id, one.creditor_reference): one for one in records}.values()
        )
        if not rows:
            return
        with self._warehouse.transaction(is_durable=True):
            if len(rows) == 1:
                self._store_one(rows[0])
            else:
                self._store_many(rows)
        self.latest.update({(row.creditor_id, row.creditor_reference): row for row in rows})

    def _store_one(self, record: Record) -> None:
        same = _SAME.format(reference="$1", tenant="$2", creditor="$3")
        key = (record.creditor_reference, record.external_tenant_id, record.creditor_id)
        self._warehouse.run(f"DELETE FROM ops.{TABLE} WHERE {same}", key)
        marks = ", ".join(f"CAST(${place} AS {kind})" for place, (_, kind) in enumerate(_COLUMNS, start=1))
        self._warehouse.run(f"INSERT INTO ops.{TABLE} ({_LISTED}) VALUES ({marks})", astuple(record))

    def _store_many(self, records: Sequence[Record]) -> None:
        staged = "staged_submissions"
        self._warehouse.stage_rows(staged, _COLUMNS, [astuple(record) for record in records])
        same = f"""EXISTS (SELECT 1 FROM {staged} AS s WHERE s.creditor_reference = o.creditor_reference AND (
            (o.creditor_id IS NULL AND s.external_tenant_id = o.external_tenant_id) OR s.creditor_id = o.creditor_id))"""
        self._warehouse.run(f"DELETE FROM ops.{TABLE} AS o WHERE {same}")
        self._warehouse.run(f"INSERT INTO ops.{TABLE} ({_LISTED}) SELECT {_LISTED} FROM {staged}")
