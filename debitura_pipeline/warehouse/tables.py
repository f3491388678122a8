"""The tables of schemas `raw` and `ops`, as SQL that DuckDB and Postgres both take.

Belongs here: names, columns, types. Does not: running anything. `raw` follows `landing/contract.py`; `ops` is declared
here. dbt owns the other schemas.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from debitura_pipeline.landing.contract import META, TABLES, VALIDITY, Table

SCHEMAS = ("raw", "ops")

Columns = tuple[tuple[str, str], ...]

OPS: dict[str, Columns] = {
    "syncs": (
        ("sync_id", "VARCHAR"),
        ("resource", "VARCHAR"),
        ("mode", "VARCHAR"),  # small, full, nightly, client: which plan was used
        ("status", "VARCHAR"),  # done, failed
        ("as_of", "TIMESTAMPTZ"),  # the sync's clock: every instant that its merge wrote
        ("started_at", "TIMESTAMPTZ"),
        ("finished_at", "TIMESTAMPTZ"),
        ("upper_bound", "TIMESTAMPTZ"),
        ("requests", "BIGINT"),
        ("retries", "BIGINT"),
        ("rows_read", "BIGINT"),
        ("rows_inserted", "BIGINT"),
        ("rows_changed", "BIGINT"),
        ("rows_deleted", "BIGINT"),
        ("windows", "BIGINT"),
        ("is_proven", "BOOLEAN"),
        ("message", "VARCHAR"),
    ),
    "windows": (
        ("resource", "VARCHAR"),
        ("window_from", "TIMESTAMPTZ"),  # null: from the beginning
        ("window_to", "TIMESTAMPTZ"),  # null: without an end
        ("scope", "VARCHAR"),  # 'all', or the tenant that a client's reading was limited to
        ("api_count", "BIGINT"),
        ("rows_read", "BIGINT"),
        ("attempts", "BIGINT"),
        ("verified_at", "TIMESTAMPTZ"),
        ("sync_id", "VARCHAR"),
        ("file_sha256", "VARCHAR"),
    ),
    "control_totals": (
        ("sync_id", "VARCHAR"),
        ("checked_at", "TIMESTAMPTZ"),
        ("resource", "VARCHAR"),
        ("check_name", "VARCHAR"),
        ("scope", "VARCHAR"),  # 'all', or a creditor_id
        ("bucket", "VARCHAR"),  # stage, lifecycle group, or 'all'
        ("unit", "VARCHAR"),  # count, usd
        ("api_value", "DECIMAL(18,4)"),
        ("warehouse_value", "DECIMAL(18,4)"),
        ("difference", "DECIMAL(18,4)"),
        ("verdict", "VARCHAR"),  # equal, differs, unproven
        ("detail", "VARCHAR"),
    ),
    "quarantine": (
        ("resource", "VARCHAR"),
        ("payload_sha256", "VARCHAR"),
        ("row_key", "VARCHAR"),  # the row's id where it has a usable one
        ("reason", "VARCHAR"),
        ("payload", "JSON"),  # redacted
        ("first_seen_at", "TIMESTAMPTZ"),
        ("last_seen_at", "TIMESTAMPTZ"),
        ("resolved_at", "TIMESTAMPTZ"),  # a complete reading no longer showed it; null: open
        ("sync_id", "VARCHAR"),
    ),
    "schema_drift": (
        ("resource", "VARCHAR"),
        ("kind", "VARCHAR"),  # field, value
        ("field", "VARCHAR"),
        ("value", "VARCHAR"),
        ("first_seen_at", "TIMESTAMPTZ"),
        ("sync_id", "VARCHAR"),
    ),
    "webhook_events": (
        ("event_id", "VARCHAR"),
        ("event", "VARCHAR"),
        ("external_tenant_id", "VARCHAR"),
        ("case_id", "VARCHAR"),
        ("received_at", "TIMESTAMPTZ"),
        ("handled_at", "TIMESTAMPTZ"),
        ("outcome", "VARCHAR"),
    ),
    "onboarding": (
        ("partition_key", "VARCHAR"),  # externalTenantId@creditorId
        ("external_tenant_id", "VARCHAR"),
        ("creditor_id", "VARCHAR"),
        ("state", "VARCHAR"),  # waiting_for_signature, signed, loaded, gone
        ("onboarding_done", "BOOLEAN"),
        ("kyc_status", "VARCHAR"),
        ("outstanding", "VARCHAR"),
        ("access_ok", "BOOLEAN"),
        ("access_checked_at", "TIMESTAMPTZ"),
        ("history_loaded_at", "TIMESTAMPTZ"),
        ("cases_loaded", "BIGINT"),
        ("transactions_loaded", "BIGINT"),
        ("message", "VARCHAR"),
        ("first_seen_at", "TIMESTAMPTZ"),
        ("updated_at", "TIMESTAMPTZ"),
    ),
}

PARTNER_HISTORY: Columns = (
    ("invoicing_trigger_mode", "VARCHAR"),
    ("referral_fee_pct", "DECIMAL(18,4)"),
    *VALIDITY,
)


def current_columns(table: Table) -> Columns:
    """Columns of `raw.<resource>`: the contract's, `extra`, then the pipeline's own."""
    return (*((column.name, column.kind.sql) for column in table.columns), ("extra", "JSON"), *META)


def history_columns(table: Table) -> Columns:
    """Columns of `raw.<resource>_history`: those of the current table and the version's validity."""
    return (*current_columns(table), *VALIDITY)


def all_tables() -> Iterator[tuple[str, str, Columns]]:
    """Every table that the pipeline writes: schema, name, columns."""
    for resource, table in TABLES.items():
        yield "raw", resource, current_columns(table)
        yield "raw", f"{resource}_history", history_columns(table)
    yield "raw", "partner_history", PARTNER_HISTORY
    for name, columns in OPS.items():
        yield "ops", name, columns


def create_statements(existing: Container[tuple[str, str, str]] = ()) -> Iterator[str]:
    """Statements that create what is missing and leave what is there; one statement each.

    `existing`: (schema, table, column) as the warehouse has them. A table from before a column was added gets it.
    What is there is not asked for, since a role may own a schema and yet not be allowed to create one.
    No table has a primary key: an index of millions of ids costs more memory than a merge may use, and the merge
    itself writes each key once and checks that it did.
    """
    for schema in SCHEMAS:
        if not any((schema, name, columns[0][0]) in existing for _, name, columns in all_tables()):
            yield f"CREATE SCHEMA IF NOT EXISTS {schema}"
    for schema, name, columns in all_tables():
        if (schema, name, columns[0][0]) not in existing:
            body = ", ".join(f'"{column}" {sql_type}' for column, sql_type in columns)
            yield f'CREATE TABLE IF NOT EXISTS {schema}."{name}" ({body})'
        else:
            for column, sql_type in columns:
                if (schema, name, column) not in existing:
                    yield f'ALTER TABLE {schema}."{name}" ADD COLUMN "{column}" {sql_type}'
