"""The formats of `debitura query`: each writes an Arrow batch at a time, while DuckDB is still computing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from rich.cells import cell_len

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.plural import counted
from debitura_pipeline.warehouse.column_kinds import ColumnType
from debitura_pipeline.warehouse.published_reader import first_line
from debitura_pipeline.warehouse.result_text import cell_texts, csv_header, csv_lines, json_objects

TABLE, CSV, JSON, PARQUET = "table", "csv", "json", "parquet"
BATCH_ROWS = 20_480  # a row group of Parquet, too
MEASURED_ROWS = 1_000  # rows that a table's columns are fitted to; later ones may be wider
MOST_PADDED = 60
# Characters that would move the cursor, colour the screen or end the line, wherever a name comes from.
VISIBLE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


@dataclass(frozen=True)
class Rows:
    """The result of a SELECT, not computed yet."""

    connection: duckdb.DuckDBPyConnection
    sql: str
    columns: list[ColumnType]

    def batches(self, text: Callable[[str, Sequence[ColumnType]], str]) -> Iterator[Any]:
        """Arrow batches of the rows as text, while DuckDB is still computing. Raises WarehouseError."""
        with sql_errors():
            reader = self.connection.execute(text(self.sql, self.columns)).to_arrow_reader(BATCH_ROWS)
        yield from _all(reader)


class Sink:
    """Where bytes go, counted: Parquet needs to know where it is, which a pipe cannot tell."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._written = stream, 0

    def write(self, data: bytes) -> int:
        """All of it."""
        self._stream.write(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Whoever opened the stream closes it."""
        self.flush()


@contextmanager
def sql_errors() -> Iterator[None]:
    """Raises WarehouseError, in one line."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        raise WarehouseError(f"The query failed: {first_line(error)}") from error


def _all(reader: Any) -> Iterator[Any]:
    while True:
        with sql_errors():
            batch = next(reader, None)
        if batch is None:
            return
        yield batch


def _write_csv(rows: Rows, sink: Sink) -> int:
    sink.write(csv_header(rows.columns).encode())
    written = 0
    for batch in rows.batches(csv_lines):
        sink.write("".join(batch.column(0).to_pylist()).encode())
        written += batch.num_rows
    return written


def _write_json(rows: Rows, sink: Sink) -> int:
    written = 0
    for batch in rows.batches(json_objects):
        sink.write(((",\n" if written else "[\n") + ",\n".join(batch.column(0).to_pylist())).encode())
        written += batch.num_rows
    sink.write(b"\n]\n" if written else b"[]\n")
    return written


def _write_parquet(rows: Rows, sink: Sink) -> int:
    with sql_errors():
        # The outer SELECT gives columns of one name a number, as in the other formats.
        reader = rows.connection.execute(f"SELECT * FROM ({rows.sql}\n)").to_arrow_reader(BATCH_ROWS)
    written = 0
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), reader.schema, compression="zstd") as writer:
        for batch in _all(reader):
            writer.write_batch(batch)
            written += batch.num_rows
    return written


def _write_table(rows: Rows, sink: Sink) -> int:
    heads = [column.name.translate(VISIBLE) for column in rows.columns]
    right = [column.kind in ("decimal", "integer", "float") for column in rows.columns]
    widths: list[int] = []
    written = 0
    for batch in rows.batches(cell_texts):
        lines = [
            [text.translate(VISIBLE) for text in line]
            for line in zip(*(c.to_pylist() for c in batch.columns), strict=True)
        ]
        if not widths:
            widths = [_width(column) for column in zip(heads, *lines[:MEASURED_ROWS], strict=True)]
            sink.write(_line(heads, widths, right) + _line(["-" * width for width in widths], widths, right))
        sink.write(b"".join(_line(line, widths, right) for line in lines))
        written += batch.num_rows
    if not written:
        sink.write(_line(heads, [0] * len(heads), right))
    sink.write(f"({counted(written, 'row')})\n".encode())
    return written


def _width(texts: tuple[str, ...]) -> int:
    return min(max(map(cell_len, texts)), MOST_PADDED)


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> bytes:
    cells = []
    for text, width, is_right in zip(texts, widths, right, strict=True):
        pad = " " * (width - cell_len(text))
        cells.append(pad + text if is_right else text + pad)
    return ("  ".join(cells).rstrip() + "\n").encode()


WRITERS: dict[str, Callable[[Rows, Sink], int]] = {
    TABLE: _write_table,
    CSV: _write_csv,
    JSON: _write_json,
    PARQUET: _write_parquet,
}
