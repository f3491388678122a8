"""After a resource is read: its folder merged, the API's totals beside the warehouse's, the failed sync on record.

Belongs here: what of a sync reaches the warehouse. Does not: what is read, or the merge's own statements (`warehouse/`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.errors import DebituraError, ShrinkRefused
from debitura_pipeline.extract.client_totals import per_client_totals
from debitura_pipeline.extract.control import control_totals, count_quarantined
from debitura_pipeline.extract.evidence import Totals
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.store import JOURNAL, SyncFolder
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.judging import judge_proof, notes_of
from debitura_pipeline.sync.landed import landed_from, used_windows
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.warehouse.base import FailedSync, Judgement, LandedSync, Rows
from debitura_pipeline.warehouse.open import open_warehouse

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Merging:
    """`mode`: the partner's invoicing trigger. `now`: the API's clock."""

    settings: Settings
    mode: str | None
    now: Callable[[], datetime]

    def merge(self, folder: SyncFolder, *, allow_shrink: bool, with_clients: bool) -> SyncReport:
        """`with_clients`: all that clients' own records speak of is merged now, so compare these too."""
        landed = landed_from(folder)
        with open_warehouse(self.settings) as warehouse:
            judged: list[Judgement] = []

            def judge(rows: Rows) -> Judgement:
                judged.append(self._judgement(landed, folder, with_clients, rows))
                return judged[-1]

            try:
                counts = warehouse.merge(landed, judge=judge, allow_shrink=allow_shrink)
            except ShrinkRefused as error:
                folder.append("refused", reason=str(error))
                raise
        # Last: a crash before it merges the same landing again, which changes nothing.
        folder.append("merged", at=self.now())
        _drop_superseded(folder)
        return SyncReport.of(landed, counts, judged[-1])

    def _judgement(self, landed: LandedSync, folder: SyncFolder, with_clients: bool, rows: Rows) -> Judgement:
        """Asked inside the merge's transaction: totals, and what they make of the sync."""
        totals = self._compare(folder, with_clients, rows)
        quarantined = len(landed.bad) if landed.mode == "client" else count_quarantined(landed.resource, rows)
        proof = judge_proof(totals, notes_of(folder), quarantined, landed.windows)
        said = landed.message or ""
        reasons = [reason for reason in proof.reasons if reason not in said]
        return Judgement(tuple(totals), proof.is_proven, "; ".join(filter(None, [said, *reasons])) or None)

    def _compare(self, folder: SyncFolder, with_clients: bool, rows: Rows) -> list[ControlTotal]:
        """The API's closing totals beside `raw`; of a single client's reading they say nothing about the whole."""
        if folder.begin["tenant"] is not None or folder.end is None:
            return []
        stated = Totals.from_json(folder.end["api"])
        known = [window.totals for window in used_windows(folder) if not window.slice.filters]
        found = control_totals(folder.begin["resource"], stated, self.mode, rows, known)
        return found + (per_client_totals(rows) if with_clients else [])

    def note_failure(self, folder: SyncFolder, error: DebituraError, requests: int, retries: int) -> None:
        """Best effort: the error itself is what the caller has to see. `requests`, `retries`: what it took until it failed."""
        try:
            with open_warehouse(self.settings) as warehouse:
                begin, end = folder.begin, folder.end or {}
                failed = FailedSync(
                    sync_id=begin["sync_id"],
                    resource=begin["resource"],
                    mode=begin["mode"],
                    at=folder.instant("at"),
                    started_at=folder.instant("at"),
                    finished_at=self.now(),
                    upper_bound=folder.instant("upper_bound"),
                    requests=end.get("requests", requests),
                    retries=end.get("retries", retries),
                    rows_read=sum(line["rows"] for line in folder.of("window")),
                )
                warehouse.record_failure(failed, str(error))
        except DebituraError as second:
            log.warning("the failed sync could not be noted: %s", second)


def _drop_superseded(folder: SyncFolder) -> None:
    """Keep the journal and the files that the certificate rests on. Readings that were done again go, and so does what a
    process that was killed left half written."""
    used = {window.file for window in used_windows(folder)} | {JOURNAL}
    for path in folder.path.iterdir():
        if path.name not in used:
            path.unlink()
