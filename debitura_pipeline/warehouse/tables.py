"""Tables and views of schemas `raw` and `ops`, as SQL for both engines.

`raw` follows `contract/tables.py`; `ops` is declared here. dbt owns the other schemas.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Sequence
from decimal import Context, Decimal

import pyarrow as pa

from debitura_pipeline.contract.tables import META, OPENING, TABLES, VALIDITY, Table

SCHEMAS = ("raw", "ops")
SUPERSEDED = "_superseded"  # raw.cases_superseded: versions that are no longer the newest of their row

Columns = tuple[tuple[str, str], ...]

LAST_DECIMAL, EXACT = Decimal("0.0001"), Context(prec=60)  # of the columns of money
# Arrow's type for each SQL type that is used here.
ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "BOOLEAN": pa.bool_(),
    "BIGINT": pa.int64(),
    "DECIMAL(18,4)": pa.decimal128(18, 4),
    "DECIMAL(28,4)": pa.decimal128(28, 4),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
}

OPS: dict[str, Columns] = {
    "syncs": (
        ("sync_id", "VARCHAR"),
        ("resource", "VARCHAR"),
        ("mode", "VARCHAR"),  # small, full, nightly, client: which plan was used
        ("status", "VARCHAR"),  # done, failed, lost (its landing cannot be recovered, and that was accepted)
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
        (
            "certificate_sha256",
            "VARCHAR",
        ),  # of the journal up to its `end`; null: synced before certificates were chained
        ("previous_sha256", "VARCHAR"),  # the certificate before it, of the same resource; null: the first one
        ("published_at", "TIMESTAMPTZ"),  # of the night in which it was; null: not published, or not noted yet
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
    "estimate_totals": (  # one row per group of estimates and period in which its totals stood; no key is null
        ("creditor_id", "VARCHAR"),
        ("earnings_currency", "VARCHAR"),
        ("commission_status", "VARCHAR"),
        ("platform_invoicing_status", "VARCHAR"),
        ("referral_invoicing_status", "VARCHAR"),
        ("transaction_count", "BIGINT"),
        ("referral_fee", "DECIMAL(28,4)"),
        ("referral_fee_usd", "DECIMAL(28,4)"),
        ("debitura_revenue_usd", "DECIMAL(28,4)"),
        ("referral_fee_recognized_usd", "DECIMAL(28,4)"),
        ("valid_from", "TIMESTAMPTZ"),  # the clock of the sync that found these totals
        ("valid_to", "TIMESTAMPTZ"),  # of the one that found others, or no row; null: they stand
    ),
    "identity": (  # one row: whose data this warehouse holds
        ("environment", "VARCHAR"),
        ("host", "VARCHAR"),  # without a port where it is this machine
        ("partner", "VARCHAR"),  # keyed hash of the partner's id
        ("privacy_key", "VARCHAR"),  # fingerprint, not the key
    ),
    "rate_limits": (  # one row per host of the API; Postgres only, empty in DuckDB. See api/rate_limit_table.py
        ("api_host", "VARCHAR"),
        ("counts", "VARCHAR"),  # JSON: requests of the minute, the hour and the day
        ("changed_at", "TIMESTAMPTZ"),
    ),
    "schema_version": (  # one row, see schema_version.py
        ("version", "BIGINT"),
        ("written_by", "VARCHAR"),
    ),
    "registrations": (  # one row per wanted client, whatever its state
        ("external_tenant_id", "VARCHAR"),
        ("row_hash", "VARCHAR"),  # keyed hash of the roster's row
        ("state", "VARCHAR"),
        ("http_status", "BIGINT"),
        ("error_types", "VARCHAR"),  # codes and field names, comma-separated
        ("attempts", "BIGINT"),
        ("intent_at", "TIMESTAMPTZ"),
        ("outcome_at", "TIMESTAMPTZ"),
        ("creditor_id", "VARCHAR"),
        ("message", "VARCHAR"),
    ),
    "submissions": (  # one row per claim: by creditor and reference, by tenant and reference while the creditor is unknown
        ("external_tenant_id", "VARCHAR"),
        ("creditor_id", "VARCHAR"),
        ("creditor_reference", "VARCHAR"),
        ("claim_hash", "VARCHAR"),  # keyed hash of the claim's row
        ("body_hash", "VARCHAR"),  # keyed hash of the bytes that were sent
        ("generation", "BIGINT"),
        ("idempotency_key", "VARCHAR"),
        ("state", "VARCHAR"),
        ("http_status", "BIGINT"),
        ("error_types", "VARCHAR"),
        ("attempts", "BIGINT"),
        ("unanswered", "BIGINT"),  # of this generation's requests, those whose effect is unknown
        ("intent_at", "TIMESTAMPTZ"),
        ("last_attempt_at", "TIMESTAMPTZ"),
        ("absent_since", "TIMESTAMPTZ"),
        ("outcome_at", "TIMESTAMPTZ"),
        ("case_id", "VARCHAR"),
        ("reference", "VARCHAR"),
        ("amount", "DECIMAL(18,4)"),
        ("currency", "VARCHAR"),
        ("is_eligible", "BOOLEAN"),
        ("success_fee_pct", "DECIMAL(18,4)"),
        ("message", "VARCHAR"),
    ),
    "webhook_events": (
        ("event_id", "VARCHAR"),
        ("event", "VARCHAR"),
        ("external_tenant_id", "VARCHAR"),
        ("case_id", "VARCHAR"),
        ("event_at", "TIMESTAMPTZ"),
        ("received_at", "TIMESTAMPTZ"),
        ("deliveries", "BIGINT"),
        ("handled_at", "TIMESTAMPTZ"),
        ("run_id", "VARCHAR"),
        ("outcome", "VARCHAR"),
    ),
    "incidents": (
        ("incident", "VARCHAR"),
        ("subject", "VARCHAR"),
        ("opened_at", "TIMESTAMPTZ"),
        ("closed_at", "TIMESTAMPTZ"),
        ("told_at", "TIMESTAMPTZ"),
        ("message", "VARCHAR"),
    ),
    "onboarding": (
        ("partition_key", "VARCHAR"),  # externalTenantId@creditorId
        ("external_tenant_id", "VARCHAR"),
        ("creditor_id", "VARCHAR"),
        ("state", "VARCHAR"),  # waiting_for_signature, signed, loaded, must_sign_again, gone
        ("onboarding_done", "BOOLEAN"),
        ("kyc_status", "VARCHAR"),
        ("outstanding", "VARCHAR"),
        ("registered_at", "TIMESTAMPTZ"),
        ("signed_at", "TIMESTAMPTZ"),
        ("access_ok", "BOOLEAN"),
        ("access_checked_at", "TIMESTAMPTZ"),
        ("history_loaded_at", "TIMESTAMPTZ"),
        ("cases_loaded", "BIGINT"),
        ("transactions_loaded", "BIGINT"),
        ("first_case_at", "TIMESTAMPTZ"),
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
    opening = OPENING if table.opened is not None else ()
    return (*((column.name, column.kind.sql) for column in table.columns), ("extra", "JSON"), *META, *opening)


def version_columns(table: Table) -> Columns:
    """Columns of a version: those of the current table and its validity."""
    return (*current_columns(table), *VALIDITY)


def _rounded(value: object) -> object:
    """A Decimal with no more decimals than money columns have."""
    if not isinstance(value, Decimal) or not value.is_finite():
        return value
    return value.quantize(LAST_DECIMAL, context=EXACT)


def arrow_table(columns: Columns, rows: Sequence[tuple[object, ...]]) -> pa.Table:
    """Rows of Python values as an Arrow table with `ARROW_TYPES`. Decimals are rounded to the column's scale: the API's sums are
    doubles, whose last digits are noise. Raises ArrowInvalid if a value does not fit."""
    values = zip(*rows, strict=True) if rows else ([] for _ in columns)
    arrays = [
        pa.array(
            [_rounded(value) for value in column] if kind.startswith("DECIMAL") else list(column), ARROW_TYPES[kind]
        )
        for (_, kind), column in zip(columns, values, strict=True)
    ]
    return pa.table(arrays, [name for name, _ in columns])


def all_tables() -> Iterator[tuple[str, str, Columns]]:
    """Every table that the pipeline writes: schema, name, columns."""
    for resource, table in TABLES.items():
        yield "raw", resource, current_columns(table)
        yield "raw", f"{resource}{SUPERSEDED}", version_columns(table)
    yield "raw", "partner_history", PARTNER_HISTORY
    for name, columns in OPS.items():
        yield "ops", name, columns


def create_statements(existing: Collection[tuple[str, str, str]] = ()) -> Iterator[str]:
    """Statements that create what is missing; existing objects stay.

    `existing`: (schema, table, column) in the warehouse, in order. New columns are added to older tables. Existing schemas
    are not created again, since a role may own a schema without the right to create one. No table has a primary key: an index
    of millions of ids takes more memory than a merge may use, and the merge itself checks that keys are unique.
    """
    old = [resource for resource, table in TABLES.items() if _is_whole_history(resource, table.key, existing)]
    for resource in old:
        yield f'ALTER TABLE raw."{resource}_history" RENAME TO "{resource}{SUPERSEDED}"'
    existing = [_renamed(found, old) for found in existing]
    yield from _create_tables(set(existing))
    for resource, table in TABLES.items():
        shown = [column for schema, name, column in existing if (schema, name) == ("raw", f"{resource}_history")]
        missing = [column for column, _ in version_columns(table) if column not in shown]
        if missing:
            yield _history_view(resource, [*shown, *missing])
    for resource in old:  # after the columns: DuckDB does not add one to a table that its transaction has written
        yield _delete_current_versions(resource, TABLES[resource].key)


def _create_tables(there: Container[tuple[str, str, str]]) -> Iterator[str]:
    for schema in SCHEMAS:
        if not any((schema, name, columns[0][0]) in there for _, name, columns in all_tables()):
            yield f"CREATE SCHEMA IF NOT EXISTS {schema}"
    for schema, name, columns in all_tables():
        if (schema, name, columns[0][0]) not in there:
            body = ", ".join(f'"{column}" {sql_type}' for column, sql_type in columns)
            yield f'CREATE TABLE IF NOT EXISTS {schema}."{name}" ({body})'
        else:
            for column, sql_type in columns:
                if (schema, name, column) not in there:
                    yield f'ALTER TABLE {schema}."{name}" ADD COLUMN "{column}" {sql_type}'


def _is_whole_history(resource: str, key: str, existing: Collection[tuple[str, str, str]]) -> bool:
    """Whether `raw.<resource>_history` is a table with every version, as in early versions."""
    return ("raw", f"{resource}_history", key) in existing and ("raw", resource + SUPERSEDED, key) not in existing


def _renamed(found: tuple[str, str, str], old: Sequence[str]) -> tuple[str, str, str]:
    schema, name, column = found
    resource = name.removesuffix("_history")
    return (
        (schema, resource + SUPERSEDED, column) if schema == "raw" and resource != name and resource in old else found
    )


def _delete_current_versions(resource: str, key: str) -> str:
    """From a history table with every version, delete those that the current table holds."""
    return (
        f'DELETE FROM raw."{resource}{SUPERSEDED}" AS h WHERE EXISTS (SELECT 1 FROM raw."{resource}" AS c '
        f'WHERE c."{key}" = h."{key}" AND c._changed_at = h._valid_from)'
    )


def _history_view(resource: str, names: Sequence[str]) -> str:
    """Every version once: the closed ones, and each row's newest, the current row itself.

    New columns come last, as engines require when a view that others depend on is replaced.
    """
    columns = ", ".join(f'"{name}"' for name in names)
    of_current = {"_valid_from": '"_changed_at"', "_valid_to": '"_deleted_at"'}
    current = ", ".join(of_current.get(name, f'"{name}"') for name in names)
    return (
        f'CREATE OR REPLACE VIEW raw."{resource}_history" AS SELECT {columns} FROM raw."{resource}{SUPERSEDED}" '
        f'UNION ALL SELECT {current} FROM raw."{resource}"'
    )
