"""The folders that a night writes to: are they folders, whose are they, may they be written, and is there room?"""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from debitura_pipeline import failures
from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, well
from debitura_pipeline.places import DAGSTER_HOME, DATA_DIR, TEMPORARY, WAREHOUSE, existing, room_of
from debitura_pipeline.settings import Settings

GIB, MIB = 1024**3, 1024**2
# Landing, warehouse and published copy of a few hundred thousand rows; a night's files; a night's run and events.
ROOM = {DATA_DIR: (2 * GIB, 2_000), DAGSTER_HOME: (100 * MIB, 500), TEMPORARY: (50 * MIB, 100)}
PROBE_BYTES = 4096


def examine(settings: Settings) -> Iterator[Diagnosis]:
    yield folder("data directory", DATA_DIR, settings.data_dir)
    path = settings.warehouse.path
    if path is not None and path.parent != settings.data_dir:
        yield folder("warehouse's folder", DATA_DIR, path.parent, variable=WAREHOUSE)
    yield folder("DAGSTER_HOME", DAGSTER_HOME, settings.dagster_home)
    try:
        yield folder("temporary files", TEMPORARY, Path(tempfile.gettempdir()))
    except FileNotFoundError:
        yield bad("temporary files", "no folder for them can be written.", "Set TMPDIR to a folder with room.")
    if (stranger := _strangers_file(settings)) is not None:
        yield _not_ours("files", *stranger)


def folder(what: str, kind: str, path: Path, variable: str | None = None) -> Diagnosis:
    """One folder; where it is not there yet, the one in which it will be made. `kind`: whose wants of room it has."""
    variable = variable or kind
    place = existing(path)
    if not place.is_dir():
        return bad(what, f"{path}: {place} is a file, not a folder.", f"Set {variable} to a folder.")
    if place == path and kind != TEMPORARY and place.stat().st_uid != os.geteuid():
        return _not_ours(what, path, place.stat().st_uid)
    least_bytes, least_inodes = ROOM[kind]
    found = room_of(place)
    inodes = "" if found.free_inodes is None else f", {found.free_inodes:,} inodes"
    seen = f"{path}, {_size(found.free_bytes)}{inodes} free"
    refusal = _refusal(place)
    if refusal is not None and failures.kind_of(refusal) != failures.SPACE:
        cure = f"Give this user the right to write there (a disk that is read-only: mount it writable), or set {variable} to "
        return bad(what, f"{path} cannot be written: {refusal}.", f"{cure}another folder.")
    if found.free_inodes is not None and found.free_inodes < least_inodes:
        cure = f"Remove files from that disk (a night makes many), or set {variable} to a folder on another one."
        return bad(what, f"{seen}; a night wants {least_inodes:,} inodes.", cure)
    if refusal is not None or found.free_bytes < least_bytes:
        cure = f"Free some space there, or set {variable} to a folder with more."
        return bad(what, f"{seen}; a night wants {_size(least_bytes)}.", cure)
    return well(what, seen)


def _refusal(place: Path) -> str | None:
    """Why a file cannot be written there, tried with one that has no name; None where it can."""
    try:
        with tempfile.TemporaryFile(dir=place, buffering=0) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.strerror or "the system gave no reason"
    return None


def _strangers_file(settings: Settings) -> tuple[Path, int] | None:
    """A file or folder that another user's run has left, where this user cannot write it."""
    for place in (settings.data_dir, settings.dagster_home):
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                owner = entry.stat(follow_symlinks=False).st_uid
                if owner != os.geteuid():
                    return Path(entry.path), owner
    return None


def _not_ours(what: str, path: Path, owner: int) -> Diagnosis:
    us, them = _user(os.geteuid()), _user(owner)
    return bad(
        what,
        f"{path} belongs to {them}, and this is {us}: what one makes, the other cannot read or replace.",
        f"Run as {them}, or give all of it to {us}: `chown -R {os.geteuid()} {path}`.",
    )


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user number {number}"


def _size(size: int) -> str:
    return (
        f"{size / GIB:,.0f} GiB"
        if size >= 10 * GIB
        else f"{size / GIB:.1f} GiB"
        if size >= GIB
        else f"{size / MIB:,.0f} MiB"
    )
