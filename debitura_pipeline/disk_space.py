"""The folders that a run writes to, the settings that name them, and the free space in them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.settings import Settings

SCARCE_BYTES, SCARCE_INODES = 64 * 1024**2, 100  # above zero: undoing a failed write frees some space
DATA_DIR, DAGSTER_HOME, WAREHOUSE, TEMPORARY = "DEBITURA_DATA_DIR", "DAGSTER_HOME", "DEBITURA_WAREHOUSE", "TMPDIR"


@dataclass(frozen=True)
class FreeSpace:
    """Free bytes and inodes of a file system. `free_inodes`: None if it does not count them."""

    free_bytes: int
    free_inodes: int | None

    @property
    def is_scarce(self) -> bool:
        """Whether a lack of space or inodes may have made a write fail."""
        return self.free_bytes < SCARCE_BYTES or self.has_few_inodes

    @property
    def has_few_inodes(self) -> bool:
        """Whether a lack of inodes may have made a write fail."""
        return self.free_inodes is not None and self.free_inodes < SCARCE_INODES


def free_space(folder: Path) -> FreeSpace:
    """Free space of the folder's file system, for this user. Raises OSError."""
    facts = os.statvfs(folder)
    return FreeSpace(facts.f_bavail * facts.f_frsize, facts.f_favail if facts.f_files else None)


def existing(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    return next(folder for folder in (path, *path.parents) if os.path.lexists(folder))


def run_folders(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The folders that a run writes to, each after the setting that names it."""
    yield DAGSTER_HOME, settings.dagster_home
    yield DATA_DIR, settings.data_dir
    if settings.warehouse.path is not None:
        yield WAREHOUSE, settings.warehouse.path.parent
    with suppress(OSError):
        yield TEMPORARY, Path(tempfile.gettempdir())


def scarce_folders(settings: Settings) -> list[str]:
    """The folders of a run with little free space, one of each file system."""
    scarce: dict[int, Path] = {}
    for name, folder in run_folders(settings):
        with suppress(OSError):
            parent = existing(folder)
            if free_space(parent).is_scarce:
                device = parent.stat().st_dev
                scarce[device] = folder if name == DATA_DIR or device not in scarce else scarce[device]
    return [str(path) for path in scarce.values()]


def full_folders(settings: Settings) -> str:
    """`scarce_folders`; data directory and DAGSTER_HOME if there are none."""
    found = scarce_folders(settings)
    return " and ".join(found or dict.fromkeys([str(settings.data_dir), str(settings.dagster_home)]))


def variable_in(text: str, settings: Settings | None) -> str:
    """The setting that names the folder of the path in `text`; that of the data directory if there is no known path."""
    if settings is not None:
        for name, folder in run_folders(settings):
            if re.search(rf"{re.escape(str(folder))}(?![^/'\"\s:.,;)])", text):
                return name
    return DATA_DIR


def how_to_free(text: str, settings: Settings | None) -> str:
    """How to free space or inodes in the folder of the path in `text`."""
    variable = variable_in(text, settings)
    if settings is not None:
        folder = dict(run_folders(settings)).get(variable, settings.data_dir)
        with suppress(OSError):
            if free_space(existing(folder)).has_few_inodes:
                return f"That disk has no inodes left: remove files, or set {variable} to another folder"
    return f"Free some space there, or set {variable} to a folder with more"
