"""Clients that a night has loaded with everything else: no run of their own, and the truth in `ops.onboarding`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import dagster as dg
import pytest

from debitura_pipeline.onboarding.coverage import Coverage
from debitura_pipeline.orchestration.coverage import read_known
from debitura_pipeline.orchestration.keys import CLIENTS, RAW
from debitura_pipeline.orchestration.observations import last_whole_reading
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.orchestration.conftest import Pointed
from tests.orchestration.ticks import Ticks, add, states
from tests.support.sandbox import RunningSandbox


def test_what_a_night_has_loaded_needs_no_run(ticks: tuple[RunningSandbox, Ticks]) -> None:
    """Forty clients were loaded a second time, one after the other, after each first night."""
    sandbox, daemon = ticks
    keys = {add(sandbox, f"before-{number}") for number in range(3)}
    unsigned = add(sandbox, "late", signed=False)
    assert daemon.night().success
    found = states(daemon.settings)
    assert {found[key] for key in keys} == {"loaded"}
    assert unsigned not in found
    assert daemon.instance.get_dynamic_partitions(str(CLIENTS.name)) == [unsigned], (
        "whatever page of the listing it is on"
    )
    assert daemon.tick()[0] == [unsigned]
    new = add(sandbox, "after")
    assert daemon.tick()[0] == [new, unsigned]
    sandbox.admin("sign", {"tenant": "late"})
    assert daemon.run(new, unsigned).success
    assert daemon.tick() == ([], "6 onboarded, 0 pending")
    with open_warehouse(daemon.settings, read_only=True) as warehouse:
        counts = warehouse.rows(
            "SELECT cases_loaded, transactions_loaded, onboarding_done FROM ops.onboarding WHERE external_tenant_id LIKE 'before-%'"
        )
    assert counts == [(3, 4, True)] * 3
    assert last_whole_reading(daemon.instance, RAW["cases"]) is not None


def test_who_is_linked_while_the_night_reads_is_loaded_by_itself(ticks: tuple[RunningSandbox, Ticks]) -> None:
    """Its cases may be in, or some of them: the clients were listed before, so the night cannot vouch for it."""
    sandbox, daemon = ticks
    change = {"op": "add_client", "tenant": "between", "cases": 3, "transactions": 4}
    sandbox.faults({"kind": "change", "path": "/cases", "when": "before", "change": change})
    assert daemon.night().success
    asked, _ = daemon.tick()
    assert [key.partition("@")[0] for key in asked] == ["between"]


def test_access_of_covered_clients_is_tried_later_all_at_once(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    for number in range(3):
        add(sandbox, f"before-{number}")
    assert daemon.night().success
    assert read_known(daemon.instance).untried == 4
    assert daemon.tick(timedelta(minutes=59))[0] == []
    assert daemon.requests == []
    daemon.tick(timedelta(minutes=61))
    (request,) = daemon.requests
    assert request.tags["debitura/reason"] == "access of 4 clients was never tried"
    sandbox.faults({"kind": "status", "status": 404, "path": "/oauth/token", "times": 1})
    assert daemon.run().success
    with open_warehouse(daemon.settings, read_only=True) as warehouse:
        tried = warehouse.rows("SELECT access_ok, count(*) FROM ops.onboarding GROUP BY 1 ORDER BY 1")
    assert tried == [(False, 1), (True, 3)]
    assert read_known(daemon.instance).untried == 0
    assert daemon.tick(timedelta(hours=5)) == ([], "4 onboarded, 0 pending")
    assert daemon.requests == []


def test_a_run_that_waited_for_a_night_reads_nothing_twice(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    key = add(sandbox, "acme")
    asked, _ = daemon.tick()
    assert daemon.night().success
    assert daemon.run(*asked).success
    with open_warehouse(daemon.settings, read_only=True) as warehouse:
        assert warehouse.rows("SELECT count(*) FROM ops.syncs WHERE mode = 'client'") == [(0,)]
    assert states(daemon.settings)[key] == "loaded"


def test_a_coverage_reads_back_and_is_small() -> None:
    keys = [f"tenant-{number}@0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77" for number in range(5_000)]
    coverage = Coverage.of(keys)
    text = coverage.as_text()
    assert Coverage.from_text(text) == coverage
    assert len(text) == 60_000
    assert all(key in coverage for key in keys)
    assert "tenant-5000@x" not in coverage
    assert None not in coverage


def test_a_tick_asks_for_one_page_whoever_waits_on_the_others(
    sandbox_factory: Callable[..., RunningSandbox],
    point_at: Pointed,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 5,000 clients some wait on every page: reading them all each half minute would take more than the day's requests."""
    sandbox = sandbox_factory(clients=150, cases=10, transactions=10)
    waiting = add(sandbox, "late", signed=False)
    for number in range(100):
        add(sandbox, f"new-{number}", cases=0, transactions=0)
    daemon = Ticks(instance, point_at(sandbox), monkeypatch)
    assert daemon.night().success
    before = sandbox.log()["GET /clients"]
    asked, _ = daemon.tick()
    assert sandbox.log()["GET /clients"] - before == 1
    assert waiting in asked, "it stands on the second page"
