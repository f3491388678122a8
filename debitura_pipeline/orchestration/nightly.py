"""Runs job `nightly` in this process, on the instance in DAGSTER_HOME. The body of `debitura nightly`, less the printing.

Belongs here: starting the run, telling of its steps, gathering the outcome. Does not: what the job does (jobs.py), text
for people (the command line). The embedded sandbox, where it is used, lives as long as the run, one day later each night.
"""

from __future__ import annotations

import io
import logging
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import TextIO

import dagster as dg

from debitura_pipeline import failures
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.extract.reader import ReadProgress
from debitura_pipeline.interrupts import was_interrupted
from debitura_pipeline.orchestration.instance import end_dead_runs, open_instance
from debitura_pipeline.orchestration.jobs import NIGHTLY
from debitura_pipeline.orchestration.liveness import lives_of
from debitura_pipeline.orchestration.manifest import require_dbt
from debitura_pipeline.orchestration.nights import COMMAND
from debitura_pipeline.orchestration.outcome import outcome_of, recorded
from debitura_pipeline.orchestration.reasons import reason_of
from debitura_pipeline.orchestration.resources import active
from debitura_pipeline.orchestration.retention import purge_old_runs
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync import SyncReport
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import private_umask
from debitura_pipeline.warehouse.run_lock import exclusive_run

# Loaded by name, as workspace.yaml has it loaded: it stands above this floor.
DEFINITIONS = "debitura_pipeline.definitions"
# Dagster would write every event to standard error; what failed is in the result.
SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
STORAGE_FAILS = "Exception while writing logger call"
# The states of a step, as `on_step` hears them.
STARTED, GOING, DONE, FAILED, SKIPPED = "started", "going", "done", "failed", "skipped"
STATES = {
    dg.DagsterEventType.STEP_START: STARTED,
    dg.DagsterEventType.STEP_SUCCESS: DONE,
    dg.DagsterEventType.STEP_FAILURE: FAILED,
    dg.DagsterEventType.STEP_SKIPPED: SKIPPED,
}


@dataclass(frozen=True)
class StepOutcome:
    """How one step ended, or how far it is: `made` of the `planned` tables. `error`: one line, where it failed."""

    name: str
    state: str
    duration_s: float = 0.0
    error: str | None = None
    made: int = 0
    planned: int = 0


@dataclass(frozen=True)
class FailedCheck:
    """An asset check that did not pass. `is_blocking`: what comes after it was not built."""

    asset: str
    name: str
    severity: str
    description: str
    is_blocking: bool


@dataclass(frozen=True)
class NightlyResult:
    """The run's outcome. `success`: every step ended well; a check that failed without blocking does not change that."""

    run_id: str
    success: bool
    steps: tuple[StepOutcome, ...]
    reports: tuple[SyncReport, ...]
    failed_checks: tuple[FailedCheck, ...]
    checks: int
    metadata: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def error(self) -> str | None:
        """Why it failed, in one line."""
        return next((step.error or f"step {step.name} failed" for step in self.steps if step.state == FAILED), None)


