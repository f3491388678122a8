"""Convert results of the pipeline to Dagster metadata: counts, small tables, paths. Never payloads, keys or personal data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from debitura_pipeline.warehouse.checks import CheckTable, table_of

if TYPE_CHECKING:
    from pathlib import Path

    from debitura_pipeline.extract.window_record import Totals
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
    """Counts, duration in seconds, table size, proof, and the control totals as a table."""
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
    """What a sync observed about the listing that it read."""
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
    """Row count and summary of a listing, as its first page states them."""
    metadata: Metadata = {"rows": dg.MetadataValue.int(totals.count or 0)}
    lines = [(name, total.count, total.usd) for name, total in sorted(totals.summary.items())]
    if lines:
        metadata |= table_metadata("summary", table_of(("bucket", "count", "USD"), lines))
    return metadata


def report_metadata(facts: ReportFacts) -> Metadata:
    """The page's path, and its key figures."""
    figures = table_of(("figure", "value"), sorted(facts.figures.items()))
    return {"page": _file(facts.path), "open": _link(facts.path), **table_metadata("figures", figures)}


def origin_metadata(settings: Settings) -> Metadata:
    """The environment of the data, and whether it is simulated."""
    return {
        "environment": dg.MetadataValue.text(settings.environment),
        "is_simulated": dg.MetadataValue.bool(settings.uses_embedded_sandbox),
    }


def published_metadata(published: Published) -> Metadata:
    """Path and size of the published copy, and the files beside it."""
    lines = [(path.name, path.stat().st_size) for path in (*published.parquet, *published.csv)]
    return {
        "file": _file(published.path),
        "folder": _link(published.path.parent),
        "spreadsheet": _file(published.spreadsheet),
        "bytes": dg.MetadataValue.int(published.bytes),
        "tables": dg.MetadataValue.int(len(published.parquet)),
        **table_metadata("files", table_of(("file", "bytes"), lines)),
    }


def onboarding_metadata(facts: dict[str, Any]) -> Metadata:
    """Facts of one onboarding step; None values are omitted."""
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
    """A file:// link for a browser on the same machine."""
    return dg.MetadataValue.url(path.resolve().as_uri())


def _file(path: Path) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.path(path)
