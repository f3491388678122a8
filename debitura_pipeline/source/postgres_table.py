"""Read a source from a table or view of Postgres: read-only, known columns only, every value as the server's text."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.secret import Secret
from debitura_pipeline.source.raw import Header, RawRow, RawRows, unreadable
from debitura_pipeline.source.table import Holds, SourceTable
from debitura_pipeline.warehouse.postgres.connection import connect, describe_error, server_label

WAIT_S = 5.0
STATEMENT_TIMEOUT = "60s"
# Types whose text has no fixed spelling, or another one than the application's: 1e+20, 1001.00 (and 1001.000 after a change of
# scale), \\x31303031.
NOT_AS_TEXT = ("real", "double precision", "numeric", "money", "bytea")
_COLUMNS = """
    WITH RECURSIVE types AS (
        SELECT oid, oid AS base, typbasetype FROM pg_catalog.pg_type
        UNION ALL
        SELECT d.oid, t.oid, t.typbasetype FROM types AS d JOIN pg_catalog.pg_type AS t ON t.oid = d.typbasetype
    )
    SELECT a.attname, t.base::pg_catalog.regtype::pg_catalog.text
    FROM pg_catalog.pg_attribute AS a JOIN types AS t ON t.oid = a.atttypid AND t.typbasetype = 0
    JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""


def read_table(location: Secret, table: SourceTable[Any]) -> RawRows:
    """The rows, ordered by the table's key. Raises SourceError, whose message contains neither password nor value."""
    dsn, schema, name = split_address(location, table)
    where = f"{schema}.{name} of {server_label(dsn)}"
    fault = ""
    try:
        with connect(dsn, "source", read_only=True, wait_s=WAIT_S) as connection:
            connection.execute(sql.SQL("SET statement_timeout = {}").format(STATEMENT_TIMEOUT))
            return _read(connection, schema, name, where, table)
    except WarehouseError as error:
        fault = f"cannot be read: {error.fault.rstrip('.')}"
    except psycopg.Error as error:
        fault = f"cannot be read: {describe_error(error)}"
    # Raised outside the handler: the driver's error may quote a row.
    raise unreadable(table, where, fault, _cure(fault, schema, name))


def split_address(location: Secret, table: SourceTable[Any]) -> tuple[Secret, str, str]:
    """The address without its parameter `table`, the schema and the table's name. Raises SourceError."""
    parts = urlsplit(location.reveal())
    options = parse_qsl(parts.query, keep_blank_values=True)
    schema, _, name = next((value for key, value in options if key == "table"), "").partition(".")
    if not schema or not name:
        raise unreadable(table, "its address", "does not end with ?table=schema.name")
    query = urlencode([(key, value) for key, value in options if key != "table"], quote_via=quote)
    return Secret(urlunsplit(parts._replace(query=query)), table.variable), schema, name


def _read(connection: psycopg.Connection[Any], schema: str, name: str, where: str, table: SourceTable[Any]) -> RawRows:
    types: dict[str, str] = dict(connection.execute(_COLUMNS, (schema, name)).fetchall())
    names = list(types)
    if not names:
        raise unreadable(table, where, "is not there", "Check ?table=schema.name, in the letter case of the database.")
    header = Header.match(names, table, where)
    pairs = [(found, known) for found, known in zip(names, header.columns, strict=True) if known is not None]
    for found, known in pairs:
        if types[found] in NOT_AS_TEXT and table.holds[known] is not Holds.NUMBER:
            raise unreadable(
                table, where, f"has the column {known} as {types[found]}", "Cast it to text or to a whole number."
            )
    of_key = [sql.Identifier(found) for wanted in table.key for found, known in pairs if known == wanted]
    statement = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
        sql.SQL(", ").join(sql.SQL("{}::pg_catalog.text").format(sql.Identifier(found)) for found, _ in pairs),
        sql.Identifier(schema, name),
        sql.SQL(", ").join(sql.SQL('{}::pg_catalog.text COLLATE "C"').format(each) for each in of_key),
    )
    columns = [known for _, known in pairs]
    rows = connection.execute(statement).fetchall()
    return RawRows(tuple(_row(columns, row) for row in rows), header.unknown)


def _row(columns: list[str], row: tuple[str | None, ...]) -> RawRow:
    return RawRow({column: value for column, value in zip(columns, row, strict=True) if value})


def _cure(fault: str, schema: str, name: str) -> str | None:
    if "permission denied" in fault:
        return f'Grant the user of the address USAGE on schema "{schema}" and SELECT on "{schema}"."{name}".'
    return None
