"""Read only what is named: cases by id, and the records and transactions of some clients.

For events, which say where to look. What is read lands, is proven and is merged as in any sync of single clients; whole
listings are left to the other syncs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.errors import ApiError, UnprovenError
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.runner import with_session
from debitura_pipeline.sync.session import SyncSession
from debitura_pipeline.warehouse.run_lock import exclusive_run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Targets:
    """What to read: `cases` by id, `transactions` and `clients` by tenant id as stored. Their clients must be in `raw.clients`:
    a client is loaded with its whole history or not at all."""

    cases: tuple[str, ...] = ()
    transactions: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.cases or self.transactions or self.clients)


@dataclass(frozen=True)
class TargetedSync:
    """The result.

    `listed`: ids of the cases that were read and merged. `failed`: reasons by tenant of clients that could not be read.
    `refused`: reasons by resource that could not be read at all. `refused_cases`: ids of single cases. `deferred`: resources with
    an interrupted sync, which reads them when it is resumed.
    """

    reports: tuple[SyncReport, ...] = ()
    listed: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    refused_cases: frozenset[str] = frozenset()
    deferred: frozenset[str] = frozenset()


def sync_targets(
    settings: Settings, endpoint: Endpoint, targets: Targets, runtime: Runtime | None = None
) -> TargetedSync:
    """Read, prove and merge `targets`, with one merge per resource. Raises the DebituraError that concerns all of them."""

    async def work(session: SyncSession) -> TargetedSync:
        return await _Targeted(session, targets).run()

    with exclusive_run(settings, "refresh"):
        return asyncio.run(with_session(settings, endpoint, None, runtime or Runtime(), work))


@dataclass
class _Targeted:
    session: SyncSession
    targets: Targets
    reports: list[SyncReport] = field(default_factory=list)
    listed: frozenset[str] = frozenset()
    refused: dict[str, str] = field(default_factory=dict)
    refused_cases: frozenset[str] = frozenset()
    deferred: set[str] = field(default_factory=set)

    async def run(self) -> TargetedSync:
        wanted: Mapping[str, Sequence[str]] = vars(self.targets)
        for resource, keys in wanted.items():
            if keys:
                await self._resource(resource, keys)
        return TargetedSync(
            tuple(self.reports),
            self.listed,
            dict(self.session.failed),
            self.refused,
            self.refused_cases,
            frozenset(self.deferred),
        )

    async def _resource(self, resource: str, keys: Sequence[str]) -> None:
        """One refusal must hold up nothing else; what may succeed later is raised, so that all of it is tried again."""
        if self.session.is_interrupted(resource):
            self.deferred.add(resource)
            return
        try:
            if resource == "cases":
                await self._cases(keys)
            else:
                self.reports += await self.session.resources((resource,), tenants=keys)
        except (ApiError, UnprovenError) as error:
            if error.is_retryable:
                raise
            log.warning("%s could not be read: %s", resource, error)
            self.refused[resource] = str(error)

    async def _cases(self, keys: Sequence[str]) -> None:
        read = await self.session.cases_by_id(keys)
        self.reports += [read.report] if read.report is not None else []
        self.listed, self.refused_cases = read.listed, read.refused
