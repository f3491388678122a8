"""The sensor over several ticks, on a real sandbox and a real, forgetful instance."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from debitura_pipeline.orchestration.keys import CLIENTS, ONBOARDING
from debitura_pipeline.orchestration.read_failures import SensorReadError
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.orchestration.ticks import Ticks, add, states
from tests.support.sandbox import RunningSandbox


def test_a_new_client_is_found_run_once_and_then_left_alone(ticks: tuple[RunningSandbox, Ticks]) -> None:
    """The whole way: if this breaks, a partner waits for a client's figures until somebody notices."""
    sandbox, daemon = ticks
    key = add(sandbox, "acme/ø 1@x")
    asked, _ = daemon.tick()
    assert key == asked[0], "newest first"
    assert daemon.run(*asked).success
    with open_warehouse(daemon.settings, read_only=True) as warehouse:
        found = warehouse.rows("SELECT count(*) FROM raw.cases WHERE external_tenant_id = $1", ("acme/ø 1@x",))
        paid = warehouse.rows("SELECT count(*) FROM raw.transactions WHERE external_tenant_id = $1", ("acme/ø 1@x",))
    assert (found[0][0], paid[0][0]) == (3, 4)
    assert states(daemon.settings)[key] == "loaded"
    again, reason = daemon.tick()
    assert again == []
    assert reason == "2 onboarded, 0 pending"


def test_an_unsigned_client_waits_and_is_loaded_once_it_has_signed(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    key = add(sandbox, "late", signed=False)
    asked, _ = daemon.tick()
    assert key in asked
    outcome = daemon.run(key)
    assert outcome.success, "not to have signed is no failure"
    steps = [event.asset_key for event in outcome.get_asset_materialization_events() if event.partition == key]
    assert steps == [ONBOARDING["status"]]
    assert states(daemon.settings)[key] == "waiting_for_signature"
    assert key not in daemon.tick()[0], "looked at a moment ago"
    sandbox.admin("sign", {"tenant": "late"})
    asked, _ = daemon.tick(timedelta(minutes=2))
    assert key in asked
    assert daemon.run(key).success
    assert states(daemon.settings)[key] == "loaded"
    assert key not in daemon.tick(timedelta(days=2))[0]


def test_a_failed_read_is_a_skip_and_not_zero_clients(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    key = add(sandbox, "acme")
    sandbox.faults({"kind": "status", "status": 403, "path": "/clients", "times": 1})
    asked, reason = daemon.tick()
    assert asked == []
    assert reason.startswith("The clients could not be read, so nothing was decided:")
    assert "sandbox-key" not in reason
    assert daemon.instance.get_dynamic_partitions(str(CLIENTS.name)) == []
    assert key in daemon.tick()[0], "the next tick makes up for it"


def test_a_sensor_that_cannot_read_for_three_ticks_fails_until_it_can(ticks: tuple[RunningSandbox, Ticks]) -> None:
    """A wrong key: grey ticks that skip look as if there were nothing to do."""
    sandbox, daemon = ticks
    sandbox.faults({"kind": "status", "status": 401, "path": "/clients", "times": 0})
    for _ in range(2):
        assert daemon.tick()[1].startswith("The clients could not be read")
    for _ in range(3):
        with pytest.raises(SensorReadError, match=r"for at least 3 ticks in a row: .*HTTP 401"):
            daemon.tick()
    sandbox.faults()
    daemon.tick()
    sandbox.faults({"kind": "status", "status": 401, "path": "/clients", "times": 1})
    assert daemon.tick()[1].startswith("The clients could not be read"), "counted from the beginning"


def test_no_second_run_while_one_is_on(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    key = add(sandbox, "acme")
    assert key in daemon.tick()[0]
    daemon.leave_run(key, dg.DagsterRunStatus.STARTED)
    asked, reason = daemon.tick(timedelta(days=1))
    assert key not in asked
    assert asked, "the other client"
    assert reason == ""


def test_a_failed_run_is_tried_again_after_a_pause(ticks: tuple[RunningSandbox, Ticks]) -> None:
    """A run key, used up by the failure, would have lost the client for good."""
    sandbox, daemon = ticks
    key = add(sandbox, "acme")
    assert key in daemon.tick()[0]
    daemon.leave_run(key, dg.DagsterRunStatus.FAILURE)
    assert key not in daemon.tick()[0]
    assert key in daemon.tick(timedelta(minutes=6))[0]


def test_a_tick_that_died_before_its_runs_loses_nobody(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    key = add(sandbox, "acme")
    first, _ = daemon.tick()
    second, _ = daemon.tick()
    assert key in first
    assert first == second


def test_a_tenant_id_used_again_is_onboarded_again(ticks: tuple[RunningSandbox, Ticks]) -> None:
    """The id alone is no key: the second client under it would never have been loaded."""
    sandbox, daemon = ticks
    old = add(sandbox, "acme")
    assert daemon.run(*daemon.tick()[0]).success
    sandbox.admin("change", {"op": "archive", "tenant": "acme"})
    new = add(sandbox, "acme")
    assert new != old
    assert daemon.tick()[0] == [new]
    assert daemon.run(new).success
    assert states(daemon.settings)[new] == "loaded"


def test_a_client_withdrawn_before_it_signed_is_closed(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    key = add(sandbox, "shy", signed=False)
    assert daemon.run(*daemon.tick()[0]).success
    sandbox.admin("change", {"op": "archive", "tenant": "shy"})
    asked, _ = daemon.tick(timedelta(days=2))
    assert asked == [key], "it is no longer listed, but its partition is not done"
    assert daemon.run(key).success
    assert states(daemon.settings)[key] == "gone"
    assert daemon.tick(timedelta(days=3)) == ([], "2 onboarded, 0 pending")


def test_access_that_is_refused_fails_the_run_and_says_why(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    key = add(sandbox, "acme")
    daemon.tick()
    sandbox.faults({"kind": "status", "status": 404, "path": "/oauth/token", "times": 1})
    outcome = daemon.run(key)
    assert not outcome.success
    with open_warehouse(daemon.settings, read_only=True) as warehouse:
        found = warehouse.rows("SELECT state, access_ok, message FROM ops.onboarding WHERE partition_key = $1", (key,))
    state, access_ok, message = found[0]
    assert (state, access_ok) == ("signed", False)
    assert message.startswith("Issuing a client's token failed: HTTP 404 on POST /oauth/token")
    assert key in daemon.tick(timedelta(minutes=6))[0]
