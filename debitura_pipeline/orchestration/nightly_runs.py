"""The latest nightly runs, merged from the pipeline's own record and Dagster's list of runs.

The record knows the proof and the reason of a failure; Dagster knows runs that ended before they reached the pipeline's code.
They are read by `nights.py` and `runs.py`.
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
KILLED_REASON = "its process is gone, or the machine restarted"
STILL_THERE = "Dagster has ended the run; its process is still there"
WAITING_REASON = "waiting for another run to end"
NEVER_STARTED = "Dagster ended it before its first step; `make dev` shows its event log"
DAGSTER_ENDED = {"FAILURE": FAILED, "CANCELED": FAILED, "SUCCESS": DONE}


@dataclass(frozen=True)
class NightlyRun:
    """One nightly run. `status`: done, failed, killed, running or waiting. `is_proven`: None if not done or not known.

    `cause`: of a recorded failure, of `incidents/causes.py`.
    """

    run_id: str
    started_at: datetime
    finished_at: datetime | None
    status: str
    is_proven: bool | None
    reason: str | None
    started_by: str
    cause: str | None = None

    @property
    def verdict(self) -> str:
        """`status` and `is_proven` in words."""
        if self.status != DONE:
            return self.status
        return {True: "done and proven", False: "done, not proven", None: "done"}[self.is_proven]

    @property
    def has_failed(self) -> bool:
        """Whether it failed or was killed."""
        return self.status in (FAILED, KILLED)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, however."""
        return self.status not in (RUNNING, WAITING)

    def facts(self, now: datetime) -> dict[str, Any]:
        """JSON-ready values. `duration_s` is up to `now` for a run in progress, None for one that was killed."""
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
) -> list[NightlyRun]:
    """At most `count` nightly runs, newest first. `holder`: the process that holds the run lock of the data directory."""
    of_run = {run.run_id: run for run in runs}
    nights = [_recorded(entry, of_run.get(entry.run_id), holder) for entry in entries]
    known = {entry.run_id for entry in entries}
    nights += [night for run in runs if run.run_id not in known and (night := _unrecorded(run)) is not None]
    return sorted(nights, key=lambda night: night.started_at, reverse=True)[:count]


def _recorded(entry: NightEntry, run: DagsterRun | None, holder: Holder | None) -> NightlyRun:
    def night(
        status: str, reason: str | None = entry.reason, finished_at: datetime | None = entry.finished_at
    ) -> NightlyRun:
        is_proven = entry.is_proven if status == DONE else None
        return NightlyRun(
            entry.run_id, entry.started_at, finished_at, status, is_proven, reason, entry.started_by, entry.cause
        )

    if entry.outcome is None:
        if holder is not None and (holder.pid, holder.host) == (entry.pid, entry.host):
            if run is not None and DAGSTER_ENDED.get(run.status) == FAILED:
                return night(FAILED, STILL_THERE, run.finished_at)
            return night(RUNNING)
        return night(KILLED, KILLED_REASON, run.finished_at if run else None)
    if entry.outcome == DONE and run is not None and DAGSTER_ENDED.get(run.status) == FAILED:
        return night(FAILED, "Dagster ended the run after its last step")
    return night(entry.outcome)


def _unrecorded(run: DagsterRun) -> NightlyRun | None:
    """A nightly run that only Dagster knows; None while it is queued."""
    at = run.started_at or run.created_at
    if run.status in DAGSTER_ENDED:
        reason = {"FAILURE": NEVER_STARTED, "CANCELED": "canceled"}.get(run.status)
        status = DAGSTER_ENDED[run.status]
        return NightlyRun(run.run_id, at, run.finished_at, status, None, reason, DAGSTER)
    if run.status in ON:
        status, reason = (KILLED, KILLED_REASON) if run.is_dead else (WAITING, WAITING_REASON)
        return NightlyRun(run.run_id, at, None, status, None, reason, DAGSTER)
    return None
