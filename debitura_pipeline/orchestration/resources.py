"""The one resource that assets and checks share: checked settings, the API, the warehouse, and the right to write.

Belongs here: how a step gets at them. Does not: what it does with them. Nothing of it is Dagster configuration, so no key can
reach a run's config, the UI or the event log. Whatever is opened is closed before the step ends. A run that writes has data
directory and warehouse to itself from its first step to its last; where another run has them, it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.api.outage import OutagePolicy
from debitura_pipeline.extract.reader import ReadProgress
from debitura_pipeline.orchestration.instance import mark_run
from debitura_pipeline.orchestration.jobs import FRESHNESS, NIGHTLY
from debitura_pipeline.orchestration.keys import LISTING
from debitura_pipeline.orchestration.nights import DAGSTER, failure_to_start_noted
from debitura_pipeline.orchestration.outcome import is_night, outcome_of, recorded
from debitura_pipeline.orchestration.waiting import watched_pools
from debitura_pipeline.settings import Endpoint, Settings, load_settings
from debitura_pipeline.sync import SyncReport
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.run_lock import LockWait, exclusive_run

# For a run that nobody watches: longer than a night takes, short enough that the morning's check sees a failure.
PATIENCE_S = 3 * 3600.0


@dataclass
class Active:
    """A run inside this process: its settings, who wants to know of progress and of waiting, the sync reports as they come."""

    settings: Settings
    progress: Callable[[ReadProgress], None] | None = None
    tell: Callable[[str], None] | None = None
    reports: list[SyncReport] = field(default_factory=list)


# Set around a run inside this process (`debitura nightly`); empty in the daemon's processes.
_ACTIVE: ContextVar[Active | None] = ContextVar("debitura_active", default=None)


@contextmanager
def active(
    settings: Settings,
    progress: Callable[[ReadProgress], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Active]:
    """Let runs of this process use `settings` (else: the environment), report progress and keep their sync reports."""
    chosen = Active(settings, progress, tell)
    token = _ACTIVE.set(chosen)
    try:
        yield chosen
    finally:
        _ACTIVE.reset(token)


class Debitura(dg.ConfigurableResource[Any]):
    """Settings, API and warehouse of one run, or of one tick of a sensor. Dagster makes a copy of its own for each."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Debitura]:
        instance, run = context.instance, context.run
        if instance is None or run is None:  # a sensor's tick
            yield self
            return
        mark_run(instance, run.run_id)
        chosen = _ACTIVE.get()
        tell = (chosen and chosen.tell) or (context.log.info if context.log else _to_nobody)
        with ExitStack() as stack:
            is_own_night = chosen is None and run.job_name == NIGHTLY and is_night(run)
            if _writes(run):
                purpose = f"{run.job_name.strip('_').lower()} (Dagster run {run.run_id[:8]})"
                with failure_to_start_noted(self.settings, run.run_id) if is_own_night else nullcontext():
                    stack.enter_context(exclusive_run(self.settings, purpose, LockWait(PATIENCE_S, tell)))
            if is_own_night:
                outcomes = stack.enter_context(recorded(self.settings, run.run_id, DAGSTER))
                stack.callback(lambda: outcomes.append(outcome_of(instance, run.run_id)))
            stack.enter_context(watched_pools(instance, run.run_id, tell))
            yield self

    @property
    def settings(self) -> Settings:
        """Those of the run inside this process, else the environment's. Raises SettingsError."""
        chosen = _ACTIVE.get()
        return chosen.settings if chosen else self.own_settings

    @cached_property
    def own_settings(self) -> Settings:
        """The environment's and `.env`'s, read at the first access. Raises SettingsError."""
        return load_settings()

    @property
    def progress(self) -> Callable[[ReadProgress], None] | None:
        chosen = _ACTIVE.get()
        return chosen.progress if chosen else None

    def keep(self, report: SyncReport) -> None:
        """Hand a sync's report to whoever started the run in this process."""
        chosen = _ACTIVE.get()
        if chosen:
            chosen.reports.append(report)

    def outages(self, job: str, log: Callable[[str], None]) -> OutagePolicy | None:
        """How long a step of `job` waits for an API that does not answer: only the night does. The embedded sandbox is not
        waited for; the next step starts another one. `log` is told where nobody else listens."""
        minutes = self.settings.outage_minutes
        if job != NIGHTLY or minutes == 0 or self.settings.uses_embedded_sandbox:
            return None
        chosen = _ACTIVE.get()
        return OutagePolicy(minutes * 60.0, (chosen and chosen.tell) or log)

    def endpoint(self) -> AbstractContextManager[Endpoint]:
        return open_endpoint(self.settings)

    def warehouse(self) -> AbstractContextManager[Warehouse]:
        """Read-only, for checks."""
        return open_warehouse(self.settings, read_only=True)


def _writes(run: dg.DagsterRun) -> bool:
    """Whether any step of the run writes: all do but checks, and the observation of the API's listings."""
    if run.job_name == FRESHNESS:
        return False
    if run.asset_selection is None and run.asset_check_selection is None:
        return True
    return bool(set(run.asset_selection or ()) - set(LISTING.values()))


def _to_nobody(_: str) -> None:
    """For whom there is no log."""
