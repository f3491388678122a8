"""SQL for the `ops` tables and the partner's history, for both engines.

Findings are staged in `merge_bad`, `merge_drift`, `merge_windows` and `merge_totals` first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from debitura_pipeline.contract.tables import Table
from debitura_pipeline.landing.findings import BadRow, ControlTotal
from debitura_pipeline.warehouse.base import DeletionScope, FailedSync, Judgement, LandedSync, MergeCounts
from debitura_pipeline.warehouse.merge_sql import Statement, quoted
from debitura_pipeline.warehouse.tables import OPS

NOT_COMPARED = "the API's totals were not compared"
FITS = Decimal(10) ** 14  # DECIMAL(18,4) holds what is less

BAD_COLUMNS = (("payload_sha256", "VARCHAR"), ("row_key", "VARCHAR"), ("reason", "VARCHAR"), ("payload", "VARCHAR"))
DRIFT_COLUMNS = (("kind", "VARCHAR"), ("field", "VARCHAR"), ("value", "VARCHAR"))
WINDOW_COLUMNS = (
    ("window_from", "TIMESTAMPTZ"),
    ("window_to", "TIMESTAMPTZ"),
    ("scope", "VARCHAR"),
    ("api_count", "BIGINT"),
    ("rows_read", "BIGINT"),
    ("attempts", "BIGINT"),
    ("verified_at", "TIMESTAMPTZ"),
    ("file_sha256", "VARCHAR"),
)


def bad_rows(bad: Sequence[BadRow]) -> list[tuple[object, ...]]:
    """Rows for `merge_bad`, one per payload; a payload that is not JSON becomes a JSON string."""
    by_payload = {row.payload_sha256: row for row in bad}
    return [(row.payload_sha256, row.row_key, row.reason, _as_json(row.payload)) for row in by_payload.values()]


def drift_rows(landed: LandedSync) -> list[tuple[object, ...]]:
    """Rows for `merge_drift`, without repeats."""
    return list(dict.fromkeys((drift.kind, drift.field, drift.value) for drift in landed.drift))


def window_rows(landed: LandedSync) -> list[tuple[object, ...]]:
    """Rows for `merge_windows`, one per scope and bounds, the last record."""
    by_window = {(window.scope, window.from_, window.to): window for window in landed.windows}
    return [
        (w.from_, w.to, w.scope, w.api_count, w.rows_read, w.attempts, w.verified_at, w.sha256)
        for w in by_window.values()
    ]


def newest_merged(resource: str) -> Statement:
    """Clock, id and certificate of the last merged sync; no row if there is none."""
    return (
        """SELECT as_of, sync_id, certificate_sha256 FROM ops.syncs WHERE resource = $1 AND status IN ('done', 'lost')
        ORDER BY as_of DESC, sync_id DESC LIMIT 1""",
        (resource,),
    )


def update_quarantine(table: Table, sync_id: str, at: datetime, deletion_scope: DeletionScope) -> Iterator[Statement]:
    """Payloads seen again stay open or are reopened; new ones are added. A complete read resolves all others; any other read
    resolves those whose row it read as a good one."""
    resource = table.resource
    yield (
        """UPDATE ops.quarantine AS q
        SET last_seen_at = CAST($1 AS TIMESTAMPTZ), resolved_at = NULL, sync_id = CAST($2 AS VARCHAR),
            row_key = b.row_key, reason = b.reason
        FROM merge_bad AS b WHERE q.resource = $3 AND q.payload_sha256 = b.payload_sha256""",
        (at, sync_id, resource),
    )
    yield (
        """INSERT INTO ops.quarantine
            (resource, payload_sha256, row_key, reason, payload, first_seen_at, last_seen_at, resolved_at, sync_id)
        SELECT CAST($3 AS VARCHAR), b.payload_sha256, b.row_key, b.reason, CAST(b.payload AS JSON),
            CAST($1 AS TIMESTAMPTZ), CAST($1 AS TIMESTAMPTZ), NULL, CAST($2 AS VARCHAR)
        FROM merge_bad AS b
        WHERE NOT EXISTS (SELECT 1 FROM ops.quarantine AS q
            WHERE q.resource = CAST($3 AS VARCHAR) AND q.payload_sha256 = b.payload_sha256)""",
        (at, sync_id, resource),
    )
    is_past = (
        "true" if deletion_scope.kind == "all" else f"q.row_key IN (SELECT i.{quoted(table.key)} FROM incoming AS i)"
    )
    yield (
        f"""UPDATE ops.quarantine AS q SET resolved_at = CAST($1 AS TIMESTAMPTZ)
        WHERE q.resource = $2 AND q.resolved_at IS NULL AND {is_past}
            AND NOT EXISTS (SELECT 1 FROM merge_bad AS b WHERE b.payload_sha256 = q.payload_sha256)""",
        (at, resource),
    )


def insert_drift(resource: str, sync_id: str, at: datetime) -> Statement:
    """Each finding is stored once, with the sync that first saw it."""
    return (
        """INSERT INTO ops.schema_drift (resource, kind, field, value, first_seen_at, sync_id)
        SELECT CAST($1 AS VARCHAR), n.kind, n.field, n.value, CAST($2 AS TIMESTAMPTZ), CAST($3 AS VARCHAR)
        FROM merge_drift AS n
        WHERE NOT EXISTS (SELECT 1 FROM ops.schema_drift AS d
            WHERE d.resource = CAST($1 AS VARCHAR) AND d.kind = n.kind AND d.field = n.field
                AND d.value IS NOT DISTINCT FROM n.value)""",
        (resource, at, sync_id),
    )


def replace_windows(resource: str, sync_id: str) -> Iterator[Statement]:
    """A window keeps its identity between syncs; its newest verification replaces the older one."""
    yield (
        """DELETE FROM ops.windows AS w USING merge_windows AS n
        WHERE w.resource = $1 AND w.scope = n.scope AND w.window_from IS NOT DISTINCT FROM n.window_from
            AND w.window_to IS NOT DISTINCT FROM n.window_to""",
        (resource,),
    )
    names = ", ".join(name for name, _ in WINDOW_COLUMNS)
    yield (
        f"""INSERT INTO ops.windows (resource, sync_id, {names})
        SELECT CAST($1 AS VARCHAR), CAST($2 AS VARCHAR), {names} FROM merge_windows""",
        (resource, sync_id),
    )


def update_partner_history(mode: str | None, pct: Decimal | None, at: datetime) -> Iterator[Statement]:
    """A new version only if mode or percentage changed; values older than the open version are ignored."""
    differs = """_valid_to IS NULL AND _valid_from <= CAST($1 AS TIMESTAMPTZ)
        AND (invoicing_trigger_mode IS DISTINCT FROM CAST($2 AS VARCHAR)
            OR referral_fee_pct IS DISTINCT FROM CAST($3 AS DECIMAL(18,4)))"""
    params = (at, mode, pct)
    yield f"DELETE FROM raw.partner_history WHERE {differs} AND _valid_from = CAST($1 AS TIMESTAMPTZ)", params
    yield f"UPDATE raw.partner_history SET _valid_to = CAST($1 AS TIMESTAMPTZ) WHERE {differs}", params
    yield (
        """INSERT INTO raw.partner_history (invoicing_trigger_mode, referral_fee_pct, _valid_from, _valid_to)
        SELECT CAST($2 AS VARCHAR), CAST($3 AS DECIMAL(18,4)), CAST($1 AS TIMESTAMPTZ), NULL
        WHERE NOT EXISTS (SELECT 1 FROM raw.partner_history WHERE _valid_to IS NULL)""",
        params,
    )


def select_sync(sync_id: str) -> Statement:
    """Status and counts of a sync's existing row."""
    return "SELECT status, rows_inserted, rows_changed, rows_deleted FROM ops.syncs WHERE sync_id = $1", (sync_id,)


