"""Comments that a catalogue holds, and those that dbt's manifest says it should hold, as {(schema, table, column): text}.

A table's own comment stands under column `""`. Texts are on one line, without the mark that a Postgres database has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.warehouse.postgres.neighbours import MARK
from debitura_pipeline.warehouse.postgres.schemas import SCHEMAS

Comments = dict[tuple[str, str, str], str | None]
Keys = set[tuple[str, str, str, str]]  # schema, table, kind, columns as text

IN_DUCKDB = """
    SELECT schema_name, table_name, '', comment FROM duckdb_tables() WHERE NOT internal
    UNION ALL SELECT schema_name, view_name, '', comment FROM duckdb_views() WHERE NOT internal
    UNION ALL SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal"""
IN_POSTGRES = """
    SELECT n.nspname, c.relname, '', obj_description(c.oid, 'pg_class')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'v')
    UNION ALL SELECT n.nspname, c.relname, a.attname, col_description(c.oid, a.attnum)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'v')"""

KEYS = """
    SELECT nspname, relname, kind, columns FROM (
        SELECT k.conrelid AS relation, CASE k.contype WHEN 'p' THEN 'primary_key' ELSE 'foreign_key' END AS kind,
            (SELECT string_agg(a.attname, ',' ORDER BY p.n) FROM unnest(k.conkey) WITH ORDINALITY AS p (attnum, n)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum) AS columns
        FROM pg_constraint AS k WHERE k.contype IN ('p', 'f')
        UNION ALL
        SELECT i.indrelid, 'index', (SELECT string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_attribute AS a
            WHERE a.attrelid = i.indexrelid)
        FROM pg_index AS i WHERE NOT i.indisprimary
    ) AS found
    JOIN pg_class AS c ON c.oid = found.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('marts', 'reports')"""


def manifest_nodes() -> list[dict[str, Any]]:
    """Models, seeds and sources."""
    manifest = json.loads(obtain_manifest().read_text())
    built = [node for node in manifest["nodes"].values() if node["resource_type"] in ("model", "seed")]
    return [*built, *manifest["sources"].values()]


def described() -> Comments:
    found: Comments = {}
    for node in manifest_nodes():
        place = (node["schema"], node["name"])
        found[*place, ""] = one_line(node["description"])
        found |= {(*place, name): one_line(column["description"]) for name, column in node["columns"].items()}
    return found


def duckdb_comments(path: Path) -> Comments:
    with duckdb.connect(path, read_only=True) as connection:
        return {
            (schema, table, column): text for schema, table, column, text in connection.execute(IN_DUCKDB).fetchall()
        }


def postgres_comments(url: str) -> Comments:
    """Of tables that dbt has built, where the mark must be; of raw and ops as they are."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(IN_POSTGRES.encode(), {"schemas": list(SCHEMAS)}).fetchall()
    for schema, table, column, text in rows:
        assert (text or "").endswith(MARK) == (not column and schema not in ("raw", "ops")), (schema, table, column)
    return {(schema, table, column): (text or "").removesuffix(MARK).rstrip() for schema, table, column, text in rows}


def declared_keys() -> Keys:
    """Keys and indexes that the models' files ask for."""
    found: Keys = set()
    for node in manifest_nodes():
        place = (node["schema"], node["name"])
        found |= {(*place, one["type"], ",".join(one["columns"])) for one in node.get("constraints", [])}
        found |= {
            (*place, "index", ",".join(columns)) for columns in node["config"]["meta"].get("postgres_indexes", [])
        }
    return found


def postgres_keys(url: str) -> Keys:
    """Keys and indexes of what dbt has built."""
    with psycopg.connect(url) as connection:
        return set(connection.execute(KEYS.encode()).fetchall())


def one_line(text: str) -> str:
    return " ".join(text.split())
