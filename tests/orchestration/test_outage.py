"""A night whose API goes away in the middle and comes back, and who waits for it: the night alone."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from debitura_pipeline.api import client, outage
from debitura_pipeline.orchestration.jobs import FRESHNESS, NIGHTLY, ONBOARD
from debitura_pipeline.orchestration.nightly import StepOutcome, run_job
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.warehouse import checks
from tests.orchestration.conftest import Pointed
from tests.support.sandbox import RunningSandbox, start_sandbox

WORLD = {"clients": 3, "cases": 60, "transactions": 120, "seed": 11, "no_rate_limit": True}


def test_a_night_goes_on_when_the_api_is_back_and_is_proven(point_at: Pointed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API is gone before the cases are read, and its process is another one when it comes back."""
    monkeypatch.setattr(client, "FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr(outage, "MIN_PAUSE_S", 0.01)
    running = [start_sandbox(**WORLD)]
    settings, told = point_at(running[0]), list[str]()
    port = urlsplit(running[0].url).port

    def step(outcome: StepOutcome) -> None:
        if (outcome.name, outcome.state) == ("raw__clients", "done"):
            running[0].stop()

    def tell(text: str) -> None:
        told.append(text)
        if len(told) == 3:
            running.append(start_sandbox(**WORLD, port=port))

    enough = checks.CheckResult(False, "far enough for this test")
    monkeypatch.setattr(checks, "control_totals", lambda resource, rows: enough)
    try:
        result = run_job(settings, on_step=step, on_wait=tell)
        truth = {resource: len(running[-1].truth(resource)) for resource in ("clients", "cases", "transactions")}
    finally:
        for sandbox in running:
            sandbox.stop()
    assert len(running) == 2
    assert told[0].startswith("The API has not answered since ")
    assert f"nothing is listening at 127.0.0.1:{port}" in told[0]
    assert told[-1].startswith("The API answers again")
    assert {report.resource: report.inserted for report in result.reports} == truth
    assert [report.verdict for report in result.reports] == ["equal"] * 3
    states = {outcome.name: outcome.state for outcome in result.steps}
    assert states["raw__transactions"] == "done"


def test_only_the_night_waits_and_only_for_an_api_with_an_address(
    shared_sandbox: RunningSandbox, point_at: Pointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(shared_sandbox)
    debitura, told = Debitura(), list[str]()
    policy = debitura.outages(NIGHTLY, told.append)
    assert policy is not None
    policy.report("down")
    assert (policy.max_wait_s, told) == (1800.0, ["down"])
    assert [debitura.outages(job, told.append) for job in (ONBOARD, FRESHNESS, "__ASSET_JOB")] == [None] * 3
    monkeypatch.setenv("DEBITURA_OUTAGE_MINUTES", "0")
    assert Debitura().outages(NIGHTLY, told.append) is None
    monkeypatch.setenv("DEBITURA_OUTAGE_MINUTES", "720")
    for name in ("DEBITURA_API_URL", "DEBITURA_API_KEY"):
        monkeypatch.delenv(name)
    assert Debitura().outages(NIGHTLY, told.append) is None