def run_job(
    settings: Settings,
    *,
    advance_days: int = 0,
    on_step: Callable[[StepOutcome], None] | None = None,
    on_progress: Callable[[ReadProgress], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> NightlyResult:
    """Run the job once and wait for it. `on_step` hears of each step's start, tables and end, `on_progress` of pages read,
    `on_wait` for whom a step waits.

    Errors inside steps are in the result; what keeps the run from starting is raised: WarehouseBusy where another run is on.
    """
    require_dbt()  # or a night would read for an hour, and then fail
    job = import_module(DEFINITIONS).defs.resolve_job_def(NIGHTLY)
    run_id = str(uuid.uuid4())
    heard = _Listener(settings, on_step)
    with ExitStack() as stack:
        stack.enter_context(exclusive_run(settings, "nightly"))
        stack.enter_context(private_umask())
        outcomes = stack.enter_context(recorded(settings, run_id, COMMAND))
        check_identity(settings)
        instance = stack.enter_context(open_instance(settings))
        stack.enter_context(open_endpoint(settings, advance_days=advance_days))
        end_dead_runs(instance)
        lives_of(instance).hold(run_id)
        stack.callback(lives_of(instance).let_go, run_id)
        instance.add_event_listener(run_id, heard)
        run = stack.enter_context(active(settings, on_progress, on_wait))
        stack.enter_context(_silence())
        outcome = job.execute_in_process(run_config=SILENT, instance=instance, run_id=run_id, raise_on_error=False)
        if was_interrupted() and not outcome.success:  # Dagster catches the signal, and calls it a failure
            raise KeyboardInterrupt
        outcomes.append(outcome_of(instance, run_id))
        with suppress(Exception):  # tried again tomorrow; the night is none the worse
            purge_old_runs(instance, settings, datetime.now(UTC))
    return NightlyResult(
        run_id=run_id,
        success=outcome.success,
        steps=tuple(heard.outcomes.values()),
        reports=tuple(run.reports),
        failed_checks=tuple(heard.failed_checks),
        checks=heard.checks,
        metadata=heard.metadata,
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Dagster's and dagster-dbt's own lines on standard error, off for a while."""
    logger = logging.getLogger("dagster")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(_WithoutDagster(sys.stderr)):
            yield
    finally:
        logger.setLevel(before)


class _WithoutDagster(io.TextIOBase):
    """Standard error without what Dagster writes there, an event and its SQL, where its storage fails: the error is raised."""

    def __init__(self, target: TextIO) -> None:
        self._target = target

    def write(self, text: str) -> int:
        return len(text) if text.startswith(STORAGE_FAILS) else self._target.write(text)

    def flush(self) -> None:
        self._target.flush()


class _Listener:
    """Turns Dagster's events into outcomes, as they happen."""

    def __init__(self, settings: Settings, on_step: Callable[[StepOutcome], None] | None) -> None:
        self._settings, self._on_step = settings, on_step
        self._since: dict[str, float] = {}
        self._planned: Counter[str] = Counter()
        self._made: Counter[str] = Counter()
        self.outcomes: dict[str, StepOutcome] = {}
        self.failed_checks: list[FailedCheck] = []
        self.checks = 0
        self.metadata: dict[str, dict[str, object]] = {}

    def __call__(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            return
        if event.event_type in STATES and event.step_key:
            self._step(event.step_key, STATES[event.event_type], event)
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._check(event)
        elif event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED and event.step_key:
            self._planned[event.step_key] += 1
        elif event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key is not None:
            self._table(event.step_key)
            materialization = event.step_materialization_data.materialization
            self.metadata[event.asset_key.to_user_string()] = {
                name: value.value for name, value in materialization.metadata.items()
            }

    def _step(self, name: str, state: str, event: dg.DagsterEvent) -> None:
        now = time.monotonic()
        self._since.setdefault(name, now)
        error = failures.completed(reason_of(event), self._settings) if state == FAILED else None
        outcome = StepOutcome(name, state, now - self._since[name], error)
        self.outcomes[name] = outcome
        if self._on_step:
            self._on_step(outcome)

    def _table(self, step: str | None) -> None:
        if step and self._on_step and self._planned[step] > 1:
            self._made[step] += 1
            so_far = time.monotonic() - self._since.get(step, time.monotonic())
            self._on_step(StepOutcome(step, GOING, so_far, made=self._made[step], planned=self._planned[step]))

    def _check(self, event: dg.DagsterEvent) -> None:
        self.checks += 1
        found = event.asset_check_evaluation_data
        if not found.passed:
            name, asset = found.check_name, found.asset_key.to_user_string()
            self.failed_checks.append(
                FailedCheck(asset, name, found.severity.value, found.description or "", bool(found.blocking))
            )
