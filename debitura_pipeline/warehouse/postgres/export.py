"""Export the result of a Postgres query to Parquet: CSV from COPY, parsed by Arrow in blocks.

No row becomes Python objects; decimals and instants are parsed from their exact text.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
from psycopg import Column

# Arrow reads up to 32 blocks ahead, so they are small, and several make a row group of the file.
BLOCK_BYTES = 1024 * 1024
BLOCKS_PER_ROW_GROUP = 4
WIDEST_DECIMAL = (38, 9)  # of a numeric without a declared scale: a sum, for one

_TYPES = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", "UTC"),
    "timestamp": pa.timestamp("us"),
}


class _Incoming:
    """COPY's blocks as a file object for Arrow."""

    closed = False

    def __init__(self, blocks: Iterator[Any]) -> None:
        self._blocks = blocks
        self._rest = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._rest += block
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken


def export(connection: psycopg.Connection[Any], sql: str, path: Path) -> None:
    """Write the result of `sql` to `path`, mode 0600. Raises psycopg.Error, pyarrow.ArrowException, OSError."""
    described = connection.execute(f"SELECT * FROM ({sql}) AS asked LIMIT 0".encode()).description or []
    schema = pa.schema([(column.name, _arrow_type(column)) for column in described])
    path.touch(mode=0o600)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv)".encode()) as copy,
        pq.ParquetWriter(path, schema, compression="zstd") as writer,
    ):
        batches = _read(iter(copy), schema)
        while held := list(islice(batches, BLOCKS_PER_ROW_GROUP)):
            writer.write_table(pa.Table.from_batches(held))


def _read(blocks: Iterator[Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    incoming = _Incoming(blocks)
    first = incoming.read(1)
    if not first:  # Arrow refuses a file without rows
        return
    incoming._rest[:0] = first
    yield from pc_csv.open_csv(
        pa.PythonFile(incoming, mode="r"),
        read_options=pc_csv.ReadOptions(column_names=schema.names, block_size=BLOCK_BYTES, use_threads=False),
        parse_options=pc_csv.ParseOptions(newlines_in_values=True),
        convert_options=pc_csv.ConvertOptions(
            column_types=schema,
            null_values=[""],  # CSV of Postgres: null is nothing, an empty text is ""
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def _arrow_type(column: Column) -> pa.DataType:
    if column.type_display.startswith("numeric"):
        precision, scale = column.precision, column.scale
        return pa.decimal128(*(WIDEST_DECIMAL if precision is None or scale is None else (precision, scale)))
    return _TYPES.get(column.type_display.split("(")[0], pa.string())
