"""One cent, one row, one status: `reconcile` finds it and says in which stage, window and client it sits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync import reconcile, reconciliation
from debitura_pipeline.sync.partner import read_terms
from debitura_pipeline.sync.session import SyncSession
from debitura_sandbox.world.world import WorldOptions
from tests.simulation.direct_client import DirectClient, Here, runtime_of
from tests.simulation.harness import Harness
from tests.simulation.history import ENDPOINT
from tests.simulation.judge import Terms, bucket_of
from tests.simulation.options import RESOURCES
from tests.simulation.world import SimWorld

INJECTIONS = 100
SEED = 20_260
TERMS = {resource: Terms(resource) for resource in RESOURCES}


class Bench:
    """A warehouse that equals its world, and `reconcile` between the two."""

    def __init__(self, harness: Harness, patch: pytest.MonkeyPatch) -> None:
        self.sim = SimWorld(WorldOptions(seed=5, clients=8, cases=400, transactions=900, years=2))
        self.harness = harness
        self.settings: Settings = harness.reset(30)
        patch.setattr(reconciliation, "open_client", lambda *_: self.client())
        asyncio.run(self._load())
        self.rows = {resource: harness.live(resource) for resource in RESOURCES}

    def client(self) -> Any:
        return DirectClient(self.sim, 100, Random(0))

    async def _load(self) -> None:
        client: Any = self.client()
        transform_pool: Any = Here()
        partner = await read_terms(client)
        session = SyncSession(
            self.settings,
            ENDPOINT,
            runtime_of(self.sim),
            client,
            self.harness.transformer,
            transform_pool,
            None,
            partner,
        )
        await session.resources(RESOURCES)

    def reconcile(self) -> list[ControlTotal]:
        return reconcile(self.settings, ENDPOINT, runtime_of(self.sim))

    def after(self, resource: str, key: str, change: str) -> list[ControlTotal]:
        """What `reconcile` says once this row of the warehouse is changed; the row is put back."""
        name = "transaction_id" if resource == "transactions" else "case_id"
        warehouse = self.harness.warehouse
        warehouse.execute(f"CREATE OR REPLACE TABLE kept AS SELECT * FROM raw.{resource} WHERE {name} = '{key}'")
        warehouse.execute(f"{change.format(table=f'raw.{resource}')} WHERE {name} = '{key}'")
        try:
            return [total for total in self.reconcile() if total.verdict == "differs"]
        finally:
            warehouse.execute(f"DELETE FROM raw.{resource} WHERE {name} = '{key}'")
            warehouse.execute(f"INSERT INTO raw.{resource} SELECT * FROM kept")


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Harness() as harness, pytest.MonkeyPatch.context() as patch:
        yield Bench(harness, patch)


def places(found: list[ControlTotal], unit: str) -> list[tuple[str, str]]:
    """(client, stage) of each place named."""
    return [(total.scope, total.bucket) for total in found if total.check_name == "place" and total.unit == unit]


def assert_window_holds(found: list[ControlTotal], at: datetime) -> None:
    """Every window named is the hour in which the row stands."""
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    bounds = f"({hour:%Y-%m-%d %H:%M} to {hour + timedelta(hours=1):%Y-%m-%d %H:%M} UTC)"
    details = {total.detail for total in found if total.check_name == "place"}
    assert details == {f"window {hour:%Y-%m-%dT%H} {bounds}"}


def test_without_a_change_nothing_differs(bench: Bench) -> None:
    """The starting point of all the others; an alarm for nothing would make the rest worthless."""
    assert [total for total in bench.reconcile() if total.verdict == "differs"] == []


def test_one_cent_in_any_settled_row_is_found_with_client_stage_and_window(bench: Bench) -> None:
    """A hundred rows, one at a time, in every settled stage, a cent more or less."""
    dice = Random(SEED)
    by_stage: dict[str, list[str]] = {}
    for key, row in sorted(bench.rows["transactions"].items()):
        by_stage.setdefault(bucket_of(TERMS["transactions"], row), []).append(key)
    settled = sorted(set(by_stage) - {"Pending", "none"})
    assert len(settled) == 6
    for number in range(INJECTIONS):
        stage = settled[number % len(settled)]
        key = dice.choice(by_stage[stage])
        row = bench.rows["transactions"][key]
        sign = dice.choice("+-")
        change = f"UPDATE {{table}} SET referral_fee_usd = referral_fee_usd {sign} 0.01"
        found = bench.after("transactions", key, change)
        assert places(found, "usd") == [(row["creditor_id"], stage)], (number, key)
        assert places(found, "count") == []
        assert_window_holds(found, row["occurred_at"])
    assert [total for total in bench.reconcile() if total.verdict == "differs"] == []


@pytest.mark.parametrize("resource", ["cases", "transactions"])
def test_a_lost_row_is_found_with_client_state_and_window(bench: Bench, resource: str) -> None:
    """The warehouse lacks a row that the API counts."""
    dice = Random(SEED + 1)
    date = "created_at" if resource == "cases" else "occurred_at"
    for key in dice.sample(sorted(bench.rows[resource]), 20):
        row = bench.rows[resource][key]
        found = bench.after(resource, key, "DELETE FROM {table}")
        named = places(found, "count")
        assert [client for client, _ in named] == [row["creditor_id"]], key
        assert_window_holds(found, row[date])


def test_a_status_that_is_wrong_is_found_in_the_stage_it_left_and_the_one_it_went_to(bench: Bench) -> None:
    """Nothing is missing in all: only two stages' counts show it."""
    dice = Random(SEED + 2)
    paid = [k for k, row in sorted(bench.rows["transactions"].items()) if row["referral_invoicing_status"] == "Paid"]
    for key in dice.sample(paid, 20):
        row = bench.rows["transactions"][key]
        found = bench.after("transactions", key, "UPDATE {table} SET referral_invoicing_status = 'Invoiced'")
        client = row["creditor_id"]
        assert sorted(places(found, "count")) == [(client, "AwaitingDebituraPayment"), (client, "Paid")]
        assert_window_holds(found, row["occurred_at"])


def test_a_case_in_the_wrong_state_is_found_in_both_states(bench: Bench) -> None:
    """As above, for cases: an open one that the warehouse takes for closed."""
    dice = Random(SEED + 3)
    active = [key for key, row in sorted(bench.rows["cases"].items()) if row["lifecycle"] == "Active"]
    for key in dice.sample(active, 10):
        row = bench.rows["cases"][key]
        found = bench.after("cases", key, "UPDATE {table} SET lifecycle = 'Closed'")
        assert sorted(places(found, "count")) == [(row["creditor_id"], "active"), (row["creditor_id"], "closed")]
        assert_window_holds(found, row["created_at"])
