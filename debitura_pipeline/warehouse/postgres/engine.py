"""The Postgres engine (14 or later): the primitives that `warehouse/engine.py` builds on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.types.string import StrDumper, TextLoader

from debitura_pipeline.contract.tables import LANDED_EXTRA, TABLES, Table
from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.warehouse.base import FUNCTION, Judge, LandedSync, MergeCounts
from debitura_pipeline.warehouse.comments import Commented, batched, comment_statements
from debitura_pipeline.warehouse.engine import SqlWarehouse, duplicate_keys_error
from debitura_pipeline.warehouse.merge_sql import TEMPORARY_TABLES, current, quoted, superseded
from debitura_pipeline.warehouse.postgres.binary_copy import HEADER, TRAILER, encode
from debitura_pipeline.warehouse.postgres.connection import LOCKS, connection_lost, statement_refused
from debitura_pipeline.warehouse.postgres.export import export
from debitura_pipeline.warehouse.postgres.neighbours import MARK, mark_statement
from debitura_pipeline.warehouse.postgres.schemas import Schemas
from debitura_pipeline.warehouse.schema_version import check_version, write_version
from debitura_pipeline.warehouse.tables import (
    ARROW_TYPES,
    SCHEMAS,
    SUPERSEDED,
    Columns,
    all_tables,
    arrow_table,
    create_statements,
)
from debitura_pipeline.warehouse.write_guard import check_may_write

BATCH_ROWS = 10_000
WRITE_LOCK = 2  # one writing transaction at a time, as with a DuckDB file
LOCK_WAIT_MS = 60_000
# Server memory for a merge's joins and temporary tables, until the transaction ends.
WORK_MEM = "64MB"
ANALYZED_FROM = 10_000
LANDED_ADVICE = "Nothing was changed; run the sync again with --full."
# `remote_apply` waits for more than `on`; the other settings wait for less.
_SYNCHRONOUS = """
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') <> 'remote_apply'"""

T = TypeVar("T")


