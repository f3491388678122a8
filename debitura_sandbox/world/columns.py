"""Growable columns, and vectorised arithmetic on them: ids, amounts, instants.

Amounts and percentages are integers in units of 1/10,000; instants are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNIT = 10_000
_MASK40 = (1 << 40) - 1
_STEP = 0x9E3779B97F  # odd, so that multiplying by it permutes 40 bits
_LETTERS = np.frombuffer(b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ", dtype=np.uint8)  # 32 that are not mistaken for another


class Columns:
    """Columns of equal length. Rows are only ever added; a row's number never changes."""

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._data = {name: np.empty(16, dtype=kind) for name, kind in types.items()}
        self.count = 0

    def __getitem__(self, name: str) -> Array:
        return self._data[name][: self.count]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(self._data)

    def __len__(self) -> int:
        return self.count

    def append(self, **values: Any) -> npt.NDArray[np.int64]:
        """Add rows and return their numbers. Values are arrays or scalars. Raises ValueError for missing or unknown columns."""
        if values.keys() != self._data.keys():
            raise ValueError(f"columns differ: {sorted(values.keys() ^ self._data.keys())}")
        added = max((len(value) for value in values.values() if isinstance(value, np.ndarray)), default=1)
        needed = self.count + added
        for name, value in values.items():
            old = self._data[name]
            if needed > len(old):
                old = np.resize(old, max(needed, 2 * len(old)))
                self._data[name] = old
            old[self.count : needed] = value
        first, self.count = self.count, needed
        return np.arange(first, needed)


def jittered(rng: np.random.Generator, instants: Array) -> npt.NDArray[np.int64]:
    """Instants with the precision of different systems: microseconds, milliseconds or whole seconds."""
    grain = rng.choice([1, 1_000, 1_000_000], len(instants), p=[0.5, 0.3, 0.2])
    return np.asarray(instants // grain * grain, dtype=np.int64)


def to_us(instant: datetime) -> int:
    """Microseconds since 1970; a naive instant is read as UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """The aware UTC instant of `microseconds` since 1970."""
    return EPOCH + timedelta(microseconds=int(microseconds))


def mix(values: Array | int, salt: int) -> npt.NDArray[np.uint64]:
    """Well-spread 64 bits from whole numbers (splitmix64): the same number and salt, the same bits."""
    with np.errstate(over="ignore"):
        bits = np.asarray(values).astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) & (2**64 - 1))
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(bits ^ (bits >> np.uint64(31)))


def uuids(serials: Array, salt: int) -> npt.NDArray[np.bytes_]:
    """Version 4 UUID text, one per serial number, as fixed-width bytes."""
    high = mix(serials, salt) & np.uint64(0xFFFFFFFFFFFF0FFF) | np.uint64(0x4000)
    low = mix(serials, salt ^ 0x5DEECE66D) & np.uint64(0x3FFFFFFFFFFFFFFF) | np.uint64(0x8000000000000000)
    raw = np.column_stack([high, low]).astype(">u8").tobytes().hex().encode()
    digits = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 32)
    text = np.full((len(digits), 36), ord("-"), dtype=np.uint8)
    for target, source, width in ((0, 0, 8), (9, 8, 4), (14, 12, 4), (19, 16, 4), (24, 20, 12)):
        text[:, target : target + width] = digits[:, source : source + width]
    return np.ascontiguousarray(text).view("S36").ravel()


def references(serials: Array, salt: int) -> npt.NDArray[np.bytes_]:
    """Eight letters and digits per serial number, no two alike."""
    bits = (serials.astype(np.uint64) * np.uint64(_STEP) + np.uint64(salt & _MASK40)) & np.uint64(_MASK40)
    shifts = np.arange(35, -1, -5, dtype=np.uint64)
    letters = _LETTERS[((bits[:, None] >> shifts) & np.uint64(31)).astype(np.int64)]
    return np.ascontiguousarray(letters).view("S8").ravel()


def serial_of_reference(text: str, salt: int) -> int | None:
    """The serial number that `references` makes this text of; None if there is no such text."""
    letters = _LETTERS.tobytes().decode()
    if len(text) != 8 or not set(text) <= set(letters):
        return None
    bits = 0
    for letter in text:
        bits = bits << 5 | letters.index(letter)
    return (bits - salt) * pow(_STEP, -1, 1 << 40) & _MASK40


def share(amounts: Array, part: Array | int, whole: int) -> npt.NDArray[np.int64]:
    """`amounts * part / whole`, rounded half up, in whole numbers throughout."""
    return np.asarray((amounts * np.asarray(part, dtype=np.int64) + whole // 2) // whole, dtype=np.int64)
