"""A finished sync folder, in the shape that the warehouse merges.

Belongs here: journal lines -> `LandedSync`. Does not: reading the API or merging. Used after a reading and by the replay,
so that both merge the very same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from debitura_pipeline.errors import LandingError
from debitura_pipeline.extract.verified_window import VerifiedWindow
from debitura_pipeline.landing.journal import JOURNAL, damaged
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.landing.tenants import TENANT_FILTER
from debitura_pipeline.reconcile.certificate import read_windows
from debitura_pipeline.warehouse.base import Absent, LandedSync, WindowRecord


def used_windows(folder: SyncFolder) -> list[VerifiedWindow]:
    """The windows that the certificate rests on, in reading order."""
    if folder.end is None:
        raise LandingError(f"{folder.path} is not finished; it cannot be merged.")
    used = set(folder.end["windows"])
    return sorted((window for window in read_windows(folder) if window.seq in used), key=lambda window: window.seq)


def landed_from(folder: SyncFolder) -> LandedSync:
    """What the folder holds, ready to merge. Raises LandingError where it is not finished, JournalDamaged for odd lines."""
    try:
        return _landed(folder)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise damaged(folder.path / JOURNAL, "its lines are not what a sync writes") from None


def _landed(folder: SyncFolder) -> LandedSync:
    windows = used_windows(folder)
    begin, end = folder.begin, folder.end or {}
    mode, fee_pct = begin["partner"]
    at = folder.instant("at")
    return LandedSync(
        sync_id=begin["sync_id"],
        resource=begin["resource"],
        mode=mode_of(folder),
        at=at,
        started_at=folder.instant("started_at" if "started_at" in begin else "at"),
        finished_at=datetime.fromisoformat(end["finished_at"]),
        upper_bound=folder.instant("upper_bound"),
        files=tuple(folder.path / window.file for window in windows if window.file),
        sha256=tuple(window.sha256 or "" for window in windows if window.file),
        windows=tuple(_record(window, begin["tenant"], at) for window in windows),
        bad=tuple(row for window in windows for row in window.bad),
        drift=tuple(item for window in windows for item in window.drift),
        absent=_absent(folder, windows),
        requests=end["requests"],
        retries=end["retries"],
        rows_read=sum(window.rows for window in windows),
        partner=(mode, Decimal(fee_pct) if fee_pct is not None else None),
        message=end["message"],
        certificate_sha256=folder.certificate_sha256,
        previous_sha256=begin.get("previous_sha256"),
    )


def mode_of(folder: SyncFolder) -> str:
    """The plan that was followed: a night for which reading everything was no dearer read everything."""
    return str((folder.end or {}).get("mode", folder.begin["mode"]))


def tenants_of(folder: SyncFolder) -> tuple[str, ...] | None:
    """Whose part of the listing was wanted, as stored; None: all of it. A journal from before several could be read names one."""
    begin = folder.begin
    if begin.get("tenants") is not None:
        return tuple(begin["tenants"])
    return None if begin["tenant"] is None else (begin["tenant"],)


def _absent(folder: SyncFolder, windows: Sequence[VerifiedWindow]) -> Absent:
    """What the reading says of rows that it does not hold: a nightly one names those that are gone.

    A malformed row without an id could be any of ours: with one among the rows, none is taken for gone.
    """
    end = folder.end or {}
    if any(row.row_key is None for window in windows for row in window.bad):
        return Absent("none")
    is_by_tenant = "tenants" in end  # then those that are not settled are left out
    if mode_of(folder) == "nightly" or not (is_by_tenant or end.get("is_settled", True)):
        return Absent("keys", keys=tuple(end.get("gone", ())))
    wanted = tenants_of(folder)
    if wanted is None:
        return Absent("all")
    tenants = tuple(end.get("tenants", wanted))
    return Absent("client", tenants) if tenants else Absent("none")


def _record(window: VerifiedWindow, tenant: str | None, at: datetime) -> WindowRecord:
    return WindowRecord(
        from_=window.window.start,
        to=window.window.end,
        scope=tenant or _scope(window),
        api_count=window.totals.count,
        rows_read=window.distinct,
        attempts=window.attempts,
        verified_at=at,
        file=window.file,
        sha256=window.sha256,
    )


def _scope(window: VerifiedWindow) -> str:
    """A tenant's id by itself, as for a reading of that tenant alone; any other filter with its name."""
    filters = window.slice.filters
    if len(filters) == 1 and filters[0][0] == TENANT_FILTER:
        return filters[0][1]
    return ",".join(f"{name}={value}" for name, value in filters) or "all"
