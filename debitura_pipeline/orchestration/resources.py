"""The resource that assets and checks share: settings, API, warehouse, and the run lock.

None of it is Dagster configuration, so no key can reach a run's config, the UI or the event log. A run that writes holds the locks
of data directory and warehouse from its first step to its last; it waits if another run holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.api.outage import OutagePolicy
from debitura_pipeline.extract.reader import ReadProgress
from debitura_pipeline.orchestration.beating import beating
from debitura_pipeline.orchestration.instance import mark_run
from debitura_pipeline.orchestration.jobs import FRESHNESS, NIGHTLY, ONBOARD, OUTBOUND, REFRESH, REFRESH_REPORTS
from debitura_pipeline.orchestration.keys import LISTING, PARTNER_TAG, SERVED
from debitura_pipeline.orchestration.nights import DAGSTER, failure_to_start_noted, note_failure
from debitura_pipeline.orchestration.outcome import is_night, outcome_of, recorded
from debitura_pipeline.orchestration.partner_view import Event, Instance, placed, view_of
from debitura_pipeline.orchestration.run_queue import partner_of
from debitura_pipeline.orchestration.telling import conclude_run
from debitura_pipeline.orchestration.waiting import watched_pools
from debitura_pipeline.settings import Endpoint, Settings, choose_partner, load_settings
from debitura_pipeline.sync import SyncReport
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.run_lock import LockWait, exclusive_run

# For unattended runs: longer than a nightly run takes, short enough to fail before the morning's check.
PATIENCE_S = 3 * 3600.0


@dataclass
class RunContext:
    """A run in this process. `progress`, `on_wait`: callbacks. `reports`: sync reports, in order of completion."""

    settings: Settings
    progress: Callable[[ReadProgress], None] | None = None
    on_wait: Callable[[str], None] | None = None
    reports: list[SyncReport] = field(default_factory=list)


# Jobs whose end may open or close incidents.
TOLD_JOBS = {NIGHTLY, ONBOARD, OUTBOUND, REFRESH, REFRESH_REPORTS}

# Set by `debitura nightly` around its run; unset in the daemon's processes.
_CURRENT: ContextVar[RunContext | None] = ContextVar("debitura_run_context", default=None)


@contextmanager
def run_context(
    settings: Settings,
    progress: Callable[[ReadProgress], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[RunContext]:
    """Make runs in this process use `settings` instead of the environment, call the callbacks and collect sync reports."""
    current = RunContext(settings, progress, on_wait)
    token = _CURRENT.set(current)
    try:
        yield current
    finally:
        _CURRENT.reset(token)


class Debitura(dg.ConfigurableResource[Any]):
    """Settings, API and warehouse of one run, or of one tick of a sensor. Dagster makes a copy of its own for each."""

    _partner: str | None = PrivateAttr(default=None)  # where the instance serves several

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Debitura]:
        """Hold the locks of a run that writes, and record a nightly run that the daemon started. Raises DebituraError.

        The process of a run that is tagged with a partner works for that partner from here on.
        """
        instance, run = context.instance, context.run
        if instance is None or run is None:  # a sensor's tick
            yield self
            return
        mark_run(instance, run.run_id)
        partner = partner_of(run.tags) if SERVED else run.tags.get(PARTNER_TAG)
        if partner is not None:  # before anything reads settings
            choose_partner(partner)
            self._partner = partner
        current = _CURRENT.get()
        on_wait = (current and current.on_wait) or (context.log.info if context.log else _discard)
        with ExitStack() as stack:
            stack.enter_context(
                beating(instance, run.run_id, on_over=lambda reason: note_failure(self.settings, run.run_id, reason))
            )
            since = datetime.now(UTC)
            if current is None and run.job_name in TOLD_JOBS:  # without the lock: deliveries may take minutes
                stack.callback(lambda: conclude_run(self.settings, since))
            is_own_night = current is None and run.job_name == NIGHTLY and is_night(run)
            if _writes(run):
                purpose = f"{run.job_name.strip('_').lower()} (Dagster run {run.run_id[:8]})"
                with failure_to_start_noted(self.settings, run.run_id) if is_own_night else nullcontext():
                    stack.enter_context(exclusive_run(self.settings, purpose, LockWait(PATIENCE_S, on_wait)))
            since = datetime.now(UTC)
            if is_own_night:
                outcomes = stack.enter_context(recorded(self.settings, run.run_id, DAGSTER))
                stack.callback(lambda: outcomes.append(outcome_of(instance, run.run_id)))
            stack.enter_context(watched_pools(instance, run.run_id, on_wait))
            yield self

    @property
    def settings(self) -> Settings:
        """The settings of a run in this process, else those of the environment. Raises SettingsError."""
        current = _CURRENT.get()
        return current.settings if current else self.own_settings

    @cached_property
    def own_settings(self) -> Settings:
        """The settings of the environment and `.env`, read at the first access. Raises SettingsError."""
        return load_settings()

    def state(self, instance: dg.DagsterInstance) -> Instance:
        """Dagster's state as far as it is that of the run's partner."""
        return view_of(instance, self._partner)

    def placed(self, event: Event) -> Event:
        """An event in the partition of the run's partner, where there are several."""
        return placed(event, self._partner)

    @property
    def progress(self) -> Callable[[ReadProgress], None] | None:
        """The callback for progress, if the run was started in this process with one."""
        current = _CURRENT.get()
        return current.progress if current else None

    def collect(self, report: SyncReport) -> None:
        """Pass a sync's report to the caller that started the run in this process, if any."""
        current = _CURRENT.get()
        if current:
            current.reports.append(report)

    def outages(self, job: str, log: Callable[[str], None]) -> OutagePolicy | None:
        """How long a step of `job` waits for an API that is down; None if it does not.

        Only nightly runs wait. The embedded sandbox is not waited for, because the next step restarts it. `log`: called with
        messages if the run has no `on_wait`.
        """
        minutes = self.settings.outage_minutes
        if job != NIGHTLY or minutes == 0 or self.settings.uses_embedded_sandbox:
            return None
        current = _CURRENT.get()
        return OutagePolicy(minutes * 60.0, (current and current.on_wait) or log)

    def endpoint(self) -> AbstractContextManager[Endpoint]:
        """The API; starts the embedded sandbox if it is used. Raises DebituraError."""
        return open_endpoint(self.settings)

    def warehouse(self) -> AbstractContextManager[Warehouse]:
        """The warehouse, read-only, for checks. Raises WarehouseError."""
        return open_warehouse(self.settings, read_only=True)


def _writes(run: dg.DagsterRun) -> bool:
    """Whether any step of the run writes. Checks and observations of the API's listings do not."""
    if run.job_name == FRESHNESS:
        return False
    if not run.asset_selection and not run.asset_check_selection:  # the whole job
        return True
    return bool(set(run.asset_selection or ()) - set(LISTING.values()))


def _discard(_: str) -> None:
    """Used if there is no log."""
