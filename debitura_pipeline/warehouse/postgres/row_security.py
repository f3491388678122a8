"""Tables of which row-level security may hide rows from the connected role."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from debitura_pipeline.warehouse.postgres.schemas import Schemas

_HIDDEN = """
    SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND row_security_active(c.oid) ORDER BY 1"""


def partly_hidden_tables(connection: psycopg.Connection[Any], schemas: Schemas) -> list[str]:
    """Those among the pipeline's tables, dbt's included, by schema and name. Raises psycopg.Error."""
    found = connection.execute(_HIDDEN, [list(schemas.all())])
    return [name for (name,) in found.fetchall()]


def how_to_show_rows(connection: psycopg.Connection[Any]) -> str:
    """What an administrator can do about it."""
    role = sql.Identifier(connection.info.user).as_string()
    return f"As an administrator, disable it for these tables, or run: ALTER ROLE {role} BYPASSRLS."