class PostgresWarehouse(SqlWarehouse):
    """One open connection in UTC; each statement is its own transaction unless inside `transaction()`."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        schemas: Schemas = Schemas(),  # noqa: B008 - frozen
        ensure_lock: Callable[[], None] = lambda: None,
    ) -> None:
        """`ensure_lock`: raises WarehouseError if another run has taken the run lock."""
        self._connection, self._schemas, self._ensure_lock = connection, schemas, ensure_lock
        self._failed = False
        connection.adapters.register_loader("json", TextLoader)  # as text, as DuckDB gives it
        # A str parameter has type text, as in DuckDB; otherwise Postgres infers its type separately at each use.
        connection.adapters.register_dumper(str, StrDumper)

    @contextmanager
    def transaction(self, *, is_durable: bool = False) -> Iterator[None]:
        """Commit at the end, roll back on any error. Raises WarehouseBusy if another writer is in the warehouse,
        WarehouseError also if a failed statement's error was caught inside: Postgres would accept the COMMIT and write
        nothing."""
        self._failed = False
        self._execute("BEGIN")
        try:
            self._execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
            self._execute(f"SELECT pg_advisory_xact_lock({LOCKS}, {self._schemas.lock(WRITE_LOCK)})")
            self._execute(f"SET LOCAL work_mem = '{WORK_MEM}'")
            if is_durable:
                self._execute(_SYNCHRONOUS)
            yield
            # Postgres accepts a COMMIT after a failed statement, and writes nothing.
            if self._failed:
                raise WarehouseError("A statement inside the transaction failed. Nothing was written.")
            check_may_write()
            if is_durable:
                self._ensure_lock()
            self._execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read-only transaction in which all statements see the same data."""
        self._execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self._roll_back()

    def prepare(self) -> None:
        """Only what is missing: a role that owns its schemas may not be allowed to create any."""
        is_current = check_version(self)
        names = [self._schemas.named(schema) for schema in SCHEMAS]
        marked = dict(self.rows(_EXISTING_SCHEMAS, (MARK, names)))
        there = {f"CREATE SCHEMA IF NOT EXISTS {self._schemas.plain(name)}" for name in marked}
        found = [
            (self._schemas.plain(schema), table, column)
            for schema, table, column in self.rows(_EXISTING_COLUMNS, (names,))
        ]
        missing = [sql for sql in create_statements(found) if sql not in there]
        missing += [mark_statement(name) for name in names if not marked.get(name, False)]
        if missing or not is_current or self._without_identity():
            with self.transaction():
                for sql in missing:
                    self.run(sql)
                for schema, name in self._without_identity():
                    self.run(f"ALTER TABLE {quoted(schema)}.{quoted(name)} REPLICA IDENTITY FULL")
                write_version(self)
        for sql in batched(list(comment_statements(self.comments()))):
            with self.transaction():
                self.run(sql)

    def _without_identity(self) -> list[tuple[Any, ...]]:
        """Where a publication is of all tables, nothing can be updated or deleted in one without a key or a replica identity."""
        schemas = [self._schemas.named(schema) for schema in SCHEMAS]
        return self.rows(_WITHOUT_IDENTITY, (schemas, [name for _, name, _ in all_tables()]))

    def refuse_foreign(self) -> None:
        """Does nothing: several programs may share a Postgres database."""

    def is_prepared(self) -> bool:
        """Whether a run has created the tables; for readers, who cannot."""
        return "sync_id" in self.columns("ops", "syncs") and "case_id" in self.columns("raw", "cases")

    def columns(self, schema: str, table: str) -> list[str]:
        found = self.rows(_EXISTING_COLUMNS, ([self._schemas.named(schema)],))
        return [column for _, name, column in found if name == table]

    def has_function(self, schema: str, name: str) -> bool:
        return bool(self.rows(FUNCTION, (self._schemas.named(schema), name)))

    def tables(self) -> set[str]:
        found = self.rows(_EXISTING_COLUMNS, (list(self._schemas.all()),))
        return {f"{self._schemas.plain(schema)}.{table}" for schema, table, _ in found}

    def merge(self, landed: LandedSync, *, judge: Judge | None = None, allow_shrink: bool = False) -> MergeCounts:
        counts = super().merge(landed, judge=judge, allow_shrink=allow_shrink)
        if counts.inserted + counts.changed + counts.deleted + counts.returned >= ANALYZED_FROM:
            # The dbt build starts before autovacuum analyses the tables; a small sample is enough.
            self._execute("SET default_statistics_target = 10")
            self._execute(f"ANALYZE raw.{quoted(landed.resource)}")
            self._execute(f"ANALYZE raw.{quoted(landed.resource + SUPERSEDED)}")
            self._execute("RESET default_statistics_target")
        return counts

    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        return max(0, self._execute(sql, params).rowcount)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._execute(sql, params)
        return cursor.fetchall() if cursor.description else []

    def comments(self) -> list[Commented]:
        names = [self._schemas.named(schema) for schema in SCHEMAS]
        found = self.rows(_COMMENTS, (names,))
        return [
            (self._schemas.plain(schema), table, column, kind, comment)
            for schema, table, column, kind, comment in found
        ]

    def stage_landed(self, landed: LandedSync) -> int:
        table = TABLES[landed.resource]
        columns = (*((column.name, column.kind.sql) for column in table.columns), *LANDED_EXTRA)
        batches = (_as_declared(batch, columns) for path in landed.files for batch in _batches(path, LANDED_ADVICE))
        total = self._copy_in("incoming", columns, _gathered(batches))
        self.run(f"ANALYZE pg_temp.incoming ({quoted(table.key)}, _seq)")
        return total - self._remove_repeats(table, landed)

    def stage_rows(self, name: str, columns: Columns, rows: Sequence[tuple[object, ...]]) -> None:
        self._copy_in(name, columns, arrow_table(columns, rows).to_batches())

    def check_keys(self, table: Table) -> None:
        """Adds a primary key, and an index for the versions of one row, if missing, once rows were merged. Raises
        WarehouseError for duplicate keys."""
        if not self.rows(_ANY_INDEX, (self._schemas.translated(superseded(table)),)):
            self.run(f"CREATE INDEX ON {superseded(table)} ({quoted(table.key)})")
        if self.rows(_PRIMARY_KEY, (self._schemas.translated(current(table)),)):
            return
        key = quoted(table.key)
        twice = f"SELECT 1 FROM {current(table)} GROUP BY {key} HAVING count(*) > 1 OR {key} IS NULL"
        (doubles,) = self.rows(f"SELECT count(*) FROM ({twice}) AS found")[0]
        if doubles:
            raise duplicate_keys_error(table, doubles)
        self.run(f"ALTER TABLE {current(table)} ADD PRIMARY KEY ({key})")
        self.run(f"ALTER TABLE {current(table)} REPLICA IDENTITY DEFAULT")

    def unstage(self) -> None:
        for name in ("incoming", "merge_repeats", *TEMPORARY_TABLES):
            self.run(f"DROP TABLE IF EXISTS pg_temp.{name}")

    def export(self, sql: str, path: Path) -> None:
        self._translate_errors(lambda: export(self._connection, self._schemas.translated(sql), path))

    def load(self, schema: str, name: str, columns: Columns, path: Path) -> int:
        batches = _gathered(_as_declared(batch, columns) for batch in _batches(path))
        table = f"{quoted(self._schemas.named(schema))}.{quoted(name)} ({', '.join(quoted(one) for one, _ in columns)})"
        return self._translate_errors(lambda: self._copy(table, batches))

    def copy_out(self, statement: str) -> Iterator[bytes]:
        """The bytes of a COPY ... TO STDOUT."""
        with self._connection.cursor() as cursor, cursor.copy(self._schemas.translated(statement).encode()) as copy:
            yield from map(bytes, copy)

    def copy_in(self, statement: str, chunks: Iterable[bytes]) -> int:
        """Feed a COPY ... FROM STDIN inside the transaction; returns the number of rows. Raises WarehouseError."""

        def work() -> int:
            with self._connection.cursor() as cursor:
                with cursor.copy(self._schemas.translated(statement).encode()) as copy:
                    for chunk in chunks:
                        copy.write(chunk)
                return cursor.rowcount

        return self._translate_errors(work)

    def close(self) -> None:
        self._connection.close()

    def _copy_in(self, name: str, columns: Columns, batches: Iterable[pa.RecordBatch]) -> int:
        """Create temporary table `name` and fill it by COPY; returns the number of rows."""
        body = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns)
        self.run(f"DROP TABLE IF EXISTS pg_temp.{quoted(name)}")
        self.run(f"CREATE TEMPORARY TABLE {quoted(name)} ({body})")
        return self._translate_errors(lambda: self._copy(f"pg_temp.{quoted(name)}", batches))

    def _copy(self, table: str, batches: Iterable[pa.RecordBatch]) -> int:
        total = 0
        statement = f"COPY {table} FROM STDIN (FORMAT binary)"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.write(HEADER)
            for batch in batches:
                copy.write(encode(batch))
                total += batch.num_rows
            copy.write(TRAILER)
        return total

    def _remove_repeats(self, table: Table, landed: LandedSync) -> int:
        """For a key in several files, keep the row with the highest `_seq`. Returns the number of removed rows."""
        key = quoted(table.key)
        self.run(
            f"""CREATE TEMPORARY TABLE merge_repeats AS
            SELECT {key} AS key, max(_seq) AS seq, count(*) AS n, count(DISTINCT _seq) AS files FROM incoming
            GROUP BY {key} HAVING count(*) > 1 OR {key} IS NULL"""
        )
        sql = "SELECT coalesce(sum(n - 1), 0), coalesce(bool_or(key IS NULL OR n > files), false) FROM merge_repeats"
        repeated, is_broken = self.rows(sql)[0]
        if is_broken:
            raise WarehouseError(
                f"A landed file of sync {landed.sync_id} holds {table.resource} without a key or one key twice. "
                "Nothing was changed; run the sync again with --full.",
                sync_id=landed.sync_id,
            )
        if repeated:
            self.run(f"DELETE FROM incoming AS i USING merge_repeats AS r WHERE r.key = i.{key} AND r.seq > i._seq")
        return int(repeated)

    def _execute(self, sql: str, params: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        values = [_plain(value) for value in params] or None
        statement = self._schemas.translated(sql).encode()
        # RawCursor passes `$1` to the server unchanged.
        return self._translate_errors(lambda: psycopg.RawCursor(self._connection).execute(statement, values))

    def _translate_errors(self, work: Callable[[], T]) -> T:
        """Raises WarehouseError instead of the driver's error, whose details may quote a row; hence not even as its context."""
        try:
            return work()
        except psycopg.Error as error:
            self._failed = True
            refusal = self._refusal(error)
        raise refusal

    def _refusal(self, error: psycopg.Error) -> WarehouseError:
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return WarehouseBusy(
                f"Another writer has held the warehouse for more than {LOCK_WAIT_MS // 1000} s. Nothing was written."
            )
        if self._connection.broken or self._connection.closed:
            return connection_lost(error)
        return statement_refused("The warehouse refused a statement", error)

    def _roll_back(self) -> None:
        try:
            if not self._connection.closed:
                self._connection.execute(b"ROLLBACK")
        except psycopg.Error:
            # The connection is lost, so the server rolls back.
            self._failed = True


def _batches(path: Path, advice: str = "Nothing was changed.") -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(BATCH_ROWS, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise WarehouseError(f"The file {path} cannot be read: {type(error).__name__}. {advice}") from error


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in fewer, larger batches, since each batch has a fixed cost."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= BATCH_ROWS:
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)


def _as_declared(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """The table's columns in its order and types; columns missing from the file are null."""
    found = set(batch.schema.names)
    arrays = [
        batch.column(name).cast(ARROW_TYPES[kind]) if name in found else pa.nulls(batch.num_rows, ARROW_TYPES[kind])
        for name, kind in columns
    ]
    return pa.record_batch(arrays, [name for name, _ in columns])


def _plain(value: Any) -> Any:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


_ANY_INDEX = "SELECT 1 FROM pg_catalog.pg_index WHERE indrelid = to_regclass($1)"
_PRIMARY_KEY = "SELECT 1 FROM pg_catalog.pg_index WHERE indrelid = to_regclass($1) AND indisprimary"
# Only an owner may set an identity.
_WITHOUT_IDENTITY = """
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1) AND c.relname = ANY($2) AND c.relkind = 'r' AND c.relreplident = 'd'
        AND pg_has_role(c.relowner, 'USAGE')
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)"""
# A schema that another role owns counts as marked: only an owner can mark it.
_EXISTING_SCHEMAS = """
    SELECT nspname, coalesce(starts_with(obj_description(oid, 'pg_namespace'), $1), NOT pg_has_role(nspowner, 'USAGE'))
    FROM pg_catalog.pg_namespace WHERE nspname = ANY($2)"""
_EXISTING_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY n.nspname, c.relname, a.attnum"""
# Only an owner may comment.
_COMMENTS = """
    SELECT n.nspname, c.relname, coalesce(a.attname, ''), CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END,
        CASE WHEN a.attnum IS NULL THEN obj_description(c.oid, 'pg_class') ELSE col_description(c.oid, a.attnum) END
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (
        SELECT attname, attnum FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT NULL, NULL
    ) AS a ON true
    WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'v') AND pg_has_role(c.relowner, 'USAGE')"""
