"""Convert a finished sync folder to `LandedSync`, the input of the warehouse's merge; used by syncs and by `replay`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from debitura_pipeline.errors import LandingError
from debitura_pipeline.extract.window_record import VerifiedWindow
from debitura_pipeline.landing.journal import damaged
from debitura_pipeline.landing.journal_lines import JOURNAL, End
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.landing.tenants import TENANT_FILTER
from debitura_pipeline.reconcile.certificate import read_windows
from debitura_pipeline.warehouse.base import DeletionScope, LandedSync, WindowRecord


def used_windows(folder: SyncFolder) -> list[VerifiedWindow]:
    """The windows of the certificate, in reading order. Raises LandingError if the folder is not finished."""
    used = set(_end_of(folder).windows)
    return sorted((window for window in read_windows(folder) if window.seq in used), key=lambda window: window.seq)


def landed_from(folder: SyncFolder) -> LandedSync:
    """The folder's content, ready to merge. Raises LandingError if it is not finished, JournalDamaged for invalid lines."""
    windows = used_windows(folder)
    begin, end = folder.begin, _end_of(folder)
    mode, fee_pct = begin.partner
    try:
        partner = mode, Decimal(fee_pct) if fee_pct is not None else None
    except ArithmeticError:
        raise damaged(folder.path / JOURNAL, "its fee percentage is not a number") from None
    return LandedSync(
        sync_id=begin.sync_id,
        resource=begin.resource,
        mode=folder.mode,
        at=begin.at,
        started_at=begin.began_at,
        finished_at=end.finished_at,
        upper_bound=begin.upper_bound,
        files=tuple(folder.path / window.file for window in windows if window.file),
        sha256=tuple(window.sha256 or "" for window in windows if window.file),
        windows=tuple(_record(window, begin.tenant, begin.at) for window in windows),
        bad=tuple(row for window in windows for row in window.bad),
        drift=tuple(item for window in windows for item in window.drift),
        deletion_scope=_deletion_scope(folder, end, windows),
        requests=end.requests,
        retries=end.retries,
        rows_read=sum(window.rows for window in windows),
        partner=partner,
        message=end.message,
        certificate_sha256=folder.certificate_sha256,
        previous_sha256=begin.previous_sha256,
    )


def _end_of(folder: SyncFolder) -> End:
    if folder.end is None:
        raise LandingError(f"{folder.path} is not finished; it cannot be merged.")
    return folder.end


def _deletion_scope(folder: SyncFolder, end: End, windows: Sequence[VerifiedWindow]) -> DeletionScope:
    """Which missing rows count as deleted. An incremental sync names the deleted keys.

    A malformed row without an id could be any row, so nothing is deleted if there is one.
    """
    if any(row.row_key is None for window in windows for row in window.bad):
        return DeletionScope("none")
    is_by_tenant = end.tenants is not None  # then those that are not settled are left out
    if folder.mode == "nightly" or not (is_by_tenant or end.is_settled):
        return DeletionScope("keys", keys=end.gone)
    wanted = folder.begin.scope
    if wanted is None:
        return DeletionScope("all")
    tenants = end.tenants if end.tenants is not None else wanted
    return DeletionScope("client", tenants) if tenants else DeletionScope("none")


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
    """The scope in `ops.windows`: a tenant's bare id, other filters as `name=value`, `all` without filters."""
    filters = window.slice.filters
    if len(filters) == 1 and filters[0][0] == TENANT_FILTER:
        return filters[0][1]
    return ",".join(f"{name}={value}" for name, value in filters) or "all"
