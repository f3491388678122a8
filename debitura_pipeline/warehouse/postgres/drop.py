"""Drop schemas built by dbt without touching what others created.

Every relation and function is dropped by name, and the schema only if it is empty then. There is no CASCADE, so the server
refuses if other people's objects are in the schema or depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

WAIT_MS = 5_000

# What others build on goes last. Everything of a kind goes in one statement, so that the order among its members is no matter.
_RELATIONS = """
    SELECT string_agg(format('%%I.%%I', n.nspname, c.relname), ', ') FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%s) AND c.relkind = ANY(%s)"""
_FUNCTIONS = """
    SELECT string_agg(format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), ', ')
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY(%s) AND p.prokind = 'f'"""
_SCHEMAS = "SELECT string_agg(quote_ident(nspname), ', ') FROM pg_catalog.pg_namespace WHERE nspname = ANY(%s)"


def drop_built(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> None:
    """Drop these schemas, if they exist, in one transaction. Raises psycopg.errors.LockNotAvailable if somebody reads them
    for too long, psycopg.errors.DependentObjectsStillExist if others depend on them."""
    names = list(schemas)
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = {WAIT_MS}".encode())
        for kind, query, values in (
            ("FUNCTION", _FUNCTIONS, [names]),
            ("VIEW", _RELATIONS, [names, ["v"]]),
            ("TABLE", _RELATIONS, [names, ["r", "p"]]),
            ("SCHEMA", _SCHEMAS, [names]),
        ):
            (found,) = connection.execute(query, values).fetchone() or (None,)
            if found:
                connection.execute(f"DROP {kind} {found}".encode())
