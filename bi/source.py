"""Where the figures come from: the published file, or Postgres. A connection is opened and closed per query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import streamlit as st

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings, WarehouseUrl
from debitura_pipeline.warehouse.postgres.connection import connect, server_label
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
from debitura_pipeline.warehouse.postgres.schemas import Schemas
from debitura_pipeline.warehouse.published_folder import WAREHOUSE, current_night
from debitura_pipeline.warehouse.published_reader import first_line, open_published

WAIT_S = 5.0  # for a server that is starting
SCHEMAS = ("marts", "reports")
_TABLES = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN (?, ?)"
_VERIFIED = "SELECT max(verified_at) FROM marts.fct_transactions"

Rows = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class PublishedFiles:
    """One published night. Its folder is not reused by a later night, so DuckDB cannot show an older file for it."""

    folder: Path
    as_of: datetime | None

    @property
    def schemas(self) -> Schemas:
        """Names of the schemas in the file: the plain ones."""
        return Schemas()

    @property
    def label(self) -> str:
        """What is read, for people."""
        return f"Published file of {self.folder}"

    @property
    def version(self) -> str:
        """Different for each night."""
        return f"{self.folder} {self.folder.stat().st_mtime_ns}"

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Raises WarehouseError if the file cannot be read."""
        with open_published(self.folder) as connection:
            try:
                yield lambda sql, params: connection.execute(sql, list(params)).fetchall()
            except duckdb.Error as error:
                raise WarehouseError(f"The published file cannot be queried: {first_line(error)}") from error


@dataclass(frozen=True)
class PostgresDatabase:
    """A Postgres warehouse in read-only sessions. The analyst's role is enough: only `marts` and `reports` are read."""

    database: WarehouseUrl
    as_of: datetime | None
    version: str

    @property
    def schemas(self) -> Schemas:
        """Names of the schemas in this database."""
        return Schemas(self.database.schema_prefix)

    @property
    def label(self) -> str:
        """Server and database without user and password."""
        return f"Postgres at {server_label(self.database.server)}"

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Raises WarehouseError if the server cannot be used or a query fails."""
        with _session(self.database) as rows:
            yield rows


Source = PublishedFiles | PostgresDatabase


def open_source(settings: Settings) -> Source:
    """Postgres if it is the warehouse, else the newest published night. Raises WarehouseError."""
    if settings.warehouse.dsn is not None:
        return _postgres(settings.warehouse)
    night = current_night(settings.published_dir)
    if night is None:  # a file that was copied from another machine, or none
        source = PublishedFiles(settings.published_dir, None)
        if not (source.folder / WAREHOUSE).is_file():
            raise WarehouseError(f"Nothing is published yet in {source.folder}.", cure="Run `make nightly` first.")
        return PublishedFiles(source.folder, _verified_at(source))
    return PublishedFiles(night.path, night.as_of)


def _postgres(database: WarehouseUrl) -> PostgresDatabase:
    reports = Schemas(database.schema_prefix).named("reports")
    with _session(database) as rows:
        ((version,),) = rows("SELECT to_regclass($1)::oid::bigint", (f"{reports}.data_quality",))
    if version is None:
        raise WarehouseError(
            f"The database at {server_label(database.server)} has no schema {reports} with reports.",
            cure="Run `debitura nightly` first.",
        )
    source = PostgresDatabase(database, None, str(version))
    return PostgresDatabase(database, _verified_at(source), source.version)


@contextmanager
def _session(database: WarehouseUrl) -> Iterator[Rows]:
    connection = connect(database.server, "dashboards", read_only=True, wait_s=WAIT_S)
    with closing(PostgresWarehouse(connection, Schemas(database.schema_prefix), lambda: None)) as warehouse:
        yield warehouse.rows


def _verified_at(source: Source) -> datetime | None:
    """The newest complete reading of transactions; None without any."""
    if "marts.fct_transactions" not in tables(source):
        return None
    at = frame(source, _VERIFIED, ("at",)).iat[0, 0]
    return at.astimezone(UTC) if at else None


def tables(source: Source) -> frozenset[str]:
    """The tables in `marts` and `reports`, each with its schema. Raises WarehouseError."""
    names = tuple(source.schemas.named(schema) for schema in SCHEMAS)
    found = frame(source, _TABLES, ("schema", "name"), names)
    return frozenset(f"{source.schemas.plain(schema)}.{name}" for schema, name in found.itertuples(index=False))


def frame(source: Source, sql: str, columns: Sequence[str], params: Sequence[Any] = ()) -> pd.DataFrame:
    """The rows under these names; amounts stay Decimal. `?` stands for the next of `params`. Kept in memory until the next
    night. Raises WarehouseError."""
    return _cached(source, source.version, _numbered(sql), tuple(columns), tuple(params))


def _numbered(sql: str) -> str:
    """`a = ? AND b = ?` -> `a = $1 AND b = $2`, which both engines understand."""
    first, *others = sql.split("?")
    return first + "".join(f"${number}{text}" for number, text in enumerate(others, start=1))


@st.cache_data(max_entries=256, show_spinner=False)
def _cached(_source: Source, version: str, sql: str, columns: tuple[str, ...], params: tuple[Any, ...]) -> pd.DataFrame:
    with _source.open() as rows:
        return pd.DataFrame(rows(sql, params), columns=list(columns), dtype=object)
