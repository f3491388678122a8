"""Runs that fail while `debitura dev` is on, one line each: which, why, and where to look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg

from debitura_pipeline.orchestration.reasons import reason_of

OVERLAP = timedelta(minutes=1)  # a record that is being written when we look is seen at the next look
MOST_TOLD = 100  # at one look
KEPT = 10_000
READ_AT_MOST = 20  # events of one run and kind


class FailedRuns:
    """Remembers which were told. `now` is when to begin: what failed before that was told then."""

    def __init__(self, instance: dg.DagsterInstance, url: str, now: datetime) -> None:
        self._instance, self._url = instance, url
        self._since = now
        self._told: dict[str, None] = {run_id: None for run_id, _ in self._failed(now - OVERLAP)}

    def tell(self, say: Callable[[str], None]) -> None:
        """Say of each run that failed since the last look."""
        now = datetime.now(UTC)
        for run_id, job in self._failed(self._since - OVERLAP):
            if run_id not in self._told:
                self._told[run_id] = None
                say(f"Run {run_id[:8]} of job {job} failed: {self._reason(run_id)} {self._url}/runs/{run_id}")
        self._since = now
        for run_id in list(self._told)[:-KEPT]:
            del self._told[run_id]

    def _failed(self, since: datetime) -> list[tuple[str, str]]:
        wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
        records = self._instance.get_run_records(wanted, limit=MOST_TOLD)
        return [(record.dagster_run.run_id, record.dagster_run.job_name) for record in reversed(records)]

    def _reason(self, run_id: str) -> str:
        """Of the first step that failed; where none did, what Dagster says of it (it could not be started, its process died)."""
        failed = [*self._events(run_id, dg.DagsterEventType.STEP_FAILURE, ascending=True)]
        if not failed:
            engine = self._events(run_id, dg.DagsterEventType.ENGINE_EVENT)
            failed = [event for event in engine if event.engine_event_data.error is not None]
        failed += self._events(run_id, dg.DagsterEventType.RUN_FAILURE)
        return reason_of(failed[0]) if failed else "no reason was written down."

    def _events(self, run_id: str, kind: dg.DagsterEventType, *, ascending: bool = False) -> list[dg.DagsterEvent]:
        found = self._instance.get_records_for_run(run_id, of_type=kind, limit=READ_AT_MOST, ascending=ascending)
        events = [record.event_log_entry.dagster_event for record in found.records]
        return [event for event in events if event is not None]
