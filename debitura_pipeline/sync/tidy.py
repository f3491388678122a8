"""Clean up the folder of a merged sync: delete files that its certificate does not use, and mark the journal."""

from __future__ import annotations

import logging
from datetime import datetime

from debitura_pipeline.errors import LandingError
from debitura_pipeline.landing.journal_lines import JOURNAL, Merged
from debitura_pipeline.landing.landing_zone import SyncFolder

log = logging.getLogger(__name__)


def mark_merged(folder: SyncFolder, now: datetime) -> None:
    """Mark a folder as merged. If the disk is full, only a warning is logged; the next run does it again."""
    try:
        _drop_superseded(folder)
        folder.append(Merged(at=now))
    except (LandingError, OSError) as error:
        log.warning("sync %s is merged, but its journal could not be updated: %s", folder.begin.sync_id, error)


def _drop_superseded(folder: SyncFolder) -> None:
    """Delete files of superseded windows, and partial files of a killed process."""
    numbers = set(folder.end.windows) if folder.end else set()
    used = {line.file for line in folder.windows if line.seq in numbers} | {JOURNAL}
    for path in folder.path.iterdir():
        if path.name not in used:
            path.unlink()
