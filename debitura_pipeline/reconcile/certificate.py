"""Verify the certificate of a sync from the landing zone: files are unchanged, and their keys match the API's counts.

Which certificates must exist is checked in `sync/chain.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import duckdb

from debitura_pipeline.errors import LandingError
from debitura_pipeline.extract.landed_rows import LandedRows
from debitura_pipeline.extract.window_record import Totals, VerifiedWindow
from debitura_pipeline.landing.journal import damaged
from debitura_pipeline.landing.journal_lines import JOURNAL, End
from debitura_pipeline.landing.landing_zone import SyncFolder


@dataclass(frozen=True)
class CertificateResult:
    """Result of verifying a sync, without `faults` if it holds. `keys`: distinct keys landed; `api_count`: stated rows."""

    sync_id: str
    resource: str
    windows: int
    keys: int
    api_count: int
    faults: tuple[str, ...]


def read_windows(folder: SyncFolder) -> list[VerifiedWindow]:
    """Return all windows of the journal in its order. Raises JournalDamaged."""
    try:
        return [VerifiedWindow.from_line(line) for line in folder.windows]
    except ArithmeticError:
        raise damaged(folder.path / JOURNAL, "a `window` line is not what the reader writes") from None


def closing_totals(folder: SyncFolder, end: End) -> Totals:
    """Return the API's closing totals of a finished sync. Raises JournalDamaged."""
    try:
        return Totals.from_stated(end.api)
    except ArithmeticError:
        raise damaged(folder.path / JOURNAL, "its `end` line is not what a sync writes") from None


def check_certificate(folder: SyncFolder) -> CertificateResult:
    """Verify files against their hashes, and keys per window and overall against the API's counts.

    Raises LandingError if the sync is not finished, JournalDamaged if its journal is not valid.
    """
    end = folder.end
    if end is None:
        raise LandingError(f"{folder.path} is not finished; it has no certificate.")
    used = set(end.windows)
    windows = [window for window in read_windows(folder) if window.seq in used]
    totals = closing_totals(folder, end)
    faults = [fault for window in windows for fault in _faults(folder, window)]
    if len(windows) != len(used):
        faults.append(f"{len(used) - len(windows)} windows of the certificate are not in the journal")
    keys = 0
    if not faults and folder.mode == "nightly":  # rows that were not read are proven by totals, not by keys
        keys = sum(window.distinct for window in windows)
    elif not faults:
        bad = {row.row_key or row.payload_sha256 for window in windows for row in window.bad}
        files = [folder.path / window.file for window in windows if window.file]
        try:
            keys = LandedRows(folder.begin.resource, files).totals(None)[0] + len(bad)
        except duckdb.Error:  # its message may quote a row
            faults.append("a landed file cannot be read")
        if not faults and keys != totals.count and not end.unproven:
            faults.append(f"{keys} distinct keys landed, the API counted {totals.count}")
    return CertificateResult(
        folder.begin.sync_id, folder.begin.resource, len(windows), keys, totals.count, tuple(faults)
    )


def file_faults(folder: SyncFolder) -> list[str]:
    """Return which landed files of the certificate are missing or have changed. Raises JournalDamaged."""
    used = set(folder.end.windows) if folder.end is not None else set()
    return [fault for window in read_windows(folder) if window.seq in used for fault in _file_faults(folder, window)]


def _faults(folder: SyncFolder, window: VerifiedWindow) -> Iterator[str]:
    name = window.slice.name
    if window.stretches:
        yield from (f"window {name}: {gap}" for gap in gaps(window))
    elif (
        window.distinct != window.totals.count
    ):  # rows requested by id, and windows of older versions that were read by page numbers
        yield f"window {name}: {window.distinct} keys for {window.totals.count} rows stated by the API"
    if window.file is None and window.distinct > len({row.row_key or row.payload_sha256 for row in window.bad}):
        yield f"window {name}: rows were read and no file was landed"
    yield from _file_faults(folder, window)


def gaps(window: VerifiedWindow) -> Iterator[str]:
    """Yield the gaps between the stretches of a window, one phrase each."""
    start, end, stretches = window.window.start, window.window.end, window.stretches
    if stretches[0].start is not None and (start is None or stretches[0].start > start):
        yield "no response covers its beginning"
    for before, after in pairwise(stretches):
        if before.end is None or (after.start is not None and after.start > before.end):
            yield f"no response covers what lies after {before.end}"
    if stretches[-1].end is not None and (end is None or stretches[-1].end < end):
        yield "no response covers its end"


def _file_faults(folder: SyncFolder, window: VerifiedWindow) -> Iterator[str]:
    if window.file is None:
        return
    path = folder.path / window.file
    if not path.exists():
        yield f"window {window.slice.name}: {window.file} is missing"
    elif not folder.is_intact(window.file, window.sha256):
        yield f"window {window.slice.name}: {window.file} has changed since it was landed"
