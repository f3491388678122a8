"""The DuckDB engine: the primitives that `engine.py` builds on. Waiting for the file is in `opening.py`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import duckdb

from debitura_pipeline.contract.tables import TABLES, Table
from debitura_pipeline.errors import WarehouseDamaged, WarehouseError
from debitura_pipeline.warehouse.base import FUNCTION, Judge, JudgeOf, LandedSync, MergeCounts
from debitura_pipeline.warehouse.comments import Commented, batched, comment_statements
from debitura_pipeline.warehouse.engine import SqlWarehouse, duplicate_keys_error, in_merge_order
from debitura_pipeline.warehouse.merge_sql import TEMPORARY_TABLES, current, is_empty, quoted
from debitura_pipeline.warehouse.schema_version import check_version, write_version
from debitura_pipeline.warehouse.table_swap import swap_tables
from debitura_pipeline.warehouse.tables import Columns, arrow_table, create_statements
from debitura_pipeline.warehouse.write_guard import check_may_write

# DuckDB's buffers; the rest spills to disk. Python, pandas (which DuckDB's client imports with the first parameter) and
# what DuckDB does not count take another 250 MiB.
MEMORY_LIMIT = "96MiB"
# Each thread holds the row group that it is writing.
MEMORY_LIMIT_TWO_THREADS = "112MiB"
# For the second and the third attempt, with one thread: many changed rows among millions, or long texts, may need more.
MEMORY_LIMITS_OF_RETRIES = ("256MiB", "1GiB")
# A row group is held in memory until it is written; of 40 columns, DuckDB's own 122,880 rows would not fit.
EXPORTED_ROW_GROUP = 20_480
# Above this many landed rows, two threads write tables that were empty: faster, but more CPU and memory. Below, one thread
# fills whole row groups, which the checkpoint then need not repack. Where rows are replaced, two threads are no faster.
ROWS_FOR_TWO_THREADS = 1_000_000
REBUILD_ADVICE = (
    "If the file is damaged: move it away (its .wal, too), then `debitura replay` rebuilds it from the landing zone."
)
_TABLES = """
    SELECT count(*), count(*) FILTER (WHERE schema_name = 'ops' AND table_name = 'syncs') FROM duckdb_tables()
    WHERE NOT temporary AND NOT internal"""
_KINDS = """
    SELECT EXISTS (SELECT 1 FROM duckdb_tables() WHERE schema_name = $1 AND table_name = $2),
        EXISTS (SELECT 1 FROM duckdb_views() WHERE schema_name = $1 AND view_name = $2)"""
_COLUMNS_OF_TABLE = "SELECT name FROM pragma_table_info($1) ORDER BY cid"
_COLUMNS_OF_VIEW = (
    "SELECT column_name FROM duckdb_columns() WHERE schema_name = $1 AND table_name = $2 ORDER BY column_index"
)
_COMMENTS = """
    SELECT schema_name, table_name, '', 'TABLE', comment, 0 AS place FROM duckdb_tables() WHERE schema_name IN ('raw', 'ops')
    UNION ALL SELECT schema_name, view_name, '', 'VIEW', comment, 0 FROM duckdb_views() WHERE schema_name IN ('raw', 'ops')
    UNION ALL SELECT schema_name, table_name, column_name, 'COLUMN', comment, column_index FROM duckdb_columns()
    WHERE schema_name IN ('raw', 'ops') ORDER BY 1, 2, place"""
# Of what `prepare` looks after; temporary tables come and go with each merge.
_ALTERS = re.compile(
    r"\s*(ALTER|COMMENT|CREATE (?!(OR REPLACE )?TEMP)|DROP (?!.*\btemp\.main\.))|.*\bschema_version\b",
    re.IGNORECASE | re.DOTALL,
)
_DAMAGE = ("Corrupt database file", "checksum", "database has been invalidated")

T = TypeVar("T")


class DuckDbWarehouse(SqlWarehouse):
    """One open connection. `spill` is a folder of this process, removed on close."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, spill: Path) -> None:
        self._connection = connection
        self._spill = spill
        self._failed = False
        self._is_short_of_memory = False
        self.is_complete = False  # prepared, and no statement since that could have changed that
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory = {sql_literal(str(spill))}")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")  # it would interfere with our own output
        # Landed files are read several times; the system's page cache holds them, outside this process.
        connection.execute("SET enable_external_file_cache = false")
        connection.execute("SET threads = 2")

    def prepare(self) -> None:
        self.refuse_foreign()
        is_current = check_version(self)
        with self.transaction():
            found = self.comments()
            missing = list(
                create_statements([(schema, table, column) for schema, table, column, *_ in found if column])
            )
            for sql in missing:
                self.run(sql)
            for sql in batched(list(comment_statements(self.comments() if missing else found))):
                self.run(sql)
            if not is_current:
                write_version(self)
        self.is_complete = True

    def refuse_foreign(self) -> None:
        """Raises WarehouseError if the file belongs to another program: dbt would replace its schemas."""
        tables, ours = self.rows(_TABLES)[0]
        if tables and not ours:
            raise WarehouseError(
                f"{self._name()} belongs to another program: it contains tables ({tables}), none of them the pipeline's.",
                cure="Set DEBITURA_WAREHOUSE to another file. Nothing was changed.",
            )

    def _name(self) -> str:
        return str(
            self.rows("SELECT coalesce(max(path), 'The warehouse') FROM duckdb_databases() WHERE NOT internal")[0][0]
        )

    def execute_autocommit(self, sql: str) -> None:
        """Run a statement outside a transaction: CHECKPOINT, COPY to a file. Raises WarehouseError."""
        self._execute(sql)

    def execute_all(self, statements: Iterable[str]) -> None:
        """Run statements in one transaction. Raises WarehouseError."""
        with self.transaction():
            for sql in statements:
                self.run(sql)

    @contextmanager
    def transaction(self, *, is_durable: bool = False) -> Iterator[None]:
        """Commit at the end, roll back on any error. Raises WarehouseError, also if a failed statement's error was caught
        inside: DuckDB would accept the COMMIT and write nothing."""
        self._failed = False
        self._execute("BEGIN TRANSACTION")
        try:
            yield
            # DuckDB accepts a COMMIT after a failed statement, and writes nothing.
            if self._failed:
                raise WarehouseError("A statement inside the transaction failed. Nothing was written.")
            check_may_write()
            self._execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def merge(self, landed: LandedSync, *, judge: Judge | None = None, allow_shrink: bool = False) -> MergeCounts:
        merging = super().merge
        return self._with_more_memory(lambda: merging(landed, judge=judge, allow_shrink=allow_shrink))

    def replay(self, landed: Iterable[LandedSync], judge_of: JudgeOf | None = None) -> list[MergeCounts]:
        """Rebuild sync by sync in a separate file, then swap the tables in one transaction: memory does not grow with the
        number of syncs, and dependents (dbt's views, other schemas) stay."""
        ordered, known = in_merge_order(landed), self.merged_syncs()
        with TemporaryDirectory(prefix="replay-", dir=self._spill) as folder:
            path = Path(folder) / "warehouse.duckdb"
            with closing(DuckDbWarehouse(duckdb.connect(path), Path(folder) / "spill")) as beside:
                beside.execute_all(create_statements())  # without comments, which the swap does not take over
                counts = [beside.rebuild(sync, judge_of, known) for sync in ordered]
            swap_tables(self, path)
        return counts

    def rebuild(self, sync: LandedSync, judge_of: JudgeOf | None, known: Collection[str]) -> MergeCounts:
        """Replay one sync in its own transaction."""

        def work() -> MergeCounts:
            with self.transaction():
                return self.merge_again(sync, judge_of, known)

        return self._with_more_memory(work)

    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        result = self._execute(sql, params)
        first = result.fetchone() if result.description else None
        return first[0] if first and isinstance(first[0], int) else 0

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._execute(sql, params).fetchall()

    def tables(self) -> set[str]:
        found = self.rows("SELECT table_schema, table_name FROM information_schema.tables")
        return {f"{schema}.{name}" for schema, name in found}

    def columns(self, schema: str, table: str) -> list[str]:
        """Tables and views are looked up first: of all columns, DuckDB lists its own as well, which takes 20 ms."""
        ((is_table, is_view),) = self.rows(_KINDS, (schema, table))
        if is_table:
            return [name for (name,) in self.rows(_COLUMNS_OF_TABLE, (f"{quoted(schema)}.{quoted(table)}",))]
        return [name for (name,) in self.rows(_COLUMNS_OF_VIEW, (schema, table))] if is_view else []

    def has_function(self, schema: str, name: str) -> bool:
        return bool(self.rows(FUNCTION, (schema, name)))

    def comments(self) -> list[Commented]:
        return [
            (schema, table, column, kind, comment) for schema, table, column, kind, comment, _ in self.rows(_COMMENTS)
        ]

    def stage_landed(self, landed: LandedSync) -> int:
        table = TABLES[landed.resource]
        if not landed.files:
            empty = ", ".join(f"CAST(NULL AS {sql}) AS {quoted(name)}" for name, sql in _landed_columns(table))
            self.run(f"CREATE TEMPORARY VIEW incoming AS SELECT {empty} WHERE false")
            return 0
        # A view takes no parameters, so the names are literals.
        names = ", ".join(sql_literal(str(path)) for path in landed.files)
        source = f"read_parquet([{names}], hive_partitioning = false)"
        there = {row[0] for row in self.rows(f"DESCRIBE SELECT * FROM {source}")}
        columns = ", ".join(
            f"CAST({quoted(name) if name in there else 'NULL'} AS {sql}) AS {quoted(name)}"
            for name, sql in _landed_columns(table)
        )
        self.run(f"CREATE TEMPORARY VIEW landed AS SELECT {columns} FROM {source}")
        return self._stage_latest(table, landed)

    def stage_rows(self, name: str, columns: Columns, rows: Sequence[tuple[object, ...]]) -> None:
        body = ", ".join(f"{quoted(column)} {sql_type}" for column, sql_type in columns)
        self.run(f"CREATE OR REPLACE TEMPORARY TABLE {quoted(name)} ({body})")
        if rows:
            self._connection.register("staged", arrow_table(columns, rows))
            self.run(f"INSERT INTO {quoted(name)} SELECT * FROM staged")
            self._connection.unregister("staged")

    def check_keys(self, table: Table) -> None:
        """Compares hashes first, which take a fraction of the keys' memory. An index would not fit. Raises WarehouseError for
        duplicate or missing keys."""
        key, rows = quoted(table.key), current(table)
        twice = f"SELECT hash({key}) FROM {rows} GROUP BY 1 HAVING count(*) > 1"
        suspects = f"SELECT {key} FROM {rows} WHERE hash({key}) IN ({twice}) GROUP BY 1 HAVING count(*) > 1"
        (doubles,) = self.rows(f"SELECT count(*) FROM ({suspects})")[0]
        (missing,) = self.rows(f"SELECT count(*) - count({key}) FROM {rows}")[0]
        if doubles or missing:
            raise duplicate_keys_error(table, doubles + missing)

    def unstage(self) -> None:
        for view in ("incoming", "landed"):
            self.run(f"DROP VIEW IF EXISTS temp.main.{view}")
        for name in (*TEMPORARY_TABLES, "merge_repeats"):
            self.run(f"DROP TABLE IF EXISTS temp.main.{name}")

    def export(self, sql: str, path: Path) -> None:
        path.touch(mode=0o600)
        self._execute(f"COPY ({sql}) TO {sql_literal(str(path))} (FORMAT parquet, ROW_GROUP_SIZE {EXPORTED_ROW_GROUP})")

    def load(self, schema: str, name: str, columns: Columns, path: Path) -> int:
        source = f"read_parquet({sql_literal(str(path))}, hive_partitioning = false)"
        there = {row[0] for row in self.rows(f"DESCRIBE SELECT * FROM {source}")}
        names = ", ".join(quoted(column) for column, _ in columns if column in there)
        return self.run(f"INSERT INTO {schema}.{quoted(name)} ({names}) SELECT {names} FROM {source}")

    def close(self) -> None:
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def _stage_latest(self, table: Table, landed: LandedSync) -> int:
        """For a key in several files, keep the row with the highest `_seq`. Returns the number of keys.

        Repeated keys are few (windows overlap by a second), so they are listed and `incoming` stays a view over the files.
        Hashes are counted first: they take a fraction of the keys' memory.
        """
        key = quoted(table.key)
        total, with_key = self.rows(f"SELECT count(*), count({key}) FROM landed")[0]
        uses_two_threads = (
            total > ROWS_FOR_TWO_THREADS and not self._is_short_of_memory and self.rows(*is_empty(table))[0][0]
        )
        self.run(f"SET threads = {2 if uses_two_threads else 1}")
        if uses_two_threads:
            self.run(f"SET memory_limit = '{MEMORY_LIMIT_TWO_THREADS}'")
        self.run(
            f"""CREATE TEMPORARY TABLE merge_repeats AS
            SELECT {key} AS key, max(_seq) AS seq, count(*) AS n, count(DISTINCT _seq) AS files FROM landed
            WHERE hash({key}) IN (SELECT hash({key}) FROM landed GROUP BY 1 HAVING count(*) > 1)
            GROUP BY 1 HAVING count(*) > 1"""
        )
        repeated, is_broken = self.rows("SELECT coalesce(sum(n - 1), 0), bool_or(n > files) FROM merge_repeats")[0]
        if with_key < total or is_broken:
            raise WarehouseError(
                f"A landed file of sync {landed.sync_id} holds {table.resource} without a key or one key twice. "
                "Nothing was changed; run the sync again with --full.",
                sync_id=landed.sync_id,
            )
        latest = "WHERE NOT EXISTS (SELECT 1 FROM merge_repeats AS r WHERE r.key = l.{0} AND r.seq > l._seq)"
        self.run(
            f"CREATE TEMPORARY VIEW incoming AS SELECT * FROM landed AS l {latest.format(key) if repeated else ''}"
        )
        return int(total - repeated)

    def _with_more_memory(self, work: Callable[[], T]) -> T:
        """Do `work`, one transaction, and repeat it with more memory if DuckDB runs out. Raises WarehouseError."""
        for limit in MEMORY_LIMITS_OF_RETRIES:
            try:
                return work()
            except WarehouseError as error:
                if not isinstance(error.__cause__, duckdb.OutOfMemoryException):
                    raise
            self._is_short_of_memory = True
            self._execute(f"SET memory_limit = '{limit}'")
        return work()

    def _execute(self, sql: str, params: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        self.is_complete = self.is_complete and not _ALTERS.match(sql)
        try:
            return self._connection.execute(sql, list(params))
        except duckdb.Error as error:
            self._failed = True
            words = f"The warehouse refused a statement: {_reason(error)}"
            if any(sign in str(error) for sign in _DAMAGE):
                raise WarehouseDamaged(words, cure=REBUILD_ADVICE) from error
            raise WarehouseError(words) from error

    def _roll_back(self) -> None:
        try:
            self._connection.execute("ROLLBACK")
        except duckdb.Error:
            # A failed COMMIT has already ended the transaction.
            self._failed = True


def _landed_columns(table: Table) -> list[tuple[str, str]]:
    return [
        *((column.name, column.kind.sql) for column in table.columns),
        ("extra", "JSON"),
        ("_row_hash", "VARCHAR"),
        ("_seq", "BIGINT"),
    ]


def _reason(error: duckdb.Error) -> str:
    """DuckDB's message, which starts with the kind of error; only the kind, if the message quotes a row's value."""
    line = str(error).splitlines()[0][:300].rstrip(".")
    if isinstance(error, duckdb.ConversionException | duckdb.ConstraintException):
        line = line.partition(":")[0]
    return f"{line}."


def sql_literal(text: str) -> str:
    """A text as an SQL literal, where DuckDB takes no parameter."""
    return "'" + text.replace("'", "''") + "'"
