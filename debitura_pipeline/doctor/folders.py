"""Check the folders that a nightly run writes to: type, owner, write access and free space."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from debitura_pipeline import failures
from debitura_pipeline.disk_space import DAGSTER_HOME, DATA_DIR, TEMPORARY, WAREHOUSE, existing, free_space
from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.settings import Settings

GIB, MIB = 1024**3, 1024**2
# Bytes and inodes for the landing zone, warehouse and published copy of a few hundred thousand rows; for the runs and events of
# one night; for temporary files.
ROOM = {DATA_DIR: (2 * GIB, 2_000), DAGSTER_HOME: (100 * MIB, 500), TEMPORARY: (50 * MIB, 100)}
PROBE_BYTES = 4096


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check data directory, warehouse folder, DAGSTER_HOME and the temporary folder."""
    yield check_folder("data directory", DATA_DIR, settings.data_dir)
    path = settings.warehouse.path
    if path is not None and path.parent != settings.data_dir:
        yield check_folder("warehouse's folder", DATA_DIR, path.parent, variable=WAREHOUSE)
    yield check_folder("DAGSTER_HOME", DAGSTER_HOME, settings.dagster_home)
    try:
        yield check_folder("temporary files", TEMPORARY, Path(tempfile.gettempdir()))
    except FileNotFoundError:
        yield failed("temporary files", "no folder for them is writable.", "Set TMPDIR to a folder with free space.")
    if (foreign := _foreign_file(settings)) is not None:
        yield _not_ours("files", *foreign)


def check_folder(what: str, kind: str, path: Path, variable: str | None = None) -> Diagnosis:
    """Check one folder, or the nearest existing parent. `kind`: key of ROOM. `variable`: the setting that names it."""
    variable = variable or kind
    place = existing(path)
    if not place.is_dir():
        return failed(what, f"{path}: {place} is a file, not a folder.", f"Set {variable} to a folder.")
    if place == path and kind != TEMPORARY and place.stat().st_uid != os.geteuid():
        return _not_ours(what, path, place.stat().st_uid)
    least_bytes, least_inodes = ROOM[kind]
    found = free_space(place)
    inodes = "" if found.free_inodes is None else f", {found.free_inodes:,} inodes"
    seen = f"{path}, {_size(found.free_bytes)}{inodes} free"
    refusal = _refusal(place)
    if refusal is not None and failures.kind_of(refusal) != failures.SPACE:
        cure = (
            f"Give this user write access (remount a read-only disk as writable), or set {variable} to another folder."
        )
        return failed(what, f"{path} is not writable: {refusal}.", cure)
    if found.free_inodes is not None and found.free_inodes < least_inodes:
        cure = (
            f"Remove files from that disk (a nightly run creates many), or set {variable} to a folder on another disk."
        )
        return failed(what, f"{seen}; a nightly run needs {least_inodes:,} inodes.", cure)
    if refusal is not None or found.free_bytes < least_bytes:
        cure = f"Free some space there, or set {variable} to a folder with more."
        return failed(what, f"{seen}; a nightly run needs {_size(least_bytes)}.", cure)
    return passed(what, seen)


def _refusal(place: Path) -> str | None:
    """Why a file cannot be written there, tried with an unnamed temporary file; None if it can."""
    try:
        with tempfile.TemporaryFile(dir=place, buffering=0) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.strerror or "the system gave no reason"
    return None


def _foreign_file(settings: Settings) -> tuple[Path, int] | None:
    """A file or folder of another user at the top of the data directory or DAGSTER_HOME, and its owner."""
    for place in (settings.data_dir, settings.dagster_home):
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                owner = entry.stat(follow_symlinks=False).st_uid
                if owner != os.geteuid():
                    return Path(entry.path), owner
    return None


def _not_ours(what: str, path: Path, owner: int) -> Diagnosis:
    us, them = _user(os.geteuid()), _user(owner)
    return failed(
        what,
        f"{path} belongs to {them}, but this is {us}: neither can read or replace the other's files.",
        f"Run as {them}, or change the owner to {us}: `chown -R {os.geteuid()} {path}`.",
    )


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user ID {number}"


def _size(size: int) -> str:
    return (
        f"{size / GIB:,.0f} GiB"
        if size >= 10 * GIB
        else f"{size / GIB:.1f} GiB"
        if size >= GIB
        else f"{size / MIB:,.0f} MiB"
    )
