"""Report runs that fail while `debitura dev` is running, in one line each: job, reason, link."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg

from debitura_pipeline.orchestration.outcome import displayed_reason

OVERLAP = timedelta(minutes=1)  # a record being written during one query is found by the next one
MAX_RUNS = 100  # per query
MAX_REMEMBERED = 10_000
MAX_EVENTS = 20  # of one run and type


class FailedRuns:
    """Remembers which runs were reported. Runs that failed before `now` are not reported. `url`: of Dagster's UI."""

    def __init__(self, instance: dg.DagsterInstance, url: str, now: datetime) -> None:
        self._instance, self._url = instance, url
        self._since = now
        self._told: dict[str, None] = {run_id: None for run_id, _ in self._failed(now - OVERLAP)}

    def report(self, say: Callable[[str], None]) -> None:
        """Call `say` with one line per run that failed since the last call."""
        now = datetime.now(UTC)
        for run_id, job in self._failed(self._since - OVERLAP):
            if run_id not in self._told:
                self._told[run_id] = None
                say(f"Run {run_id[:8]} of job {job} failed: {self._reason(run_id)} {self._url}/runs/{run_id}")
        self._since = now
        for run_id in list(self._told)[:-MAX_REMEMBERED]:
            del self._told[run_id]

    def _failed(self, since: datetime) -> list[tuple[str, str]]:
        wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
        records = self._instance.get_run_records(wanted, limit=MAX_RUNS)
        return [(record.dagster_run.run_id, record.dagster_run.job_name) for record in reversed(records)]

    def _reason(self, run_id: str) -> str:
        """The error of the first failed step; if there is none, Dagster's (it could not be started, its process died)."""
        failed = [*self._events(run_id, dg.DagsterEventType.STEP_FAILURE, ascending=True)]
        if not failed:
            engine = self._events(run_id, dg.DagsterEventType.ENGINE_EVENT)
            failed = [event for event in engine if event.engine_event_data.error is not None]
        failed += self._events(run_id, dg.DagsterEventType.RUN_FAILURE)
        return displayed_reason(failed[0]) if failed else "reason unknown."

    def _events(self, run_id: str, kind: dg.DagsterEventType, *, ascending: bool = False) -> list[dg.DagsterEvent]:
        found = self._instance.get_records_for_run(run_id, of_type=kind, limit=MAX_EVENTS, ascending=ascending)
        events = [record.event_log_entry.dagster_event for record in found.records]
        return [event for event in events if event is not None]
