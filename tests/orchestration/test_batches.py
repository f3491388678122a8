"""Clients that are due together: one run, an outcome for each, and everything read at once where that is cheaper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from debitura_pipeline.onboarding.lifecycle import MAX_CLIENTS
from debitura_pipeline.orchestration.keys import LISTING, OPS, OPS_ONBOARDING, RAW
from debitura_pipeline.orchestration.observations import last_whole_reading
from debitura_pipeline.orchestration.progress import read_progress
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.orchestration.ticks import Ticks, add, states
from tests.support.sandbox import RunningSandbox


def large(sandbox: RunningSandbox) -> None:
    """A client whose history is so long that one reading of everything is the dearer way."""
    sandbox.admin("clients", {"tenant": "large", "cases": 800, "transactions": 1_600})


def test_clients_due_together_are_one_run_and_one_that_fails_holds_up_no_other(
    ticks: tuple[RunningSandbox, Ticks],
) -> None:
    sandbox, daemon = ticks
    large(sandbox)
    keys = [add(sandbox, f"new-{number}") for number in range(4)]
    daemon.tick()
    sandbox.faults({"kind": "status", "status": 403, "path": "/cases", "query": "new-2", "times": 0})
    outcome = daemon.run(*keys)
    assert outcome.success
    found = states(daemon.settings)
    assert [found[key] for key in keys] == ["loaded", "loaded", "signed", "loaded"]
    progress = read_progress(daemon.instance, datetime.now(UTC))
    assert [progress[key].is_done for key in keys] == [True, True, False, True]
    assert progress[keys[2]].failures == 1
    assert keys[2] not in daemon.tick()[0], "a failure leaves it alone for a while"
    assert not set(keys) & set(daemon.tick()[0])
    again = daemon.run(keys[2])
    assert not again.success, "where none of its clients could be onboarded, the run has failed"
    assert read_progress(daemon.instance, datetime.now(UTC))[keys[2]].failures == 2, "once for each run"
    assert keys[2] not in daemon.tick(timedelta(minutes=6))[0], "the pause has grown"
    sandbox.faults()
    assert keys[2] in daemon.tick(timedelta(minutes=11))[0]
    assert daemon.run(keys[2]).success
    assert states(daemon.settings)[keys[2]] == "loaded"


def test_a_client_is_there_with_its_own_row_and_lineage_goes_on(ticks: tuple[RunningSandbox, Ticks]) -> None:
    """Its row, cases and transactions come together; raw shows who wrote it, and yet a missing night is noticed."""
    sandbox, daemon = ticks
    large(sandbox)
    key = add(sandbox, "acme")
    daemon.tick()
    assert daemon.run(key).success
    with open_warehouse(daemon.settings, read_only=True) as warehouse:
        assert warehouse.rows("SELECT external_tenant_id, cases_total FROM raw.clients") == [("acme", 3)]
        total = warehouse.rows("SELECT count(*) FROM raw.transactions")[0][0]
    event = daemon.instance.get_latest_materialization_event(RAW["transactions"])
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["mode"].value == "client"
    assert (metadata["dagster/row_count"].value, metadata["rows_read"].value) == (total, 4)
    assert last_whole_reading(daemon.instance, RAW["transactions"]) is None
    for written in (*RAW.values(), *OPS, OPS_ONBOARDING):
        assert daemon.instance.get_latest_materialization_event(written), written
    for seen in LISTING.values():
        assert daemon.instance.fetch_observations(seen, limit=1).records, seen


def test_a_run_takes_fifty_clients_and_what_waits_behind_them_decides_how_they_are_read(
    ticks: tuple[RunningSandbox, Ticks],
) -> None:
    """Everybody is loaded by one reading of everything, also those whom no run was asked for."""
    sandbox, daemon = ticks
    keys = [add(sandbox, f"new-{number}") for number in range(MAX_CLIENTS + 5)]
    asked, _ = daemon.tick()
    assert len(asked) == len(set(asked) & set(keys)) == MAX_CLIENTS, "the newest"
    (request,) = daemon.requests
    assert request.run_config["ops"]["onboard_clients"]["config"]["due"] == len(keys) + 1
    assert daemon.run(*asked[:2], due=len(keys) + 1).success
    assert set(states(daemon.settings).values()) == {"loaded"}
    assert len(states(daemon.settings)) == len(keys) + 1
    assert daemon.tick() == ([], f"{len(keys) + 1} onboarded, 0 pending")


def test_a_run_that_somebody_asks_for_reads_the_client_again(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    large(sandbox)
    key = add(sandbox, "acme")
    daemon.tick()
    assert daemon.run(key).success
    loaded = "SELECT count(*) FROM ops.syncs WHERE mode = 'client' AND resource = 'cases'"
    assert daemon.run(key).success, "the sensor's: done already, nothing is read"
    with open_warehouse(daemon.settings, read_only=True) as warehouse:
        assert warehouse.rows(loaded) == [(1,)]
    assert daemon.choose(key).success
    with open_warehouse(daemon.settings, read_only=True) as warehouse:
        assert warehouse.rows(loaded) == [(2,)]


def test_at_most_one_run_waits_behind_another(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    for number in range(3):
        key = add(sandbox, f"new-{number}")
        assert (key in daemon.tick()[0]) is (number < 2)
        daemon.leave_run(key, dg.DagsterRunStatus.STARTED)


def test_a_run_that_died_counts_against_each_of_its_clients(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    key = add(sandbox, "acme")
    daemon.tick()
    for _ in range(2):
        daemon.leave_run(key, dg.DagsterRunStatus.FAILURE)
    assert read_progress(daemon.instance, datetime.now(UTC))[key].failures == 2
