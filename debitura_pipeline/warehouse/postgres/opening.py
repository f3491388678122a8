"""Open a Postgres database as the warehouse.

Imported only if the settings name one: with psycopg, the import takes a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import WarehouseUrl
from debitura_pipeline.warehouse.postgres.connection import connect, server_label
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
from debitura_pipeline.warehouse.postgres.neighbours import refuse_foreign_objects
from debitura_pipeline.warehouse.postgres.schemas import Schemas
from debitura_pipeline.warehouse.run_lock import ensure_run_lock


@contextmanager
def open_database(
    database: WarehouseUrl, read_only: bool, wait_s: float, sleep: Callable[[float], None], clock: Callable[[], float]
) -> Iterator[PostgresWarehouse]:
    """The warehouse, prepared unless read-only; closed at the end of the block.

    Raises WarehouseBusy if the server is unavailable for longer than `wait_s`, WarehouseError if there is no warehouse yet
    (read-only) or it cannot be used.
    """
    if not read_only:
        ensure_run_lock(database)
    purpose = "reader" if read_only else "writer"
    connection = connect(database.server, purpose, read_only=read_only, wait_s=wait_s, sleep=sleep, clock=clock)
    with closing(_warehouse(database, connection)) as warehouse:
        if not read_only:
            refuse_foreign_objects(connection, database)
            warehouse.prepare()
        elif not warehouse.is_prepared():
            raise WarehouseError(
                f"There is no warehouse at {server_label(database.server)} yet. Run `debitura nightly` or `debitura sync` first."
            )
        yield warehouse


def is_prepared(database: WarehouseUrl, wait_s: float) -> bool:
    """Whether a run has created the warehouse. Raises WarehouseError if the server does not answer within `wait_s`."""
    connection = connect(database.server, "reader", read_only=True, wait_s=wait_s)
    with closing(_warehouse(database, connection)) as warehouse:
        return warehouse.is_prepared()


def tables_of(database: WarehouseUrl) -> set[str]:
    """Tables and views in the pipeline's schemas, with plain schema names. Raises WarehouseError."""
    with closing(_warehouse(database, connect(database.server, "reader", read_only=True))) as warehouse:
        return warehouse.tables()


def describe_database(database: WarehouseUrl) -> str:
    """Server, database and schemas; no user, no password."""
    prefix = database.schema_prefix
    return f"Postgres at {server_label(database.server)}" + (f", schemas {prefix}…" if prefix else "")


def check_schemas(database: WarehouseUrl, wait_s: float) -> None:
    """Raises WarehouseError if the pipeline's schemas hold other people's objects."""
    with connect(database.server, "doctor", read_only=True, wait_s=wait_s) as connection:
        refuse_foreign_objects(connection, database)


def _warehouse(database: WarehouseUrl, connection: psycopg.Connection[Any]) -> PostgresWarehouse:
    return PostgresWarehouse(connection, Schemas(database.schema_prefix), lambda: ensure_run_lock(database))
