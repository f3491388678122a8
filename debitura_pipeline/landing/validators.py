"""Validate ids and instants, a column at a time.

Both read paths call these, so they cannot disagree. Masks are numpy arrays, true for invalid values; None means all are valid.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from debitura_pipeline.landing.page_schema import INSTANT

Mask = npt.NDArray[np.bool_]
Checked = tuple[pa.Array, Mask | None]

UUID_LENGTH = 36
_HEX, _UPPER_HEX, _DASH = 1, 2, 4
_CLASS = np.zeros(256, np.uint8)
_CLASS[list(b"0123456789abcdef")] = _HEX
_CLASS[list(b"ABCDEF")] = _UPPER_HEX
_CLASS[ord("-")] = _DASH
_UUID = np.full(UUID_LENGTH, _HEX, np.uint8)
_UUID[[8, 13, 18, 23]] = _DASH
_UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

SECONDS_LENGTH = len("2026-01-05T02:00:00")
MICROS_LENGTH = len("2026-01-05T02:00:00.123456")
_INSTANT_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?:(:\d\d)(\.\d{1,9})?)?(Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_ONE = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH).days * 86_400 * 1_000_000  # Arrow would take the year 0 too


def check_ids(texts: pa.Array) -> Checked:
    """UUIDs in lower case, in the shape of `texts`; nulls stay null."""
    present = texts.drop_null() if texts.null_count else texts
    if _are_plain_uuids(present):
        return texts, None
    values = texts.to_pylist()
    fits = [value is None or _UUID_TEXT.fullmatch(value) is not None for value in values]
    kept = [value.lower() if value is not None and fit else None for value, fit in zip(values, fits, strict=True)]
    return pa.array(kept, pa.string()), None if all(fits) else ~np.array(fits)


def is_id(text: str) -> bool:
    """Whether a text is a UUID, in any letter case."""
    return _UUID_TEXT.fullmatch(text) is not None


def _are_plain_uuids(texts: pa.Array) -> bool:
    """Whether all texts are lower-case UUIDs, from the column's bytes."""
    if len(texts) == 0:
        return True
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if not (np.diff(ends) == UUID_LENGTH).all():
        return False
    letters = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].reshape(-1, UUID_LENGTH)
    return bool((_CLASS[letters] == _UUID).all())


def check_instants(texts: pa.Array) -> Checked:
    """Aware UTC instants in microseconds: with Z, with an offset, or naive (taken as UTC); a bare date is midnight.

    Digits beyond microseconds are truncated, so that no instant moves into the next second or day.
    """
    instants = _plain_instants(texts)
    if instants is not None:
        return instants, None
    values = texts.to_pylist()
    parsed = [None if value is None else micros_of_text(value) for value in values]
    wrong = np.array([value is not None and micros is None for value, micros in zip(values, parsed, strict=True)])
    return pa.array(parsed, pa.int64()).cast(INSTANT), wrong if wrong.any() else None


def _plain_instants(texts: pa.Array) -> pa.Array | None:
    """Convert all texts at once with Arrow if all are naive or UTC and have seconds; else None."""
    plain = texts
    for zone in ("+00:00", "Z"):
        if pc.any(ends := pc.ends_with(texts, pattern=zone)).as_py():
            plain = pc.if_else(ends, pc.utf8_slice_codeunits(texts, 0, -len(zone)), plain)
    lengths = pc.min_max(pc.binary_length(plain)).as_py()
    if lengths["min"] is None:
        return pa.nulls(len(texts), INSTANT)
    if lengths["min"] < SECONDS_LENGTH:
        return None
    if lengths["max"] > MICROS_LENGTH:
        beyond = pc.utf8_slice_codeunits(plain, MICROS_LENGTH, lengths["max"])
        if not pc.all(pc.match_substring_regex(beyond, r"^[0-9]{0,3}$")).as_py():
            return None
        plain = pc.utf8_slice_codeunits(plain, 0, MICROS_LENGTH)
    try:
        instants = plain.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return None
    return None if pc.min(instants).value < _YEAR_ONE else instants.cast(INSTANT)


def parse_instant(text: str) -> datetime | None:
    """One text as an aware UTC instant, by the same rules; None if invalid."""
    micros = micros_of_text(text)
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def micros_of_text(text: str) -> int | None:
    """Microseconds since 1970 of one text; None if it is not an instant of the years 1 to 9999."""
    match = _INSTANT_TEXT.fullmatch(text)
    if match is None:
        return None
    date, minute, second, fraction, zone = match.groups()
    micros = f"{fraction or '.'}000000"[: len(".123456")]
    try:
        moment = datetime.fromisoformat(f"{date}T{minute or '00:00'}{second or ':00'}{micros}{zone or 'Z'}")
        delta = moment.astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
