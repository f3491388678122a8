"""Reports of the pipeline's functions as Dagster metadata: plain figures, small tables, the paths of what was written.

Belongs here: the shape of metadata. Does not: computing figures. No payloads, keys or persons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from debitura_pipeline.warehouse.checks import CheckTable, table_of

if TYPE_CHECKING:
    from pathlib import Path

    from debitura_pipeline.extract.verified_window import Totals
    from debitura_pipeline.report import ReportFacts
    from debitura_pipeline.settings import Settings
    from debitura_pipeline.sync import SyncReport
    from debitura_pipeline.warehouse.publish import Published

Metadata = dict[str, dg.MetadataValue[Any]]

COUNTS = (
    "requests",
    "retries",
    "rows_read",
    "inserted",
    "changed",
    "deleted",
    "unchanged",
    "windows",
    "quarantined",
    "drift",
)


def sync_metadata(report: SyncReport) -> Metadata:
    """Counts, duration, verified windows, the table's size, and the control totals as a table."""
    metadata: Metadata = {name: dg.MetadataValue.int(getattr(report, name)) for name in COUNTS}
    metadata["verified_windows"] = metadata.pop("windows")
    metadata["dagster/row_count"] = dg.MetadataValue.int(report.table_rows)
    metadata["live_rows"] = dg.MetadataValue.int(report.live_rows)
    metadata["duration_s"] = dg.MetadataValue.float((report.finished_at - report.started_at).total_seconds())
    metadata["as_of"] = dg.MetadataValue.timestamp(report.started_at)
    metadata["is_proven"] = dg.MetadataValue.bool(report.is_proven)
    for name in ("sync_id", "mode", "message"):
        if getattr(report, name) is not None:
            metadata[name] = dg.MetadataValue.text(str(getattr(report, name)))
    totals = [total for total in report.control_totals if total.scope == "all"]
    if totals:
        head = ("check", "bucket", "unit", "API", "warehouse", "verdict")
        lines = [(t.check_name, t.bucket, t.unit, t.api_value, t.warehouse_value, t.verdict) for t in totals]
        metadata |= table_metadata("control_totals", table_of(head, lines))
    return metadata


def observed_metadata(report: SyncReport) -> Metadata:
    """What a sync saw of the listing that it read."""
    stated = [t.api_value for t in report.control_totals if (t.check_name, t.scope, t.bucket) == ("rows", "all", "all")]
    metadata: Metadata = {
        "rows_read": dg.MetadataValue.int(report.rows_read),
        "requests": dg.MetadataValue.int(report.requests),
        "as_of": dg.MetadataValue.timestamp(report.started_at),
        "mode": dg.MetadataValue.text(report.mode),
    }
    if stated and stated[0] is not None:
        metadata["rows"] = dg.MetadataValue.int(int(stated[0]))
    return metadata


def listing_metadata(totals: Totals) -> Metadata:
    """What a listing says of itself on its first page."""
    metadata: Metadata = {"rows": dg.MetadataValue.int(totals.count or 0)}
    lines = [(name, total.count, total.usd) for name, total in sorted(totals.summary.items())]
    if lines:
        metadata |= table_metadata("summary", table_of(("bucket", "count", "USD"), lines))
    return metadata


def report_metadata(facts: ReportFacts) -> Metadata:
    """Where the page is, and the figures of its strip."""
    figures = table_of(("figure", "value"), sorted(facts.figures.items()))
    return {"page": _file(facts.path), "open": _link(facts.path), **table_metadata("figures", figures)}


def origin_metadata(settings: Settings) -> Metadata:
    """Which environment the figures are of, and whether they are simulated."""
    return {
        "environment": dg.MetadataValue.text(settings.environment),
        "is_simulated": dg.MetadataValue.bool(settings.uses_embedded_sandbox),
    }


def published_metadata(published: Published) -> Metadata:
    """Where the copy is, how large, and the Parquet files beside it."""
    lines = [(path.name, path.stat().st_size) for path in published.parquet]
    return {
        "file": _file(published.path),
        "folder": _link(published.path.parent),
        "bytes": dg.MetadataValue.int(published.bytes),
        "tables": dg.MetadataValue.int(len(published.parquet)),
        **table_metadata("parquet", table_of(("file", "bytes"), lines)),
    }


def onboarding_metadata(facts: dict[str, Any]) -> Metadata:
    """Facts of one onboarding step, by the type that they have."""
    metadata: Metadata = {}
    for name, value in facts.items():
        if isinstance(value, bool):
            metadata[name] = dg.MetadataValue.bool(value)
        elif isinstance(value, int):
            metadata[name] = dg.MetadataValue.int(value)
        elif value is not None:
            metadata[name] = dg.MetadataValue.text(str(value))
    return metadata


def table_metadata(name: str, table: CheckTable) -> Metadata:
    """The table as `name`, and as `<name>_left_out` how many rows it does not show, if any."""
    records = [dg.TableRecord(dict(zip(table.columns, row, strict=True))) for row in table.rows]
    schema = dg.TableSchema([dg.TableColumn(column) for column in table.columns])
    metadata: Metadata = {name: dg.MetadataValue.table(records, schema)}
    if table.left_out:
        metadata[f"{name}_left_out"] = dg.MetadataValue.int(table.left_out)
    return metadata


def _link(path: Path) -> dg.MetadataValue[Any]:
    """For a browser on the same machine."""
    return dg.MetadataValue.url(path.resolve().as_uri())


def _file(path: Path) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.path(path)
