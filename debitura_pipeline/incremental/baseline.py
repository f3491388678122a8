"""SQL for the baseline file, the warehouse's live rows at the start of a sync, and for what is compared of each row."""

from __future__ import annotations

from collections.abc import Sequence

from debitura_pipeline.contract.stages import STAGES, stage_sql
from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.incremental.differences import CLOSED, MERGED

# Cases are compared by the number of closed ones, merged ones among them; every other lifecycle counts as open.
CASE_BUCKET = (
    f"CASE WHEN lower(lifecycle) = 'closed' THEN '{CLOSED}' WHEN lower(lifecycle) LIKE 'merged%' THEN '{MERGED}' "
    "ELSE 'open' END"
)
COMPARED_BUCKET = f"CASE WHEN bucket = '{MERGED}' THEN '{CLOSED}' ELSE bucket END"
# What the earnings of clients are computed from (`stages.EARNINGS`), besides the fee; null for other resources.
OF_FEES = {
    "is_estimate": "BOOLEAN",
    "referral_invoicing_status": "VARCHAR",
    "referral_fee_recognized_usd": "DECIMAL(18,4)",
}
MEASURES = {"bucket": "VARCHAR", "usd": "DECIMAL(18,4)", **OF_FEES}


def snapshot_sql(resource: str, invoicing_mode: str | None, dates: Sequence[str], tenant: str | None = None) -> str:
    """Return the query over `raw` whose result is the baseline file, for all live rows or for those of one tenant.

    Columns: `key`, each of `dates`, `MEASURES`, `changes_silently`, `creditor_id`, `_verified_at`.
    """
    columns = ", ".join(f'"{date}"' for date in dates)
    return (
        f'SELECT "{TABLES[resource].key}" AS key, {columns}, {measures(resource, invoicing_mode)}, '
        f"{_changes_silently(resource, invoicing_mode)} AS changes_silently, creditor_id, _verified_at "
        f"FROM raw.{resource} WHERE _deleted_at IS NULL"
        + (f" AND external_tenant_id = {_literal(tenant)}" if tenant else "")
    )


def measures(resource: str, invoicing_mode: str | None) -> str:
    """SQL of the columns `MEASURES`, over rows of `raw` or of a landed file."""
    if resource == "transactions":
        return f"{stage_sql(invoicing_mode)} AS bucket, referral_fee_usd AS usd, {', '.join(OF_FEES)}"
    bucket = CASE_BUCKET if resource == "cases" else "'all'"
    nothing = ", ".join(f"CAST(NULL AS {sql_type}) AS {name}" for name, sql_type in OF_FEES.items())
    return f"{bucket} AS bucket, CAST(0 AS DECIMAL(18,4)) AS usd, {nothing}"


def _literal(value: str) -> str:
    """A text as an SQL literal; COPY takes no parameters."""
    return "'" + value.replace("'", "''") + "'"


def _changes_silently(resource: str, invoicing_mode: str | None) -> str:
    """Condition that selects the rows of `SILENT_CHANGE_FILTERS`, for example an estimate that was disputed before payment."""
    if resource != "transactions":
        return "false"
    return (
        f"((is_estimate AND {stage_sql(invoicing_mode)} <> '{STAGES[0]}') "
        "OR lower(platform_invoicing_status) = 'invoicecredited')"
    )
