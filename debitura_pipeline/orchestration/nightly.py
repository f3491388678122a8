"""Run job `nightly` in this process and collect its outcome, for `debitura nightly`. Output is in `cli/nightly.py`.

The embedded sandbox, if used, is started and stopped with the run.
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
from debitura_pipeline.orchestration.liveness import run_locks
from debitura_pipeline.orchestration.manifest import require_dbt
from debitura_pipeline.orchestration.nights import COMMAND
from debitura_pipeline.orchestration.outcome import displayed_reason, outcome_of, recorded
from debitura_pipeline.orchestration.resources import run_context
from debitura_pipeline.orchestration.retention import purge_old_runs
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync import RESOURCES, SyncReport
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import private_umask
from debitura_pipeline.warehouse.run_lock import exclusive_run

# Imported by name, as workspace.yaml does: it belongs to a higher layer.
DEFINITIONS = "debitura_pipeline.definitions"
# Dagster would write every event to standard error; errors are in the result anyway.
SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SILENCED, SILENT_LEVEL = ("dagster", "sqlalchemy.pool"), logging.CRITICAL + 1
STORAGE_FAILS = "Exception while writing logger call"
# Values of StepOutcome.state.
STARTED, GOING, DONE, FAILED, SKIPPED = "started", "going", "done", "failed", "skipped"
STATES = {
    dg.DagsterEventType.STEP_START: STARTED,
    dg.DagsterEventType.STEP_SUCCESS: DONE,
    dg.DagsterEventType.STEP_FAILURE: FAILED,
    dg.DagsterEventType.STEP_SKIPPED: SKIPPED,
}


@dataclass(frozen=True)
class StepOutcome:
    """The state of one step. `made`, `planned`: its tables built and to be built. `error`: one line, if it failed."""

    name: str
    state: str
    duration_s: float = 0.0
    error: str | None = None
    made: int = 0
    planned: int = 0


@dataclass(frozen=True)
class FailedCheck:
    """An asset check that failed. `is_blocking`: downstream assets were not built."""

    asset: str
    name: str
    severity: str
    description: str
    is_blocking: bool


@dataclass(frozen=True)
class NightlyResult:
    """The run's outcome. `success`: all steps succeeded; failed checks that do not block do not count.

    `metadata`: values of the run's materialisations, by asset key and name.
    """

    run_id: str
    success: bool
    steps: tuple[StepOutcome, ...]
    reports: tuple[SyncReport, ...]
    failed_checks: tuple[FailedCheck, ...]
    checks: int
    metadata: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def error(self) -> str | None:
        """Why it failed, in one line; None if it did not fail."""
        return next((step.error or f"step {step.name} failed" for step in self.steps if step.state == FAILED), None)


def run_job(
    settings: Settings,
    *,
    advance_days: int = 0,
    on_step: Callable[[StepOutcome], None] | None = None,
    on_progress: Callable[[ReadProgress], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> NightlyResult:
    """Run the job once and wait for it.

    `on_step`: called at each step's start, tables and end. `on_progress`: called for pages read. `on_wait`: called with a line
    that says what a step waits for. Errors inside steps are part of the result. Raises DebituraError if the run cannot start:
    WarehouseBusy if another run is in progress, ManifestError, IdentityRefused, InstanceError.
    """
    require_dbt()  # otherwise the run would fail only after extraction
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
        run_locks(instance).hold(run_id)
        stack.callback(run_locks(instance).release_run, run_id)
        instance.add_event_listener(run_id, heard)
        run = stack.enter_context(run_context(settings, on_progress, on_wait))
        stack.enter_context(_silence())
        outcome = job.execute_in_process(run_config=SILENT, instance=instance, run_id=run_id, raise_on_error=False)
        if was_interrupted() and not outcome.success:  # Dagster catches the signal and reports a failure
            raise KeyboardInterrupt
        outcomes.append(outcome_of(instance, run_id))
        with suppress(Exception):  # retried by the next run; this run's result does not depend on it
            purge_old_runs(instance, settings, datetime.now(UTC))
    return NightlyResult(
        run_id=run_id,
        success=outcome.success,
        steps=tuple(heard.outcomes.values()),
        reports=tuple(sorted(run.reports, key=lambda report: RESOURCES.index(report.resource))),
        failed_checks=tuple(heard.failed_checks),
        checks=heard.checks,
        metadata=heard.metadata,
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress what Dagster and dagster-dbt, and the pool of Dagster's storage when it is interrupted, write to standard error."""
    before = {logger: logger.level for logger in map(logging.getLogger, SILENCED)}
    for logger in before:
        logger.setLevel(SILENT_LEVEL)
    try:
        with redirect_stderr(_WithoutDagster(sys.stderr)):
            yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


class _WithoutDagster(io.TextIOBase):
    """Standard error without the event and SQL that Dagster writes when its storage fails; the error is raised anyway."""

    def __init__(self, target: TextIO) -> None:
        self._target = target

    def write(self, text: str) -> int:
        return len(text) if text.startswith(STORAGE_FAILS) else self._target.write(text)

    def flush(self) -> None:
        self._target.flush()


class _Listener:
    """Converts Dagster's events to outcomes as they happen."""

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
        error = failures.completed(displayed_reason(event), self._settings) if state == FAILED else None
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
