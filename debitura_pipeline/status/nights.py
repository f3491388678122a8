"""The last nights, from the record and from Dagster's list of runs.

Belongs here: which is believed of which, and the verdict. Does not: reading either (`orchestration/nights.py`, `runs.py`).
The record knows proof and reason; Dagster knows of runs that never came to our code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from debitura_pipeline.orchestration.nights import DAGSTER, NightEntry
from debitura_pipeline.orchestration.runs import ON, DagsterRun
from debitura_pipeline.warehouse.process_lock import Holder

DONE, FAILED, KILLED, RUNNING, WAITING = "done", "failed", "killed", "running", "waiting"
KILLED_WHY = "its process is gone, or the machine restarted"
WAITS_WHY = "waits for another run to end"
NEVER_BEGAN = "Dagster ended it before its first step; `make dev` shows its event log"
DAGSTER_ENDED = {"FAILURE": FAILED, "CANCELED": FAILED, "SUCCESS": DONE}


@dataclass(frozen=True)
class Night:
    """One night as it is told. `status`: done, failed, killed, running, waiting; `is_proven`: None unless it is done, and
    where that is not known."""

    run_id: str
    started_at: datetime
    finished_at: datetime | None
    status: str
    is_proven: bool | None
    reason: str | None
    started_by: str

    @property
    def verdict(self) -> str:
        """For people."""
        if self.status != DONE:
            return self.status
        return {True: "done and proven", False: "done, not proven", None: "done"}[self.is_proven]

    @property
    def has_gone_wrong(self) -> bool:
        return self.status in (FAILED, KILLED)

    @property
    def is_over(self) -> bool:
        return self.status not in (RUNNING, WAITING)

    def facts(self, now: datetime) -> dict[str, Any]:
        """Ready for JSON; `duration_s` of a night that is on is until now, of one that was killed not known."""
        until = self.finished_at or (None if self.is_over else now)
        return {
            "run_id": self.run_id,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at and self.finished_at.isoformat(),
            "duration_s": None if until is None else round((until - self.started_at).total_seconds(), 1),
            "status": self.status,
            "is_proven": self.is_proven,
            "verdict": self.verdict,
            "reason": self.reason,
            "started_by": self.started_by,
        }


def last_nights(
    entries: Sequence[NightEntry], runs: Sequence[DagsterRun], holder: Holder | None, count: int
) -> list[Night]:
    """The newest nights, newest first. `holder`: who has the run lock of the data directory now."""
    of_run = {run.run_id: run for run in runs}
    nights = [_recorded(entry, of_run.get(entry.run_id), holder) for entry in entries]
    known = {entry.run_id for entry in entries}
    nights += [night for run in runs if run.run_id not in known and (night := _unrecorded(run)) is not None]
    return sorted(nights, key=lambda night: night.started_at, reverse=True)[:count]


def _recorded(entry: NightEntry, run: DagsterRun | None, holder: Holder | None) -> Night:
    def night(
        status: str, reason: str | None = entry.reason, finished_at: datetime | None = entry.finished_at
    ) -> Night:
        is_proven = entry.is_proven if status == DONE else None
        return Night(entry.run_id, entry.started_at, finished_at, status, is_proven, reason, entry.started_by)

    if entry.outcome is None:
        if holder is not None and (holder.pid, holder.host) == (entry.pid, entry.host):
            return night(RUNNING)
        return night(KILLED, KILLED_WHY, run.finished_at if run else None)
    if entry.outcome == DONE and run is not None and DAGSTER_ENDED.get(run.status) == FAILED:
        return night(FAILED, "Dagster ended the run after its last step")
    return night(entry.outcome)


def _unrecorded(run: DagsterRun) -> Night | None:
    """A night that only Dagster knows; None while it is queued."""
    at = run.started_at or run.created_at
    if run.status in DAGSTER_ENDED:
        reason = {"FAILURE": NEVER_BEGAN, "CANCELED": "canceled"}.get(run.status)
        status = DAGSTER_ENDED[run.status]
        return Night(run.run_id, at, run.finished_at, status, None, reason, DAGSTER)
    if run.status in ON:
        status, reason = (KILLED, KILLED_WHY) if run.is_dead else (WAITING, WAITS_WHY)
        return Night(run.run_id, at, None, status, None, reason, DAGSTER)
    return None
