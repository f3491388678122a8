"""The merge's SQL: turns a landing into current rows and history. The same text runs on DuckDB and Postgres.

Relation `incoming` holds the landed rows, one per key; table `merge_delta` gets the action for each key. Rows are then
deleted and inserted, never updated column by column: an engine that updates in place would keep each old value in memory
until the commit. Only narrow columns, which hold one instant, are updated.

    inserted   the key is new: a row, which is its first version
    changed    the hash differs: the row's version is closed and the new one replaces it
    returned   the row was deleted and is back: a new version, with a gap after the closed one
    refreshed  same hash, but a column outside the hash changed (USD of an estimate, `extra`, the debtor's name): the row
               shows it; `_changed_at`, `_opening_fee_usd` and the number of versions stay
    deleted    a complete read no longer returns it: `_deleted_at`

The newest version is the current row itself, valid from `_changed_at` to `_deleted_at`; closed versions are in
`raw.<resource>_superseded`, and the view `raw.<resource>_history` shows both, so each version is written once. `_sync_id` is the
sync that opened the version, and a closed version has `_deleted_at` only if a deletion ended it. There is one version per
instant: if two syncs have the same clock, the later one's replaces the other's.
"""

from __future__ import annotations

from datetime import datetime

from debitura_pipeline.contract.tables import META, OPENING, Table
from debitura_pipeline.warehouse.base import DeletionScope
from debitura_pipeline.warehouse.tables import SUPERSEDED

Statement = tuple[str, tuple[object, ...]]

TEMPORARY_TABLES = (
    "merge_delta",
    "merge_deleted_keys",
    "merge_quarantined",
    "merge_bad",
    "merge_drift",
    "merge_windows",
    "merge_totals",
    "merge_estimates",
)
KEY_COLUMNS = (("key", "VARCHAR"),)
DELTA_COLUMNS = (
    ("key", "VARCHAR"),
    ("action", "VARCHAR"),
    ("first_seen_at", "TIMESTAMPTZ"),
    ("changed_at", "TIMESTAMPTZ"),
    ("sync_id", "VARCHAR"),
    ("opening", "DECIMAL(18,4)"),
)


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def current(table: Table) -> str:
    return f"raw.{quoted(table.resource)}"


def superseded(table: Table) -> str:
    return f"raw.{quoted(table.resource + SUPERSEDED)}"


def is_empty(table: Table) -> Statement:
    return f"SELECT NOT EXISTS (SELECT 1 FROM {current(table)} UNION ALL SELECT 1 FROM {superseded(table)})", ()


def quarantined_keys(table: Table) -> Statement:
    """Keys that are only in quarantine in this landing: their rows were not read, so they are neither verified nor deleted."""
    key = quoted(table.key)
    return (
        f"""CREATE TEMPORARY TABLE merge_quarantined AS
        SELECT DISTINCT b.row_key AS key FROM merge_bad AS b
        WHERE b.row_key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM incoming AS i WHERE i.{key} = b.row_key)""",
        (),
    )


def delta(table: Table, sync_id: str, at: datetime) -> Statement:
    """The action for each incoming key whose row is new or different."""
    key = quoted(table.key)
    soft = [quoted(name) for name in table.names if name not in table.hashed or name in table.floating]
    moved = [f"c.{name} IS DISTINCT FROM i.{name}" for name in soft]
    # Postgres has no equality for JSON; its text has one.
    moved.append("CAST(c.extra AS VARCHAR) IS DISTINCT FROM CAST(i.extra AS VARCHAR)")
    # Rows from before opening values were kept have the value read last.
    opening = (
        f"coalesce(c._opening_fee_usd, c.{quoted(table.opened)})" if table.opened else "CAST(NULL AS DECIMAL(18,4))"
    )
    return (
        f"""INSERT INTO merge_delta (key, action, first_seen_at, changed_at, sync_id, opening)
        WITH compared AS (
            SELECT i.{key} AS key, c._first_seen_at, c._changed_at, c._sync_id, {opening} AS opening,
                CASE
                    WHEN c.{key} IS NULL THEN 'inserted'
                    WHEN c._deleted_at IS NOT NULL THEN 'returned'
                    WHEN c._row_hash <> i._row_hash THEN 'changed'
                    WHEN {" OR ".join(moved)} THEN 'refreshed'
                END AS action
            FROM incoming AS i LEFT JOIN {current(table)} AS c ON c.{key} = i.{key}
        )
        SELECT key, action,
            CASE WHEN action = 'inserted' THEN CAST($1 AS TIMESTAMPTZ) ELSE _first_seen_at END,
            CASE WHEN action = 'refreshed' THEN _changed_at ELSE CAST($1 AS TIMESTAMPTZ) END,
            CASE WHEN action = 'refreshed' THEN _sync_id ELSE CAST($2 AS VARCHAR) END,
            opening
        FROM compared WHERE action IS NOT NULL""",
        (at, sync_id),
    )


