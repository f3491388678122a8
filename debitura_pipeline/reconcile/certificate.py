"""Checks a sync's certificate again, from the landing zone alone: files unchanged, keys as many as the API counted.

Belongs here: re-counting. Does not: the network or the warehouse, which certificates there have to be (`sync/chain.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import duckdb

from debitura_pipeline.extract.landed_rows import LandedRows
from debitura_pipeline.extract.verified_window import Totals, VerifiedWindow
from debitura_pipeline.landing.journal import JOURNAL, damaged
from debitura_pipeline.landing.landing_zone import SyncFolder

# What reading a journal's values may raise where they are of other types than the reader writes.
ODD_VALUES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Finding:
    """One sync's certificate and what does not hold of it; `faults` empty: all holds."""

    sync_id: str
    resource: str
    windows: int
    keys: int
    api_count: int
    faults: tuple[str, ...]


def read_windows(folder: SyncFolder) -> list[VerifiedWindow]:
    """All windows of the journal, in its order. Raises JournalDamaged where a line is not one."""
    try:
        return [VerifiedWindow.from_line(line) for line in folder.of("window")]
    except ODD_VALUES:
        raise damaged(folder.path / JOURNAL, "a `window` line is not what the reader writes") from None


def check(folder: SyncFolder) -> Finding:
    """Files against their hashes, keys of each window and of all against the API's counts. Raises JournalDamaged."""
    windows = read_windows(folder)
    try:
        return _check(folder, windows)
    except ODD_VALUES:
        raise damaged(folder.path / JOURNAL, "its `end` line is not what a sync writes") from None


def _check(folder: SyncFolder, landed: list[VerifiedWindow]) -> Finding:
    assert folder.end is not None
    used = set(folder.end["windows"])
    windows = [window for window in landed if window.seq in used]
    totals = Totals.from_json(folder.end["api"])
    faults = [fault for window in windows for fault in _faults(folder, window)]
    if len(windows) != len(used):
        faults.append(f"{len(used) - len(windows)} windows of the certificate are not in the journal")
    keys = 0
    is_nightly = folder.end.get("mode", folder.begin["mode"]) == "nightly"
    if not faults and is_nightly:  # what was not read is proven by totals, not by keys
        keys = sum(window.distinct for window in windows)
    elif not faults:
        bad = {row.row_key or row.payload_sha256 for window in windows for row in window.bad}
        files = [folder.path / window.file for window in windows if window.file]
        try:
            keys = LandedRows(folder.begin["resource"], files).totals(None)[0] + len(bad)
        except duckdb.Error:  # its words may quote a row
            faults.append("a landed file is not what the shaper writes")
        if not faults and keys != totals.count and not folder.end.get("unproven"):
            faults.append(f"{keys} distinct keys landed, the API counted {totals.count}")
    return Finding(folder.begin["sync_id"], folder.begin["resource"], len(windows), keys, totals.count, tuple(faults))


def file_faults(folder: SyncFolder) -> list[str]:
    """What does not hold of the landed files that the certificate rests on: missing, or changed. Raises JournalDamaged."""
    used = set(folder.end["windows"]) if folder.end is not None else set()
    return [fault for window in read_windows(folder) if window.seq in used for fault in _file_faults(folder, window)]


def _faults(folder: SyncFolder, window: VerifiedWindow) -> Iterator[str]:
    name = window.slice.name
    if window.stretches:
        yield from (f"window {name}: {gap}" for gap in gaps(window))
    elif window.distinct != window.totals.count:  # read one by one, or by page numbers, as windows once were
        yield f"window {name}: {window.distinct} keys for {window.totals.count} rows announced"
    if window.file is None and window.distinct > len({row.row_key or row.payload_sha256 for row in window.bad}):
        yield f"window {name}: rows were read and no file was landed"
    yield from _file_faults(folder, window)


def gaps(window: VerifiedWindow) -> Iterator[str]:
    """Where the stretches that single answers showed whole do not cover the window."""
    start, end, stretches = window.window.start, window.window.end, window.stretches
    if stretches[0].start is not None and (start is None or stretches[0].start > start):
        yield "no answer shows its beginning"
    for before, after in pairwise(stretches):
        if before.end is None or (after.start is not None and after.start > before.end):
            yield f"no answer shows what lies after {before.end}"
    if stretches[-1].end is not None and (end is None or stretches[-1].end < end):
        yield "no answer shows its end"


def _file_faults(folder: SyncFolder, window: VerifiedWindow) -> Iterator[str]:
    if window.file is None:
        return
    path = folder.path / window.file
    if not path.exists():
        yield f"window {window.slice.name}: {window.file} is missing"
    elif not folder.file_intact({"file": window.file, "sha256": window.sha256}):
        yield f"window {window.slice.name}: {window.file} has changed since it was landed"
