"""Job `outbound` with claims, and the check that compares them with the cases that are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.jobs import OUTBOUND
from debitura_pipeline.submission.proof import check_submissions
from debitura_pipeline.warehouse.checks import CheckResult
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.submission.partner import Claims, claim, fault
from tests.support.leaks import find
from tests.support.sandbox import RunningSandbox


def test_claims_are_planned_then_submitted_then_proven(
    sandbox_factory: Callable[..., RunningSandbox],
    point_at: Callable[[RunningSandbox], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox = sandbox_factory(clients=2, cases=4, transactions=2)
    tenant = str(sandbox.get("/clients", {"OnboardingDone": "true"})["clients"][0]["externalTenantId"])
    partner = Claims(tmp_path, sandbox)
    monkeypatch.setenv("DEBITURA_CLAIMS", str(partner.source))
    point_at(sandbox)
    partner.wants(claim(tenant, 1), claim(tenant, 2))
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def run() -> set[str]:
            result = defs.resolve_job_def(OUTBOUND).execute_in_process(instance=instance)
            events = result.get_asset_materialization_events()
            return {event.asset_key.to_user_string() for event in events if event.asset_key}

        assert run() == {"submission/plan"} and partner.posts() == []
        monkeypatch.setenv("DEBITURA_WRITES", "cases")
        sandbox.faults(fault("status", nth=2))
        assert run() == {"submission/plan", "submission/cases"}
        plan = instance.get_latest_materialization_event(dg.AssetKey(["submission", "plan"]))
    assert plan is not None and plan.asset_materialization is not None
    facts = {name: value.value for name, value in plan.asset_materialization.metadata.items()}
    assert (facts["state_planned"], facts["amount_EUR"]) == (2, "2501.00") and "again_at" in facts
    assert not find(tmp_path, ["GmbH", "Klara Weiss", "eyJ"]).keys() - {"claims.csv"}


def test_proof_lists_what_is_missing_and_what_nobody_asked_for(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = sandbox_factory(clients=2, cases=4, transactions=2)
    tenant = str(sandbox.get("/clients", {"OnboardingDone": "true"})["clients"][0]["externalTenantId"])
    partner = Claims(tmp_path / "data", sandbox)
    partner.wants(claim(tenant, 1), claim(tenant, 2))
    partner.sync("clients", "cases")
    before = _verdict(partner)
    assert not before.passed and before.figures["missing"] == 2
    partner.apply()
    partner.sync("cases")
    assert _verdict(partner).passed
    partner.wants(claim(tenant, 1), claim("nobody", 3))
    partner.apply()
    after = _verdict(partner)
    assert after.passed and (after.figures["missing"], after.figures["not_in_source"]) == (0, 1)


def _verdict(partner: Claims) -> CheckResult:
    with open_warehouse(partner.settings, read_only=True) as warehouse:
        return check_submissions(partner.settings, warehouse)