def delta_of_deleted(table: Table, deletion_scope: DeletionScope) -> Statement:
    """Live rows in scope that the sync did not return. Not run if the scope is none."""
    key = quoted(table.key)
    scope, params = _in_scope(deletion_scope)
    if deletion_scope.kind == "keys":
        scope += f" AND EXISTS (SELECT 1 FROM merge_deleted_keys AS g WHERE g.key = c.{key})"
    return (
        f"""INSERT INTO merge_delta (key, action)
        SELECT c.{key}, 'deleted' FROM {current(table)} AS c
        WHERE {scope}
            AND NOT EXISTS (SELECT 1 FROM incoming AS i WHERE i.{key} = c.{key})
            AND NOT EXISTS (SELECT 1 FROM merge_quarantined AS p WHERE p.key = c.{key})""",
        params,
    )


def live_in_scope(table: Table, deletion_scope: DeletionScope) -> Statement:
    scope, params = _in_scope(deletion_scope)
    return f"SELECT count(*) FROM {current(table)} AS c WHERE {scope}", params


def first_load(table: Table, sync_id: str, at: datetime) -> Statement:
    """Load empty tables: all of `incoming` is new, so nothing is compared."""
    return (
        f"""INSERT INTO {current(table)} ({_columns(table)})
        SELECT {_columns(table, "i.", own=False)}, CAST($1 AS TIMESTAMPTZ), CAST($1 AS TIMESTAMPTZ),
            CAST($1 AS TIMESTAMPTZ), NULL, CAST($2 AS VARCHAR), i._row_hash{_opening(table)}
        FROM incoming AS i""",
        (at, sync_id),
    )


def close_versions(table: Table, at: datetime) -> Statement:
    """Copy rows that are about to be replaced to the closed versions, valid until now, or until they were deleted.

    A version opened at this very instant is replaced instead.
    """
    return (
        f"""INSERT INTO {superseded(table)} ({_columns(table)}, _valid_from, _valid_to)
        SELECT {_columns(table, "c.")}, c._changed_at, coalesce(c._deleted_at, CAST($1 AS TIMESTAMPTZ))
        FROM {current(table)} AS c JOIN merge_delta AS d ON d.key = c.{quoted(table.key)}
        WHERE d.action IN ('changed', 'returned') AND c._changed_at < CAST($1 AS TIMESTAMPTZ)""",
        (at,),
    )


def mark_deleted(table: Table, at: datetime) -> Statement:
    return (
        f"""UPDATE {current(table)} AS t SET _deleted_at = CAST($1 AS TIMESTAMPTZ) FROM merge_delta AS d
        WHERE t.{quoted(table.key)} = d.key AND d.action = 'deleted' AND t._deleted_at IS NULL""",
        (at,),
    )


def remove_outdated(table: Table) -> Statement:
    return (
        f"""DELETE FROM {current(table)} AS c USING merge_delta AS d
        WHERE c.{quoted(table.key)} = d.key AND d.action IN ('changed', 'returned', 'refreshed')""",
        (),
    )


def insert_current(table: Table, at: datetime) -> Statement:
    return (
        f"""INSERT INTO {current(table)} ({_columns(table)})
        SELECT {_columns(table, "i.", own=False)}, d.first_seen_at, d.changed_at, CAST($1 AS TIMESTAMPTZ), NULL,
            d.sync_id, i._row_hash{_opening(table, "CASE WHEN d.action = 'refreshed' THEN d.opening ELSE {0} END")}
        FROM incoming AS i JOIN merge_delta AS d ON d.key = i.{quoted(table.key)}
        WHERE d.action IN ('inserted', 'changed', 'returned', 'refreshed')""",
        (at,),
    )


def verify_seen(table: Table, deletion_scope: DeletionScope, at: datetime) -> Statement:
    """Set `_verified_at` of the live rows that the sync returned.

    After a complete read those are all except the quarantined ones, which saves a look-up per row.
    """
    key = quoted(table.key)
    if deletion_scope.kind == "all":
        seen = f"NOT EXISTS (SELECT 1 FROM merge_quarantined AS p WHERE p.key = t.{key})"
    else:
        seen = f"EXISTS (SELECT 1 FROM incoming AS i WHERE i.{key} = t.{key})"
    return (
        f"""UPDATE {current(table)} AS t SET _verified_at = CAST($1 AS TIMESTAMPTZ)
        WHERE t._deleted_at IS NULL AND t._verified_at < CAST($1 AS TIMESTAMPTZ) AND {seen}""",
        (at,),
    )


def _in_scope(deletion_scope: DeletionScope) -> tuple[str, tuple[object, ...]]:
    if deletion_scope.kind == "client":
        places = ", ".join(f"${place}" for place in range(1, len(deletion_scope.tenants) + 1))
        return f"c._deleted_at IS NULL AND c.external_tenant_id IN ({places})", deletion_scope.tenants
    return "c._deleted_at IS NULL", ()


def _opening(table: Table, value: str = "{0}") -> str:
    """What follows `_row_hash`: the opening value of an incoming estimate. `value`: with `{0}` for the value as it came."""
    if table.opened is None:
        return ""
    return f", CASE WHEN i.{quoted(table.estimate_flag or '')} THEN {value.format(f'i.{quoted(table.opened)}')} END"


def _columns(table: Table, prefix: str = "", *, own: bool = True) -> str:
    names = [*table.names, "extra"]
    if own:
        names += [name for name, _ in (*META, *(OPENING if table.opened else ()))]
    return ", ".join(prefix + quoted(name) for name in names)
