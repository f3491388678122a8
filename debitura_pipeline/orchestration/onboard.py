"""Execute an onboarding run: up to fifty clients, each with its own outcome in Dagster's event log.

Events are logged per partition by hand, because a Dagster run has one partition or a contiguous range. The steps are in
`onboarding/steps.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dagster as dg

from debitura_pipeline.errors import ApiError, DebituraError
from debitura_pipeline.onboarding import steps
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.coverage import record_covered, untried
from debitura_pipeline.onboarding.lifecycle import LOADED, SIGNED, Client, OnboardingProgress
from debitura_pipeline.orchestration.coverage import access_event, coverage_events
from debitura_pipeline.orchestration.keys import ONBOARDING
from debitura_pipeline.orchestration.metadata import onboarding_metadata
from debitura_pipeline.orchestration.observations import onboarding_event, sync_events
from debitura_pipeline.orchestration.partner_view import Instance, client_key
from debitura_pipeline.orchestration.progress import SETTLED_TAG, read_progress
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync import ClientsSync, WantedClient, sync_clients
from debitura_pipeline.warehouse.identity import check_identity

MAX_ACCESS_CHECKS = 500  # per run that only checks access, two requests each
MAX_NAMED = 3


class OnboardingError(DebituraError):
    """None of a run's clients could be onboarded."""


@dataclass
class OnboardingRun:
    """`due`: number of clients waiting, including those of this run. `is_manual`: a user started the run in the UI."""

    context: dg.AssetExecutionContext
    settings: Settings
    endpoint: Endpoint
    due: int = 0
    is_manual: bool = False
    failures: dict[ClientRef, str] = field(default_factory=dict)
    debitura: Debitura = field(default_factory=Debitura)
    synced: ClientsSync | None = None

    def run(self, refs: Sequence[ClientRef]) -> None:
        """Run status, access and history for these clients.

        Clients that a full sync has loaded in the meantime are skipped, unless `is_manual`. Raises OnboardingError if all
        clients failed, ApiError and WarehouseError.
        """
        covered = set() if self.is_manual else set(record_covered(self.settings).loaded)
        for ref in (ref for ref in refs if ref.key in covered):
            self._loaded(ref, {"state": LOADED, "remark": "loaded by a full sync"})
        signed = self._status([ref for ref in refs if ref.key not in covered])
        self._history(self._access(signed))
        if self.synced is not None and self.synced.is_whole:
            self._log(*coverage_events(self.settings, self._state, is_proof_wanted=False))
        else:
            self._log(access_event(self.settings))
        self._log(onboarding_event(len(refs)))
        self._settle(refs)

    def _status(self, refs: Sequence[ClientRef]) -> dict[ClientRef, Client]:
        """The clients that have signed."""
        signed: dict[ClientRef, Client] = {}
        for ref, status in (steps.check_status(self.settings, self.endpoint, refs) if refs else {}).items():
            if isinstance(status, ApiError):
                self._failed(ref, None, str(status))
            elif status.state == SIGNED and status.client is not None:
                signed[ref] = status.client
            else:
                self._report("status", ref, status.facts())
        return signed

    def _access(self, signed: dict[ClientRef, Client]) -> list[Client]:
        found = steps.check_access(self.settings, self.endpoint, list(signed)) if signed else {}
        for ref, access in found.items():
            if isinstance(access, ApiError):
                self._failed(ref, SIGNED, str(access))
            else:
                self._report("access", ref, access)
        return [client for ref, client in signed.items() if ref not in self.failures]

    def _history(self, clients: Sequence[Client]) -> None:
        if not clients:
            return
        for ref, outcome in steps.load_histories(self.settings, clients, self._load).items():
            if isinstance(outcome, str):
                self._failed(ref, SIGNED, outcome)
            else:
                self._loaded(ref, outcome)

    def _load(self, clients: Sequence[Client]) -> tuple[datetime, dict[str, str]]:
        wanted = [WantedClient(client.tenant, client.cases) for client in clients]
        self.synced = found = sync_clients(self.settings, self.endpoint, wanted, self.due)
        for report in found.reports:
            self._log(*sync_events(report, is_own=False))
        return max(report.finished_at for report in found.reports), dict(found.failed)

    def _loaded(self, ref: ClientRef, facts: steps.Facts) -> None:
        if self.synced is not None:
            reports = self.synced.reports
            facts = facts | {
                "is_proven": all(report.is_proven for report in reports),
                "requests_of_the_run": sum(report.requests for report in reports),
            }
        self._report("history", ref, facts)
        self._report("status", ref, {"state": LOADED})

    def _failed(self, ref: ClientRef, state: str | None, reason: str) -> None:
        self.failures[ref] = reason
        before = self._before.get(ref.key)
        count = 1 + (before.failures if before else 0)
        self._report("status", ref, {"state": state, "failures": count, "message": reason})
        self.context.log.warning(f"{ref.key}: {reason}")

    @cached_property
    def _before(self) -> dict[str, OnboardingProgress]:
        return read_progress(self._state, datetime.now(UTC))

    def _report(self, step: str, ref: ClientRef, facts: dict[str, Any]) -> None:
        self._log(dg.AssetMaterialization(ONBOARDING[step], partition=ref.key, metadata=onboarding_metadata(facts)))

    def _log(self, *events: dg.AssetMaterialization | dg.AssetObservation) -> None:
        for event in events:
            self.context.log_event(self.debitura.placed(event))

    @property
    def _state(self) -> Instance:
        return self.debitura.state(self.context.instance)

    def _settle(self, refs: Sequence[ClientRef]) -> None:
        """Fail the run only if all clients failed: one failure must not hold up the others."""
        if not self.failures or len(self.failures) < len(refs):
            return
        self.context.instance.add_run_tags(self.context.run_id, {SETTLED_TAG: "yes"})
        named = "; ".join(f"{ref.key}: {reason}" for ref, reason in list(self.failures.items())[:MAX_NAMED])
        more = f"; and {len(self.failures) - MAX_NAMED} more" if len(self.failures) > MAX_NAMED else ""
        raise OnboardingError(f"No client of this run could be onboarded. {named}{more}")


