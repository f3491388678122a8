"""Segment files of the inbox: append-only, one record after another, each with its length and checksum.

A record is complete, or it is not there: a torn one, and whatever follows it, is not read. A receiver cuts it off when it starts.
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
MAX_PAYLOAD = 16_384  # far above any redacted event


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
    """Complete records from `offset` on, each with the offset behind it. Ends at the first torn one. Raises OSError."""
    for payload, end in _payloads(path, offset):
        try:
            entry = _decode(payload)
        except msgspec.DecodeError:  # written by a later version
            continue
        yield entry, end


def _payloads(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    at = 0
    while at + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, at)
        payload = content[at + _HEAD.size : at + _HEAD.size + length]
        if not 0 < length <= MAX_PAYLOAD or len(payload) < length or crc32(payload) != checksum:
            return
        at += _HEAD.size + length
        yield payload, offset + at


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Numbers and paths of the segments, oldest first; empty if there is no inbox."""
    if not folder.is_dir():
        return []
    found = ((match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))
    return sorted((int(match[1]), path) for match, path in found)


def segment_path(folder: Path, number: int) -> Path:
    """Where segment `number` is."""
    return folder / f"{number:010d}.segment"


def cut_torn_tail(path: Path) -> int:
    """Cut off what follows the last complete record; returns the number of bytes. Raises OSError."""
    size, sound = path.stat().st_size, 0
    for _, end in _payloads(path):
        sound = end
    if sound < size:
        handle = os.open(path, os.O_WRONLY)
        try:
            os.ftruncate(handle, sound)
            os.fsync(handle)
        finally:
            os.close(handle)
    return size - sound