def delete_sync(sync_id: str) -> Statement:
    """Delete a sync's row."""
    return "DELETE FROM ops.syncs WHERE sync_id = $1", (sync_id,)


def insert_merged(
    landed: LandedSync, counts: MergeCounts, before: tuple[int, int, int], judgement: Judgement | None
) -> Statement:
    """The row of a merged sync. `rows_changed` includes returned rows; `before`: counts of earlier merges of the same
    landing.

    Without a judgement nothing was compared, so nothing is proven.
    """
    judged = judgement or Judgement((), False, "; ".join(filter(None, [landed.message, NOT_COMPARED])))
    return _insert_row(
        "ops.syncs",
        OPS["syncs"],
        {
            "sync_id": landed.sync_id,
            "resource": landed.resource,
            "mode": landed.mode,
            "status": "done",
            "as_of": landed.at,
            "started_at": landed.started_at,
            "finished_at": landed.finished_at,
            "upper_bound": landed.upper_bound,
            "requests": landed.requests,
            "retries": landed.retries,
            "rows_read": landed.rows_read,
            "rows_inserted": before[0] + counts.inserted,
            "rows_changed": before[1] + counts.changed + counts.returned,
            "rows_deleted": before[2] + counts.deleted,
            "windows": len(landed.windows),
            "is_proven": judged.is_proven,
            "message": judged.message,
            "certificate_sha256": landed.certificate_sha256,
            "previous_sha256": landed.previous_sha256,
        },
    )


