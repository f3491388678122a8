"""Watch a run that waits for a pool: report which run it waits for, end dead runs, react to signals.

Dagster reports the wait only once, in its event log, and ignores signals while waiting, so a thread checks periodically. Waiting
for the run lock is in `warehouse/run_lock.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._utils.interrupts import check_captured_interrupt

from debitura_pipeline import interrupts
from debitura_pipeline.orchestration.instance import end_dead_runs
from debitura_pipeline.orchestration.keys import POOLS
from debitura_pipeline.orchestration.periodic import periodically
from debitura_pipeline.orchestration.runs import PROCESS_TAG

CHECK_EVERY_S = 1.5
REPORT_AFTER_S, REPORT_EVERY_S = 3.0, 60.0


@contextmanager
def watched_pools(instance: dg.DagsterInstance, run_id: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, call `on_wait` with the run that a step waits for: after 3 seconds, then once a minute."""
    # Errors are ignored, because a storage that keeps failing fails the run itself. The instance is closed after the block.
    with periodically(CHECK_EVERY_S, _Watch(instance, run_id, on_wait).check, ends_within_s=None):
        yield


class _Watch:
    def __init__(self, instance: dg.DagsterInstance, run_id: str, on_wait: Callable[[str], None]) -> None:
        self._instance, self._run_id, self._on_wait = instance, run_id, on_wait
        self._waits_since: float | None = None
        self._report_at = 0.0

    def check(self) -> None:
        pool, holders = self._waits_for()
        if pool is None:
            self._waits_since = None
            return
        if check_captured_interrupt():
            self._end()
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since, self._report_at = now, now + REPORT_AFTER_S - CHECK_EVERY_S
        end_dead_runs(self._instance)
        if now >= self._report_at:
            self._report_at = now + REPORT_EVERY_S
            who = "; ".join(self._described(run_id) for run_id in holders) or "a step that was there first"
            self._on_wait(f"Waiting for pool {pool}, for {now - self._waits_since:.0f} s so far: {who} has it.")

    def _waits_for(self) -> tuple[str | None, list[str]]:
        """The pool that a step of ours waits for, None if none does, and the runs that have it."""
        for pool, info in self._instance.event_log_storage.get_concurrency_infos(POOLS).items():
            having = [claimed.run_id for claimed in info.claimed_slots]
            if self._run_id not in having and self._run_id in {step.run_id for step in info.pending_steps}:
                return pool, having
        return None, []

    def _described(self, run_id: str) -> str:
        run = self._instance.get_run_by_id(run_id)
        if run is None:
            return f"run {run_id[:8]}"
        host, _, process = run.tags.get(PROCESS_TAG, "").partition(":")
        where = f", process {process.partition(':')[0]} on host {host}" if host else ""
        return f"run {run_id[:8]} ({run.job_name}{where})"

    def _end(self) -> None:
        run = self._instance.get_run_by_id(self._run_id)
        if run is not None:
            self._instance.report_run_canceled(run, "Interrupted while it waited for a pool.")
        self._instance.event_log_storage.free_concurrency_slots_for_run(self._run_id)
        interrupts.end_now()
