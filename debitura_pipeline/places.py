"""The folders that a run writes to: which setting names them, and which of them have no room left.

Belongs here: asking the file system. Does not: words for errors (`failures.py`) or for checks (`doctor/`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.settings import Settings

SCARCE_BYTES, SCARCE_INODES = 64 * 1024**2, 100  # what a failed write gives back when it is undone
DATA_DIR, DAGSTER_HOME, WAREHOUSE, TEMPORARY = "DEBITURA_DATA_DIR", "DAGSTER_HOME", "DEBITURA_WAREHOUSE", "TMPDIR"


@dataclass(frozen=True)
class Room:
    """What a file system has left: bytes, and inodes (None: they are not counted)."""

    free_bytes: int
    free_inodes: int | None

    @property
    def is_scarce(self) -> bool:
        return self.free_bytes < SCARCE_BYTES or self.has_few_inodes

    @property
    def has_few_inodes(self) -> bool:
        return self.free_inodes is not None and self.free_inodes < SCARCE_INODES


def room_of(folder: Path) -> Room:
    """For this user. Raises OSError where the folder cannot be asked."""
    facts = os.statvfs(folder)
    return Room(facts.f_bavail * facts.f_frsize, facts.f_favail if facts.f_files else None)


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if os.path.lexists(folder))


def folders(settings: Settings) -> Iterator[tuple[str, Path]]:
    """What a run writes to, and the settings that say where."""
    yield DAGSTER_HOME, settings.dagster_home
    yield DATA_DIR, settings.data_dir
    if settings.warehouse.path is not None:
        yield WAREHOUSE, settings.warehouse.path.parent
    with suppress(OSError):
        yield TEMPORARY, Path(tempfile.gettempdir())


def described(settings: Settings) -> str:
    """The folders that have little room left, or data directory and DAGSTER_HOME where none has."""
    scarce: dict[int, Path] = {}
    for name, folder in folders(settings):
        with suppress(OSError):
            place = existing(folder)
            if room_of(place).is_scarce:
                device = place.stat().st_dev
                scarce[device] = folder if name == DATA_DIR or device not in scarce else scarce[device]
    found = [str(path) for path in scarce.values()]
    return " and ".join(found or dict.fromkeys([str(settings.data_dir), str(settings.dagster_home)]))


def variable_in(told: str, settings: Settings | None) -> str:
    """The setting that names the folder of the path in `told`; the data directory's where no path is known."""
    if settings is not None:
        for name, folder in folders(settings):
            if re.search(rf"{re.escape(str(folder))}(?![^/'\"\s:.,;)])", told):
                return name
    return DATA_DIR


def room(told: str, settings: Settings | None) -> str:
    """How to make room in the folder of the path in `told`."""
    variable = variable_in(told, settings)
    if settings is not None:
        folder = dict(folders(settings)).get(variable, settings.data_dir)
        with suppress(OSError):
            if room_of(existing(folder)).has_few_inodes:
                return f"No more files fit on that disk (no inodes are left): remove some, or set {variable} to another folder"
    return f"Free some space there, or set {variable} to a folder with more"
