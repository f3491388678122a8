"""Segment files of the inbox: append-only, one record after another, each with its length and checksum.

A record is complete, or it is not there: a torn one at the end is not read, and a receiver cuts it off when it starts. Bytes that a
damaged disk has changed are stepped over; the records behind them count.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zlib import crc32

import msgspec

FOLDER = "inbox"
_NAME = re.compile(r"(\d{10})\.segment")
_HEAD = struct.Struct("<II")  # bytes of the payload, and its CRC-32
_BEGINNING = b'{"kind":"'  # of every payload
MAX_PAYLOAD = 16_384  # far above any redacted event
CHECKED_BYTES = 256  # most of the last record, with its id and instants: no other record ends alike


class Received(msgspec.Struct, frozen=True, tag_field="kind", tag="event", omit_defaults=True):
    """One event, redacted. `tenant`: as stored. Ids are in lower case. `at`: by its envelope; `received_at`: by this machine."""

    id: str
    type: str
    at: datetime
    received_at: datetime
    tenant: str | None = None
    creditor_id: str | None = None
    case_id: str | None = None


class Repeated(msgspec.Struct, frozen=True, tag_field="kind", tag="repeat"):
    """Further deliveries of an event that is in the inbox."""

    id: str
    times: int


Entry = Received | Repeated
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


def pack(entry: Entry) -> bytes:
    """An entry as a record."""
    payload = _encode(entry)
    return _HEAD.pack(len(payload), crc32(payload)) + payload


def read_entries(path: Path, offset: int = 0) -> Iterator[tuple[Entry, int]]:
    """Complete records from `offset` on, each with the offset behind it. Raises OSError."""
    for payload, _, end in _payloads(path, offset):
        try:
            entry = _decode(payload)
        except msgspec.DecodeError:  # written by a later version
            continue
        yield entry, end


def _payloads(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Payload, beginning and end of each complete record."""
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    at = 0
    while at + _HEAD.size <= len(content):
        payload = _payload(content, at)
        if payload is None:
            beginning = content.find(_BEGINNING, at + _HEAD.size + 1)
            if beginning < 0:
                return
            at = beginning - _HEAD.size
            continue
        end = at + _HEAD.size + len(payload)
        yield payload, offset + at, offset + end
        at = end


def _payload(content: bytes, at: int) -> bytes | None:
    """The payload of the record at `at`; None if there is no complete one."""
    length, checksum = _HEAD.unpack_from(content, at)
    if not 0 < length <= MAX_PAYLOAD:
        return None
    payload = content[at + _HEAD.size : at + _HEAD.size + length]
    return payload if len(payload) == length and crc32(payload) == checksum else None


def checksum_before(path: Path, offset: int) -> int | None:
    """The CRC-32 of the last bytes before `offset`; None if the segment is shorter. Raises OSError."""
    start = max(offset - CHECKED_BYTES, 0)
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(offset - start)
    return crc32(content) if start + len(content) == offset else None


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Numbers and paths of the segments, oldest first; empty if there is no inbox."""
    if not folder.is_dir():
        return []
    found = ((match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))
    return sorted((int(match[1]), path) for match, path in found)


def segment_path(folder: Path, number: int) -> Path:
    """Where segment `number` is."""
    return folder / f"{number:010d}.segment"


def cut_torn_tail(path: Path) -> tuple[int, int]:
    """Cut off what follows the last complete record. Returns the number of bytes that were cut, and of damaged ones before.
    Raises OSError."""
    size, sound, damaged = path.stat().st_size, 0, 0
    for _, start, end in _payloads(path):
        damaged += start - sound
        sound = end
    if sound < size:
        handle = os.open(path, os.O_WRONLY)
        try:
            os.ftruncate(handle, sound)
            os.fsync(handle)
        finally:
            os.close(handle)
    return size - sound, damaged
