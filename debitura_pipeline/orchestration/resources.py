"""The one resource that assets and checks share: checked settings, the API, the warehouse.

Belongs here: how a step gets at them. Does not: what it does with them. Nothing of it is Dagster configuration, so no
key can reach a run's config, the UI or the event log. Whatever is opened is closed before the step ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from debitura_pipeline.extract.read import Progress
from debitura_pipeline.orchestration.endpoint import connect
from debitura_pipeline.orchestration.instance import mark_run
from debitura_pipeline.settings import Endpoint, Settings, load_settings
from debitura_pipeline.sync import SyncReport
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.open import open_warehouse


@dataclass
class Active:
    """A run inside this process: its settings, who wants to know of progress, and the sync reports as they come."""

    settings: Settings
    progress: Callable[[Progress], None] | None = None
    reports: list[SyncReport] = field(default_factory=list)


# Set around a run inside this process (`debitura nightly`); empty in the daemon's processes.
_ACTIVE: ContextVar[Active | None] = ContextVar("debitura_active", default=None)


@contextmanager
def active(settings: Settings, progress: Callable[[Progress], None] | None = None) -> Iterator[Active]:
    """Let runs of this process use `settings` (else: the environment), report progress and keep their sync reports."""
    chosen = Active(settings, progress)
    token = _ACTIVE.set(chosen)
    try:
        yield chosen
    finally:
        _ACTIVE.reset(token)


class Debitura(dg.ConfigurableResource[Any]):
    """Settings, API and warehouse of one run."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        if context.instance is not None and context.run is not None:
            mark_run(context.instance, context.run.run_id)

    @property
    def settings(self) -> Settings:
        chosen = _ACTIVE.get()
        return chosen.settings if chosen else load_settings()

    @property
    def progress(self) -> Callable[[Progress], None] | None:
        chosen = _ACTIVE.get()
        return chosen.progress if chosen else None

    def keep(self, report: SyncReport) -> None:
        """Hand a sync's report to whoever started the run in this process."""
        chosen = _ACTIVE.get()
        if chosen:
            chosen.reports.append(report)

    def endpoint(self) -> AbstractContextManager[Endpoint]:
        return connect(self.settings)

    def warehouse(self) -> AbstractContextManager[Warehouse]:
        """Read-only, for checks."""
        return open_warehouse(self.settings, read_only=True)
