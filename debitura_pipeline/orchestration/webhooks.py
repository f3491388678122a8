"""Execute the step of webhook events: handle waiting events, check the subscriptions, sweep a gap.

In a nightly run, no failure of it stops the run, which reads everything anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import dagster as dg

from debitura_pipeline.errors import ApiError, DebituraError
from debitura_pipeline.incidents.webhook_facts import note_off
from debitura_pipeline.onboarding import steps
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.lifecycle import LOADED, MUST_SIGN_AGAIN
from debitura_pipeline.onboarding.milestones import update_from_raw
from debitura_pipeline.onboarding.reading import read_tenants
from debitura_pipeline.orchestration.coverage import MAX_ADDED, add_registered, coverage_events
from debitura_pipeline.orchestration.jobs import NIGHTLY
from debitura_pipeline.orchestration.keys import ONBOARDING, WEBHOOK_EVENTS
from debitura_pipeline.orchestration.metadata import onboarding_metadata
from debitura_pipeline.orchestration.observations import sync_events
from debitura_pipeline.orchestration.partner_view import Instance
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync import SyncReport
from debitura_pipeline.sync.merge import storable_message
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.webhooks.events import select_in
from debitura_pipeline.webhooks.position import InboxState, inbox_state, last_event_at
from debitura_pipeline.webhooks.refresh import RefreshResult, refresh, sweep
from debitura_pipeline.webhooks.subscriptions import SubscriptionChanges, list_subscriptions
from debitura_pipeline.webhooks.watch import (
    SubscriptionOff,
    describe_subscriptions,
    overdue_since,
    switched_off,
    uses_webhooks,
)

HANDLED, SUBSCRIPTIONS = "handled_within_an_hour", "subscriptions_are_on"
UNUSED = "Webhooks are not in use"


@dataclass
class WebhookRun:
    """One run of the step. `is_sweep_wanted`: a subscription was off, so events may be missing."""

    context: dg.AssetExecutionContext
    debitura: Debitura
    is_sweep_wanted: bool = False
    enabled: list[str] = field(default_factory=list)

    def run(self) -> dg.MaterializeResult[None]:
        """Handle events and subscriptions. Raises DebituraError, unless the run is a nightly one."""
        try:
            return self._run()
        except Exception as error:
            if not self._is_night:
                raise
            text = (
                f"Webhooks were left out of the nightly run, which reads everything itself: {storable_message(error)}"
            )
            self.context.log.warning(text)
            failed = [_check_result(name, text, is_passed=False) for name in (HANDLED, SUBSCRIPTIONS)]
            return dg.MaterializeResult(check_results=failed)

    def _run(self) -> dg.MaterializeResult[None]:
        settings = self.debitura.settings
        if not uses_webhooks(settings, inbox_state(settings.data_dir)) and not self.is_sweep_wanted:
            return self._result(RefreshResult(), _unused())
        check_identity(settings)
        with self.debitura.endpoint() as endpoint:
            found = self._refresh(settings, endpoint)
            checked = self._look(settings, endpoint)
            if not self._is_night and (self.enabled or self.is_sweep_wanted):
                self._log_reports(sweep(settings, endpoint))
        return self._result(found, checked)

    def _refresh(self, settings: Settings, endpoint: Endpoint) -> RefreshResult:
        try:
            found = refresh(settings, endpoint, self.context.run_id)
        except DebituraError as error:
            if not self._is_night:
                raise
            self.context.log.warning(f"Webhook events were left to the nightly run itself: {error}")
            return RefreshResult()
        self._log_reports(found.reports)
        if found.clients and not self._is_night:
            self._check_signatures(settings, endpoint, found.clients)
            self._check_agreements(settings)
            self._add_unknown(settings, endpoint, found.clients)
        return found

    def _check_signatures(self, settings: Settings, endpoint: Endpoint, tenants: Sequence[str]) -> None:
        """Check clients that are being onboarded now, so that the sensor `new_clients` need not wait for its next look."""
        with self.debitura.warehouse() as warehouse:
            refs = [ClientRef(*row) for row in select_in(warehouse, _BEING_ONBOARDED, tenants)]
        try:
            statuses = steps.check_status(settings, endpoint, refs) if refs else {}
        except ApiError as error:
            self.context.log.warning(f"Signatures of {len(refs)} clients could not be checked: {error}")
            return
        for ref, status in statuses.items():
            if not isinstance(status, ApiError):
                metadata = onboarding_metadata(status.facts())
                self._log(dg.AssetMaterialization(ONBOARDING["status"], partition=ref.key, metadata=metadata))

    def _check_agreements(self, settings: Settings) -> None:
        """Tell the sensors of loaded clients that must sign again, or have done so: their records were read just now."""
        with open_warehouse(settings) as warehouse:
            changed = update_from_raw(warehouse)
        for ref, state in changed.items():
            metadata = onboarding_metadata({"state": state})
            self._log(dg.AssetMaterialization(ONBOARDING["status"], partition=ref.key, metadata=metadata))
        if changed:
            self._log(*coverage_events(settings, self._state))

    def _add_unknown(self, settings: Settings, endpoint: Endpoint, tenants: Sequence[str]) -> None:
        """Add partitions for clients that were never seen, so that the sensor `new_clients` finds them on whatever page."""
        with self.debitura.warehouse() as warehouse:
            known = {tenant for (tenant,) in select_in(warehouse, _SEEN, tenants)}
        unknown = [tenant for tenant in tenants if tenant not in known][:MAX_ADDED]
        try:
            listed = read_tenants(settings, endpoint, unknown) if unknown else []
        except ApiError as error:
            self.context.log.warning(f"{len(unknown)} new clients are left to the sensor new_clients: {error}")
            return
        add_registered(self._state, [client.key for client in listed])

    def _look(self, settings: Settings, endpoint: Endpoint) -> dg.AssetCheckResult:
        """Check the subscriptions, and enable again what the API has switched off, if DEBITURA_WRITES allows it."""
        try:
            found = list_subscriptions(settings, endpoint)
            off = switched_off(found, last_event_at(settings.data_dir))
        except DebituraError as error:
            text = f"The webhook subscriptions could not be checked: {error}"
            return _check_result(SUBSCRIPTIONS, text, is_passed=False)
        self.enabled, failed = switch_on(settings, endpoint, off)
        note_off(settings.data_dir, [one for one in off if one.id not in self.enabled])
        description = describe_subscriptions(off, len(found))
        if self.enabled:
            description += f" Switched on again: {', '.join(self.enabled)}."
        if failed:
            description += f" Still off: {' '.join(failed)}"
        if off and "webhooks" not in settings.outbound.writes:
            description += " DEBITURA_WRITES does not name webhooks; `debitura webhooks enable ID` switches it on."
        return _check_result(SUBSCRIPTIONS, description, is_passed=not off)

    def _log_reports(self, reports: Sequence[SyncReport]) -> None:
        for report in reports:
            if self._is_night:
                self.debitura.collect(report)
            # Without a materialisation of the raw table, reports that show everything are not built again.
            has_changed = bool(report.inserted or report.changed or report.deleted)
            self._log(*sync_events(report, is_own=not has_changed))

    def _result(self, found: RefreshResult, checked: dg.AssetCheckResult) -> dg.MaterializeResult[None]:
        state = inbox_state(self.debitura.settings.data_dir)
        metadata = {
            "received": found.received,
            "handled": found.handled,
            "waiting": state.waiting,
            "requests": sum(report.requests for report in found.reports),
            "refused_as_stale": state.stale,
        }
        return dg.MaterializeResult(metadata=metadata, check_results=[handled_result(state), checked])

    def _log(self, *events: dg.AssetMaterialization | dg.AssetObservation) -> None:
        for event in events:
            self.context.log_event(self.debitura.placed(event))

    @property
    def _state(self) -> Instance:
        return self.debitura.state(self.context.instance)

    @cached_property
    def _is_night(self) -> bool:
        return self.context.run.job_name == NIGHTLY


def switch_on(settings: Settings, endpoint: Endpoint, off: Sequence[SubscriptionOff]) -> tuple[list[str], list[str]]:
    """Switch on what the API has switched off, if `webhooks` is in DEBITURA_WRITES: the ids that are on now, and one sentence for
    each that could not be switched on."""
    enabled: list[str] = []
    failed: list[str] = []
    if "webhooks" not in settings.outbound.writes:
        return enabled, failed
    changes = SubscriptionChanges(settings, endpoint)
    for one in off:
        try:
            enabled += [changes.enable(one.id).id] if one.is_automatic else []
        except DebituraError as error:
            failed.append(f"{one.id}: {error}")
    return enabled, failed


def handled_result(state: InboxState) -> dg.AssetCheckResult:
    """Whether every event had a run within an hour."""
    since = overdue_since(state, datetime.now(UTC))
    description = (
        f"{state.waiting} events wait, the first since {since:%Y-%m-%d %H:%M} UTC"
        if since
        else f"{state.waiting} events wait, none for an hour"
    )
    return dg.AssetCheckResult(
        passed=since is None, check_name=HANDLED, asset_key=WEBHOOK_EVENTS, severity=dg.AssetCheckSeverity.WARN,
        description=description, metadata={"waiting": state.waiting},
    )  # fmt: skip


def _unused() -> dg.AssetCheckResult:
    return _check_result(SUBSCRIPTIONS, UNUSED, is_passed=True)


def _check_result(name: str, description: str, *, is_passed: bool) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=is_passed, check_name=name, asset_key=WEBHOOK_EVENTS, severity=dg.AssetCheckSeverity.WARN,
        description=description,
    )  # fmt: skip


_SEEN = "SELECT external_tenant_id FROM ops.onboarding WHERE external_tenant_id IN ({keys})"
_BEING_ONBOARDED = (
    "SELECT external_tenant_id, creditor_id FROM ops.onboarding "
    f"WHERE state NOT IN ('{LOADED}', '{MUST_SIGN_AGAIN}') AND external_tenant_id IN ({{keys}})"
)
