"""Merge a landed sync into the warehouse, compare control totals, and record failed syncs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from debitura_pipeline import failures
from debitura_pipeline.errors import DebituraError, ShrinkRefused, WarehouseError
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.journal_lines import Refused
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.reconcile.certificate import closing_totals
from debitura_pipeline.reconcile.client_totals import compare_client_totals
from debitura_pipeline.reconcile.control_totals import compare_control_totals, count_quarantined
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.working_copy import secure_sync
from debitura_pipeline.sync.clock import after
from debitura_pipeline.sync.judging import judge_proof, notes_of
from debitura_pipeline.sync.landed_sync import landed_from, used_windows
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.tidy import mark_merged
from debitura_pipeline.warehouse.base import FailedSync, Judgement, LandedSync, RunQuery
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.ops_sql import newest_merged

log = logging.getLogger(__name__)

_SIZE = "SELECT count(*), count(CASE WHEN _deleted_at IS NULL THEN 1 END) FROM raw.{resource}"


@dataclass(frozen=True)
class Merger:
    """Merges landed syncs. `now`: the API's clock. `token`: makes the random suffix of sync ids."""

    settings: Settings
    now: Callable[[], datetime]
    id_suffix: Callable[[], str]

    def merge(self, folder: SyncFolder, *, allow_shrink: bool, note: str | None = None) -> SyncReport:
        """Merge rows, totals and the sync's record in one transaction, then mark the journal.

        `note`: added to the sync's message. Raises ShrinkRefused, LandingError, WarehouseError and SharedStoreError.
        """
        secure_sync(self.settings, folder)
        landed = landed_from(folder)
        landed = replace(landed, message="; ".join(filter(None, [landed.message, note])) or None)
        with open_warehouse(self.settings) as warehouse:
            judged: list[Judgement] = []

            def judge(rows: RunQuery) -> Judgement:
                judged.append(judgement_of(landed, folder, rows))
                return judged[-1]

            try:
                counts = warehouse.merge(landed, judge=judge, allow_shrink=allow_shrink)
            except ShrinkRefused as error:
                folder.append(Refused(reason=str(error)))
                raise
            table_rows, live_rows = warehouse.rows(_SIZE.format(resource=landed.resource))[0]
        # Last: the warehouse is authoritative, and the next run adds a missing mark.
        mark_merged(folder, self.now())
        return SyncReport.of(landed, counts, judged[-1], (table_rows, live_rows))

    def note_failure(self, folder: SyncFolder, error: Exception, requests: int, retries: int) -> None:
        """Record a failed sync in `ops.syncs`. Best effort, never raises DebituraError: it must not hide `error`.

        `requests`, `retries`: used until it failed.
        """
        try:
            with open_warehouse(self.settings) as warehouse:
                begin, end = folder.begin, folder.end
                failed = FailedSync(
                    sync_id=begin.sync_id,
                    resource=begin.resource,
                    mode=begin.mode,
                    at=begin.at,
                    started_at=begin.began_at,
                    finished_at=self.now(),
                    upper_bound=begin.upper_bound,
                    requests=end.requests if end is not None else requests,
                    retries=end.retries if end is not None else retries,
                    rows_read=sum(line.rows for line in folder.windows),
                )
                warehouse.record_failure(failed, storable_message(error))
        except DebituraError as second:
            _log_second(second)

    def note_early_failure(self, resource: str, error: Exception, *, is_dated: bool = True) -> None:
        """Record a sync that failed before it had a folder; does nothing if the warehouse itself is the cause.

        `is_dated`: the clock is known. Otherwise the sync is dated right after its predecessor.
        """
        if isinstance(error, WarehouseError):
            return
        try:
            with open_warehouse(self.settings) as warehouse:
                now = self.now()
                newest = next((as_of for as_of, *_ in warehouse.rows(*newest_merged(resource))), None)
                at, _ = after(now if is_dated or newest is None else newest, newest)
                sync_id = f"{at:%Y%m%dT%H%M%SZ}-{resource}-{self.id_suffix()}"
                failed = FailedSync(sync_id, resource, "none", at, now, now, None, 0, 0, 0)
                warehouse.record_failure(failed, storable_message(error))
        except DebituraError as second:
            _log_second(second)


def _log_second(error: DebituraError) -> None:
    """Log an error while recording a failure, unless it is about disk or memory: then the first error already says so."""
    if failures.kind_of(str(error)) is None:
        log.warning("the failed sync could not be recorded: %s", error)


def judgement_of(landed: LandedSync, folder: SyncFolder, rows: RunQuery) -> Judgement:
    """Compare the API's closing totals with `raw` and judge the sync. Called inside the merge's transaction."""
    totals = _compare(landed, folder, rows)
    quarantined = len(landed.bad) if landed.mode == "client" else count_quarantined(landed.resource, rows)
    proof = judge_proof(totals, notes_of(folder), quarantined, landed.windows)
    said = landed.message or ""
    reasons = [reason for reason in proof.reasons if reason not in said]
    return Judgement(tuple(totals), proof.is_proven, "; ".join(filter(None, [said, *reasons])) or None)


def _compare(landed: LandedSync, folder: SyncFolder, rows: RunQuery) -> list[ControlTotal]:
    """The compared totals; none for a sync of some clients, whose closing totals do not cover the listing."""
    if folder.begin.scope is not None or folder.end is None:
        return []
    stated = closing_totals(folder, folder.end)
    known = [window.totals for window in used_windows(folder) if not window.slice.filters]
    found = compare_control_totals(landed.resource, stated, folder.begin.partner[0], rows, known)
    return found + (compare_client_totals(rows) if folder.end.with_clients else [])


def storable_message(error: BaseException) -> str:
    """An error's message that may be stored. Other libraries' messages may quote a row, so only their class is named."""
    return str(error) if isinstance(error, DebituraError) else f"unexpected {type(error).__name__}"
