"""Encode Arrow batches in Postgres's binary COPY format, column by column, without Python objects per row.

A field is its length (-1: null) and its value, big-endian; a row is its number of fields and the fields. Lengths and values
are computed as columns, then joined by Arrow.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from debitura_pipeline.warehouse.tables import ARROW_TYPES

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

NULL_LENGTH = -1
MICROS_FROM_1970_TO_2000 = 946_684_800_000_000
MONEY_SCALE = 4
MONEY_DIGITS = 5  # in base 10,000: four before the point, which hold 14 decimal digits, and one after it
SUM_DIGITS = 7  # of DECIMAL(28,4): six before the point
NUMERIC_NEGATIVE = 0x4000
# Postgres's text cannot hold the character NUL; Unicode's sign for "a character was here" takes its place.
NUL, REPLACEMENT = b"\0", "\N{REPLACEMENT CHARACTER}".encode()

Bytes = npt.NDArray[np.uint8]


def encode(batch: pa.RecordBatch) -> memoryview:
    """The rows of `batch` for COPY, without header and trailer. Columns have `tables.ARROW_TYPES` or are all null. Raises
    TypeError for any other type."""
    if batch.num_rows == 0:
        return memoryview(b"")
    parts: list[pa.Array] = []
    beside = [np.tile(np.frombuffer(batch.num_columns.to_bytes(2, "big"), np.uint8), (batch.num_rows, 1))]
    for column in batch.columns:
        lengths, values = _field(column)
        beside.append(lengths.astype(">i4").view(np.uint8).reshape(-1, 4))
        if isinstance(values, np.ndarray):
            beside.append(values)
        elif values is not None:
            parts += [_packed(np.hstack(beside)), values]
            beside = []
    if beside:
        parts.append(_packed(np.hstack(beside)))
    between = pa.scalar(b"", pa.large_binary())
    rows = pc.binary_join_element_wise(*parts, between, null_handling="replace", null_replacement=b"")
    ends = np.frombuffer(rows.buffers()[1], np.int64)[rows.offset : rows.offset + len(rows) + 1]
    return memoryview(rows.buffers()[2])[ends[0] : ends[-1]]


def _field(column: pa.Array) -> tuple[npt.NDArray[np.int32], Bytes | pa.Array | None]:
    """Lengths and values of a column: a matrix if all have the same width, a binary array if not, None if all are null.
    Values at null positions are arbitrary."""
    rows = len(column)
    if column.null_count == rows:
        return np.full(rows, NULL_LENGTH, np.int32), None
    if pa.types.is_string(column.type):
        column = _without_nul(column).cast(pa.large_binary())
        lengths = pc.fill_null(pc.binary_length(column), NULL_LENGTH).cast(pa.int32())
        return lengths.to_numpy(), column
    encoder = _ENCODERS.get(column.type)
    if encoder is None:
        raise TypeError(f"binary COPY of {column.type} is not known here")
    values = encoder(column)
    if column.null_count == 0:
        return np.full(rows, values.shape[1], np.int32), values
    is_there = column.is_valid()
    lengths = np.where(is_there.to_numpy(zero_copy_only=False), values.shape[1], NULL_LENGTH)
    return lengths.astype(np.int32), _packed(values, is_there)


def _packed(values: Bytes, is_there: pa.Array | None = None) -> pa.Array:
    """A matrix with one value per row as a binary Arrow column."""
    rows, width = values.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    mask = None if is_there is None else is_there.buffers()[1]
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), rows, [mask, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
    )


def _without_nul(column: pa.Array) -> pa.Array:
    data = column.buffers()[2]
    if data is None or np.frombuffer(data, np.uint8).all():
        return column
    return pc.replace_substring(column.cast(pa.binary()), NUL, REPLACEMENT).cast(pa.string())


def _numbers(column: pa.Array, per_value: int = 1) -> npt.NDArray[np.int64]:
    """The column's buffer of 64-bit numbers, nulls included."""
    numbers = np.frombuffer(column.buffers()[1], np.int64)
    return numbers[column.offset * per_value : (column.offset + len(column)) * per_value]


def _big_endian(numbers: npt.NDArray[np.int64]) -> Bytes:
    fields: Bytes = numbers.astype(">i8").view(np.uint8).reshape(-1, 8)
    return fields


def _bools(column: pa.Array) -> Bytes:
    bits: Bytes = column.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint8).reshape(-1, 1)
    return bits


def _instants(column: pa.Array) -> Bytes:
    return _big_endian(_numbers(column) - MICROS_FROM_1970_TO_2000)


def _money(column: pa.Array) -> Bytes:
    """Number of digits, weight of the first, sign, scale, then the digits. 18 decimal digits fit 64 bits, so the lower half
    of Arrow's 128 bits is the number; Postgres drops leading zeros."""
    number = _numbers(column, 2)[::2]
    fields = _numeric(number < 0, MONEY_DIGITS)
    rest = np.abs(number)
    for place in reversed(range(4, 4 + MONEY_DIGITS)):
        rest, fields[:, place] = np.divmod(rest, 10_000)
    return fields.view(np.uint8).reshape(len(number), -1)


def _sums(column: pa.Array) -> Bytes:
    """The same for 28 decimal digits: long division of Arrow's 128 bits in four parts of 32, the highest first."""
    numbers = _numbers(column, 2)
    low, high = numbers[::2].astype(np.uint64), numbers[1::2].astype(np.uint64)
    is_negative = numbers[1::2] < 0
    low, high = (
        np.where(is_negative, ~low + np.uint64(1), low),
        np.where(is_negative, ~high + (low == 0).astype(np.uint64), high),
    )
    parts = [half >> np.uint64(shift) & np.uint64(0xFFFFFFFF) for half in (high, low) for shift in (32, 0)]
    fields = _numeric(is_negative, SUM_DIGITS)
    for place in reversed(range(4, 4 + SUM_DIGITS)):
        rest = np.zeros_like(low)
        for at, part in enumerate(parts):
            parts[at], rest = np.divmod(rest << np.uint64(32) | part, np.uint64(10_000))
        fields[:, place] = rest
    return fields.view(np.uint8).reshape(len(low), -1)


def _numeric(is_negative: npt.NDArray[np.bool_], digits: int) -> npt.NDArray[np.uint16]:
    """Rows with all but the digits filled in: so many of them, one after the point."""
    fields = np.empty((len(is_negative), 4 + digits), ">u2")
    fields[:, 0] = digits
    fields[:, 1] = digits - 2
    fields[:, 2] = np.where(is_negative, NUMERIC_NEGATIVE, 0)
    fields[:, 3] = MONEY_SCALE
    return fields


_ENCODERS: dict[pa.DataType, Callable[[pa.Array], Bytes]] = {
    pa.bool_(): _bools,
    pa.int64(): lambda column: _big_endian(_numbers(column)),
    ARROW_TYPES["DECIMAL(18,4)"]: _money,
    ARROW_TYPES["DECIMAL(28,4)"]: _sums,
    ARROW_TYPES["TIMESTAMPTZ"]: _instants,
}
