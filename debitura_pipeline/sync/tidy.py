"""A merged sync's folder: what its certificate rests on stays, the rest goes, and the journal says that it is merged."""

from __future__ import annotations

import logging
from datetime import datetime

from debitura_pipeline.errors import LandingError
from debitura_pipeline.landing.journal_lines import JOURNAL, Merged
from debitura_pipeline.landing.landing_zone import SyncFolder

log = logging.getLogger(__name__)


def mark_merged(folder: SyncFolder, now: datetime) -> None:
    """Follow the warehouse, which has it. Where the disk will not take it, that is told; the next run does it again."""
    try:
        _drop_superseded(folder)
        folder.append(Merged(at=now))
    except (LandingError, OSError) as error:
        log.warning("sync %s is merged, which its journal could not be told: %s", folder.begin.sync_id, error)


def _drop_superseded(folder: SyncFolder) -> None:
    """Readings that were done again go, and so does what a process that was killed left half written."""
    numbers = set(folder.end.windows) if folder.end else set()
    used = {line.file for line in folder.windows if line.seq in numbers} | {JOURNAL}
    for path in folder.path.iterdir():
        if path.name not in used:
            path.unlink()
