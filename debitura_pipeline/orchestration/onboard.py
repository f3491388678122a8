"""One onboarding run: up to fifty clients, each with an outcome of its own in Dagster's event log.

Belongs here: the order of the steps and what is reported of each client. Does not: the steps (`onboarding/steps.py`), who is
run (`onboarding/lifecycle.py`). Events are logged by partition: Dagster gives a run one partition or a range of them, and
clients that are due together are neither.
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
from debitura_pipeline.onboarding.coverage import note_covered, untried
from debitura_pipeline.onboarding.lifecycle import LOADED, SIGNED, Client, Progress
from debitura_pipeline.orchestration.coverage import access_event, coverage_events
from debitura_pipeline.orchestration.keys import ONBOARDING
from debitura_pipeline.orchestration.metadata import onboarding_metadata
from debitura_pipeline.orchestration.progress import SETTLED_TAG, read_progress
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.sync_events import onboarding_event, sync_events
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync import ClientsSync, WantedClient, sync_clients
from debitura_pipeline.warehouse.identity import check_identity

ACCESS_TRIES = 500  # of a run that tries access alone: two requests each
NAMED = 3


class OnboardingError(DebituraError):
    """None of a run's clients could be onboarded."""


@dataclass
class OnboardingRun:
    """`due`: number of clients waiting, those of this run included. `is_asked_for`: a person started the run from the UI."""

    context: dg.AssetExecutionContext
    settings: Settings
    endpoint: Endpoint
    due: int = 0
    is_asked_for: bool = False
    failures: dict[str, str] = field(default_factory=dict)
    synced: ClientsSync | None = None

    def run(self, keys: Sequence[str]) -> None:
        """Status, access and history of these clients. Raises OnboardingError where each of them failed.

        Those whose history came with a reading of everything meanwhile are not read again, unless `is_asked_for`.
        """
        covered = set() if self.is_asked_for else set(note_covered(self.settings).loaded)
        for key in (key for key in keys if key in covered):
            self._loaded(key, {"state": LOADED, "remark": "read with everything else"})
        signed = self._status([key for key in keys if key not in covered])
        self._history(self._access(signed))
        if self.synced is not None and self.synced.is_whole:
            self._log(*coverage_events(self.settings, self.context.instance, is_proof_wanted=False))
        else:
            self._log(access_event(self.settings))
        self._log(onboarding_event(len(keys)))
        self._settle(keys)

    def _status(self, keys: Sequence[str]) -> dict[str, Client]:
        """The signed ones; of the others there is nothing more to do."""
        signed: dict[str, Client] = {}
        for key, status in (steps.check_status(self.settings, self.endpoint, keys) if keys else {}).items():
            if isinstance(status, ApiError):
                self._failed(key, None, str(status))
            elif status.state == SIGNED and status.client is not None:
                signed[key] = status.client
            else:
                self._report("status", key, status.facts())
        return signed

    def _access(self, signed: dict[str, Client]) -> list[Client]:
        found = steps.check_access(self.settings, self.endpoint, list(signed)) if signed else {}
        for key, access in found.items():
            if isinstance(access, ApiError):
                self._failed(key, SIGNED, str(access))
            else:
                self._report("access", key, access)
        return [client for key, client in signed.items() if key not in self.failures]

    def _history(self, clients: Sequence[Client]) -> None:
        if not clients:
            return
        for key, outcome in steps.load_histories(self.settings, clients, self._load).items():
            if isinstance(outcome, str):
                self._failed(key, SIGNED, outcome)
            else:
                self._loaded(key, outcome)

    def _load(self, clients: Sequence[Client]) -> tuple[datetime, dict[str, str]]:
        wanted = [WantedClient(client.tenant, client.cases) for client in clients]
        self.synced = found = sync_clients(self.settings, self.endpoint, wanted, self.due)
        for report in found.reports:
            self._log(*sync_events(report, is_own=False))
        return max(report.finished_at for report in found.reports), dict(found.failed)

    def _loaded(self, key: str, facts: steps.Facts) -> None:
        if self.synced is not None:
            reports = self.synced.reports
            facts = facts | {
                "is_proven": all(report.is_proven for report in reports),
                "requests_of_the_run": sum(report.requests for report in reports),
            }
        self._report("history", key, facts)
        self._report("status", key, {"state": LOADED})

    def _failed(self, key: str, state: str | None, reason: str) -> None:
        self.failures[key] = reason
        before = self._before.get(key)
        count = 1 + (before.failures if before else 0)
        self._report("status", key, {"state": state, "failures": count, "message": reason})
        self.context.log.warning(f"{key}: {reason}")

    @cached_property
    def _before(self) -> dict[str, Progress]:
        return read_progress(self.context.instance, datetime.now(UTC))

    def _report(self, step: str, key: str, facts: dict[str, Any]) -> None:
        self._log(dg.AssetMaterialization(ONBOARDING[step], partition=key, metadata=onboarding_metadata(facts)))

    def _log(self, *events: dg.AssetMaterialization | dg.AssetObservation) -> None:
        for event in events:
            self.context.log_event(event)

    def _settle(self, keys: Sequence[str]) -> None:
        """One that failed holds up no other, so the run fails only where all did."""
        if not self.failures or len(self.failures) < len(keys):
            return
        self.context.instance.add_run_tags(self.context.run_id, {SETTLED_TAG: "yes"})
        named = "; ".join(f"{key}: {reason}" for key, reason in list(self.failures.items())[:NAMED])
        more = f"; and {len(self.failures) - NAMED} more" if len(self.failures) > NAMED else ""
        raise OnboardingError(f"No client of this run could be onboarded. {named}{more}")


def onboard(context: dg.AssetExecutionContext, debitura: Debitura, clients: Sequence[str], due: int) -> None:
    """The step of an onboarding run: `clients` (partition keys), or the partitions that somebody chose in the UI; with neither,
    the access of clients that were loaded without a run of their own."""
    settings = debitura.settings
    check_identity(settings)
    is_asked_for = context.has_partition_key or context.has_partition_key_range
    keys = list(context.partition_keys if is_asked_for else clients)
    with debitura.endpoint() as endpoint:
        run = OnboardingRun(context, settings, endpoint, due, is_asked_for)
        if keys:
            run.run(keys)
        else:
            _try_access(run)


def _try_access(run: OnboardingRun) -> None:
    keys, left = untried(run.settings, ACCESS_TRIES)
    found = steps.check_access(run.settings, run.endpoint, keys) if keys else {}
    for key, access in found.items():
        if isinstance(access, ApiError):
            run.context.log.warning(f"{key}: {access}")
    run.context.log.info(f"access of {len(keys)} of {left} clients was tried")
    run.context.log_event(access_event(run.settings))