def insert_failed(sync: FailedSync, message: str) -> Statement:
    """The row of a sync that failed before its merge."""
    row = {**vars(sync), "status": "failed", "as_of": sync.at, "is_proven": False, "message": message}
    return _insert_row("ops.syncs", OPS["syncs"], row)


def total_rows(sync_id: str, at: datetime, totals: Sequence[ControlTotal]) -> list[tuple[object, ...]]:
    """Rows for `merge_totals`, one per figure, the last one."""
    names = [name for name, _ in OPS["control_totals"]]
    rows = {
        (total.resource, total.check_name, total.scope, total.bucket, total.unit): {
            **vars(total), **_figures(total), "sync_id": sync_id, "checked_at": at,
        }
        for total in totals
    }  # fmt: skip
    return [tuple(row.get(name) for name in names) for row in rows.values()]


def _figures(total: ControlTotal) -> dict[str, object]:
    """A total's numbers. One that the columns cannot hold is null, with the number in the detail, so that no figure stops a
    merge."""
    figures = {"api_value": total.api_value, "warehouse_value": total.warehouse_value, "difference": total.difference}
    fitting = {name: value if value is None or abs(value) < FITS else None for name, value in figures.items()}
    if fitting == figures:
        return dict(figures)
    said = f"API {total.api_value}, warehouse {total.warehouse_value}: too large for these columns"
    return {**fitting, "detail": "; ".join(filter(None, [total.detail, said]))}


def replace_control_totals(sync_id: str) -> Iterator[Statement]:
    """In two statements: a partner with a thousand clients has thousands of totals, and single statements would fill DuckDB's
    memory."""
    same = " AND ".join(f"s.{name} = t.{name}" for name in ("resource", "check_name", "scope", "bucket", "unit"))
    yield (
        f"""DELETE FROM ops.control_totals AS t
        WHERE t.sync_id = $1 AND EXISTS (SELECT 1 FROM merge_totals AS s WHERE {same})""",
        (sync_id,),
    )
    names = ", ".join(quoted(name) for name, _ in OPS["control_totals"])
    yield f"INSERT INTO ops.control_totals ({names}) SELECT {names} FROM merge_totals", ()


def clear_ops() -> Iterator[Statement]:
    """Delete what a replay writes anew. Sync records stay: a failed sync has no landing, and merged ones are replaced."""
    for name in ("windows", "quarantine", "schema_drift", "estimate_totals"):
        yield f"DELETE FROM ops.{quoted(name)}", ()
    yield "DELETE FROM raw.partner_history", ()


def _insert_row(target: str, columns: Sequence[tuple[str, str]], row: dict[str, object]) -> Statement:
    names = ", ".join(quoted(name) for name, _ in columns)
    values = ", ".join(f"CAST(${number} AS {sql_type})" for number, (_, sql_type) in enumerate(columns, 1))
    return f"INSERT INTO {target} ({names}) VALUES ({values})", tuple(row.get(name) for name, _ in columns)


def _as_json(payload: str) -> str:
    try:
        json.loads(payload)
    except ValueError:
        return json.dumps(payload)
    return payload