def onboard(context: dg.AssetExecutionContext, debitura: Debitura, clients: Sequence[str], due: int) -> None:
    """Execute the step of an onboarding run.

    `clients`: partition keys. Partitions selected in the UI take precedence. With neither, check the access of clients that were
    loaded without a run of their own. Raises OnboardingError, ApiError, IdentityRefused and WarehouseError.
    """
    settings = debitura.settings
    check_identity(settings)
    is_manual = context.has_partition_key or context.has_partition_key_range
    refs = [ClientRef.parse(key) for key in (_chosen(context) if is_manual else clients)]
    with debitura.endpoint() as endpoint:
        run = OnboardingRun(context, settings, endpoint, due, is_manual, debitura=debitura)
        if refs:
            run.run(refs)
        else:
            _check_untried(run)


def _chosen(context: dg.AssetExecutionContext) -> list[str]:
    """The clients of the partitions that a user selected. Raises OnboardingError if they are of several partners."""
    partners = {partition.rpartition("/")[0] for partition in context.partition_keys}
    if len(partners) > 1:
        raise OnboardingError(f"A run can onboard clients of one partner only; select those of {min(partners)}.")
    return [client_key(partition) for partition in context.partition_keys]


def _check_untried(run: OnboardingRun) -> None:
    refs, left = untried(run.settings, MAX_ACCESS_CHECKS)
    found = steps.check_access(run.settings, run.endpoint, refs) if refs else {}
    for ref, access in found.items():
        if isinstance(access, ApiError):
            run.context.log.warning(f"{ref.key}: {access}")
    run.context.log.info(f"checked the access of {len(refs)} of {left} clients")
    run.context.log_event(run.debitura.placed(access_event(run.settings)))
