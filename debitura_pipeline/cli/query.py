"""`debitura query`: the rows of one SELECT on what was published last, as a table, CSV, JSON or Parquet.

The result streams: a million rows take no more memory than a thousand.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from debitura_pipeline import interrupts
from debitura_pipeline.cli.query_formats import PARQUET, TABLE, WRITERS, Rows, Sink, sql_errors
from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.column_kinds import ColumnType
from debitura_pipeline.warehouse.opening import private_umask
from debitura_pipeline.warehouse.published_reader import checked_select, open_published

MEMORY = "400MiB"  # for sorting and grouping, unless the settings say
LOOK_EVERY_S = 0.1


def run_query(settings: Settings, sql: str, chosen: str | None, out: Path | None) -> int:
    """Write the rows to `out` or standard output; how many. `chosen`: a key of WRITERS; by the file's name where it is None.

    Raises WarehouseError: nothing is published, not one SELECT, an SQL error, Parquet for a terminal, or a file that cannot
    be written.
    """
    form = chosen or _by_name(out)
    if form == PARQUET and out is None and sys.stdout.isatty():
        raise WarehouseError("Parquet is not for a terminal.", cure="Use --out FILE or redirect standard output.")
    statement = checked_select(sql)
    with (
        _spill_folder() as spill,
        open_published(
            settings.published_dir, memory_limit=settings.duckdb_memory or MEMORY, spill=spill
        ) as connection,
        _stopped_by_signals(connection),
    ):
        rows = Rows(connection, statement, _columns(connection, statement))  # the SQL is checked before a file is made
        with _opened(out) as sink:
            return WRITERS[form](rows, sink)


@contextmanager
def _spill_folder() -> Iterator[Path]:
    """A private folder that DuckDB makes once it spills, removed at the end, also when a signal is repeated meanwhile."""
    path = Path(tempfile.gettempdir()) / f"debitura-query-{secrets.token_hex(8)}"
    try:
        with private_umask():
            yield path
    finally:
        while path.exists():
            with suppress(KeyboardInterrupt):
                shutil.rmtree(path)


@contextmanager
def _stopped_by_signals(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Python hears of a signal when DuckDB returns, which may be minutes later: a thread tells DuckDB to stop."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(LOOK_EVERY_S):
            if interrupts.was_interrupted():
                connection.interrupt()

    watcher = threading.Thread(target=watch, name="query", daemon=True)
    watcher.start()
    try:
        yield
    except (
        BaseException
    ):  # a signal may be heard while the query runs on; closing the connection would wait for its end
        connection.interrupt()
        raise
    finally:
        is_over.set()
        watcher.join()


def _by_name(out: Path | None) -> str:
    suffix = out.suffix.removeprefix(".") if out is not None else ""
    return suffix if suffix in WRITERS else TABLE


@contextmanager
def _opened(out: Path | None) -> Iterator[Sink]:
    """Standard output, or a file that replaces `out` when all is written."""
    if out is None:
        with _write_errors("Standard output"):
            sys.stdout.flush()
            yield Sink(sys.stdout.buffer)
            sys.stdout.buffer.flush()
        return
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    with _write_errors(str(out)):
        try:
            with private_umask(), draft.open("wb") as file:
                yield Sink(file)
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def _write_errors(what: str) -> Iterator[None]:
    """Raises WarehouseError; BrokenPipeError where the reader is gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise WarehouseError(f"{what} cannot be written: {reason}.", cure="Choose another FILE with --out.") from error


def _columns(connection: duckdb.DuckDBPyConnection, sql: str) -> list[ColumnType]:
    with sql_errors():
        described = connection.execute(f"SELECT * FROM ({sql}\n) LIMIT 0").description or []
    return [ColumnType(str(name), str(kind)) for name, kind, *_ in described]
