"""`fleet.duckdb`: the reports of all partners in schema `fleet`, with a column `partner`, and how each partner stands.

The file is a copy that needs no other file. Each partner is copied from the folder of one night, in one transaction, so a reader
finds one whole night of it or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from debitura_pipeline.fleet.members import FleetMember
from debitura_pipeline.fleet.shapes import PARTNER, SCHEMA, SOURCE, Columns, Shapes, found_columns, lacks
from debitura_pipeline.sharing import share
from debitura_pipeline.warehouse.comments import batched, comment_on
from debitura_pipeline.warehouse.duckdb_engine import sql_literal
from debitura_pipeline.warehouse.exports import bounded
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.opening import private_umask
from debitura_pipeline.warehouse.published_folder import exclusive_writer
from debitura_pipeline.warehouse.published_reader import first_line

FLEET = "fleet"
# DuckDB names a database after its file, and a database `fleet` with a schema `fleet` makes the name ambiguous in queries. So
# the file has another name, and `fleet.duckdb` is a link to it, as with `reports.duckdb`.
LINK, FILE, DRAFT = "fleet.duckdb", "debitura_fleet.duckdb", ".draft-fleet.duckdb"
FILES_OPEN = 50  # at the same time; each commit costs more than a partner's rows
_PARTNERS: Columns = (
    ("partner", "VARCHAR"), ("environment", "VARCHAR"), ("as_of", "TIMESTAMPTZ"), ("published_at", "TIMESTAMPTZ"),
    ("last_good_at", "TIMESTAMPTZ"), ("is_fresh", "BOOLEAN"), ("is_proven", "BOOLEAN"), ("last_run", "VARCHAR"),
    ("open_incidents", "BIGINT"), ("problems", "VARCHAR"), ("is_readable", "BOOLEAN"), ("made_at", "TIMESTAMPTZ"),
)  # fmt: skip
_INCIDENTS: Columns = (
    ("partner", "VARCHAR"), ("incident", "VARCHAR"), ("subject", "VARCHAR"), ("opened_at", "TIMESTAMPTZ"),
    ("closed_at", "TIMESTAMPTZ"), ("told_at", "TIMESTAMPTZ"), ("message", "VARCHAR"),
)  # fmt: skip


class FleetTables:
    """The tables of schema `fleet` in an open file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, tables: dict[str, Columns]) -> None:
        self.connection, self._tables = connection, tables

    def rows(
        self, table: str, sql: str, columns: Iterable[str], params: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Rows of a query on `table`; none if nobody has published it with these columns."""
        if lacks(self._tables, table, (*columns, PARTNER)):
            return []
        return self.connection.execute(sql, list(params)).fetchall()


def replace_file(
    folder: Path, members: Sequence[FleetMember], now: datetime, use: Callable[[FleetTables, list[FleetMember]], None]
) -> list[FleetMember]:
    """Write `folder/fleet.duckdb`, and call `use` with its tables before readers have it. Returns the members, with the
    faults that reading their files has shown.

    Raises WarehouseBusy if another process writes there, duckdb.Error and OSError; the old file is then unchanged.
    """
    with private_umask(), exclusive_writer(folder), _draft(folder) as draft:
        with bounded(draft) as connection:
            tables, members = _copy(connection, members)
            _write_standings(connection, members, now)
            use(FleetTables(connection, tables), members)
        share(draft, folder)
        handle = os.open(draft, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
        draft.replace(folder / FILE)
        if not os.path.lexists(folder / LINK):
            (folder / LINK).symlink_to(FILE)
    return members


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """The path to write to; nothing is left of it, or of that of a killed command."""
    for path in folder.glob(f"{DRAFT}*"):
        path.unlink()
    try:
        yield folder / DRAFT
    finally:
        for path in folder.glob(f"{DRAFT}*"):
            path.unlink()


def _copy(
    connection: duckdb.DuckDBPyConnection, members: Sequence[FleetMember]
) -> tuple[dict[str, Columns], list[FleetMember]]:
    shapes = Shapes()
    found = _in_batches(connection, members, lambda _: shapes.add(connection))
    reports = shapes.reports(connection)
    connection.execute(f"CREATE SCHEMA {FLEET}")
    for name, columns in reports.items():
        _create(connection, name, columns)
    found = _in_batches(connection, found, lambda sources: _insert(connection, sources, reports))
    comments = [comment_on(FLEET, table, column, "TABLE", text) for (table, column), text in shapes.comments.items()]
    for sql in batched(comments):
        connection.execute(sql)
    return reports, found


def _in_batches(
    connection: duckdb.DuckDBPyConnection,
    members: Sequence[FleetMember],
    work: Callable[[dict[str, FleetMember]], None],
) -> list[FleetMember]:
    """Do `work` with the members' files attached, many at a time."""
    starts = range(0, len(members), FILES_OPEN)
    return [one for start in starts for one in _with_files(connection, members[start : start + FILES_OPEN], work)]


def _with_files(
    connection: duckdb.DuckDBPyConnection,
    members: Sequence[FleetMember],
    work: Callable[[dict[str, FleetMember]], None],
) -> Sequence[FleetMember]:
    """The same in one transaction; where it fails, one file by one, to find the one that is at fault."""
    try:
        with _attached(connection, [member for member in members if member.is_readable]) as sources:
            connection.begin()
            try:
                work(sources)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
        return members
    except duckdb.Error as error:
        if len(members) == 1:
            return [replace(member, fault=f"{member.file} cannot be read: {first_line(error)}") for member in members]
    return [found for member in members for found in _with_files(connection, [member], work)]


def _insert(
    connection: duckdb.DuckDBPyConnection, sources: dict[str, FleetMember], reports: dict[str, Columns]
) -> None:
    """By name: what a file lacks of a report's columns is null. Each statement takes a report from all files."""
    there: dict[tuple[str, str], set[str]] = {}
    for source, table, column, _ in found_columns(connection):
        there.setdefault((source, table), set()).add(column)
    for table, columns in reports.items():
        parts = []
        for source, member in sources.items():
            if names := there.get((source, table)):
                shown = (quoted(name) if name in names else "NULL" for name, _ in columns if name != PARTNER)
                values = ", ".join((sql_literal(member.name), *shown))
                parts.append(f"SELECT {values} FROM {source}.{SCHEMA}.{quoted(table)}")
        if parts:
            connection.execute(f"INSERT INTO {FLEET}.{quoted(table)} {' UNION ALL '.join(parts)}")


@contextmanager
def _attached(
    connection: duckdb.DuckDBPyConnection, members: Sequence[FleetMember]
) -> Iterator[dict[str, FleetMember]]:
    """The members by the names that their files have as databases. Raises duckdb.Error."""
    sources: dict[str, FleetMember] = {}
    try:
        for place, member in enumerate(members):
            path = str(member.file.resolve()) if member.file else ""
            connection.execute(f"ATTACH {sql_literal(path)} AS {SOURCE}{place} (READ_ONLY)")
            sources[f"{SOURCE}{place}"] = member
        yield sources
    finally:
        for name in sources:
            connection.execute(f"DETACH {name}")


def _write_standings(connection: duckdb.DuckDBPyConnection, members: Sequence[FleetMember], now: datetime) -> None:
    connection.begin()
    _create(connection, "partners", _PARTNERS)
    _create(connection, "incidents", _INCIDENTS)
    rows: list[tuple[object, ...]] = []
    incidents: list[tuple[object, ...]] = []
    for member in members:
        one, night = member.standing, member.night
        problems = "; ".join((*one.problems, *([member.fault] if member.fault else []))) or None
        values = (
            member.name, one.environment, night and night.as_of, night and night.published_at, one.last_good_at, one.is_fresh(now),
            one.is_proven, one.last_run, len(one.incidents), problems, member.is_readable, now,
        )  # fmt: skip
        rows.append(values)
        incidents += [
            (member.name, each.kind, each.subject, each.opened_at, None, each.told_at, each.message)
            for each in one.incidents
        ]
    for table, found in (("partners", rows), ("incidents", incidents)):
        for row in found:
            connection.execute(f"INSERT INTO {FLEET}.{table} VALUES ({', '.join('?' * len(row))})", row)
    connection.commit()


def _create(connection: duckdb.DuckDBPyConnection, table: str, columns: Columns) -> None:
    described = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns)
    connection.execute(f"CREATE TABLE {FLEET}.{quoted(table)} ({described})")
