"""What histories have taught, one case each: small worlds in which a nightly reading once went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from debitura_pipeline.incremental import cases
from debitura_pipeline.incremental.cases import MAX_MOVED
from debitura_sandbox.world import codes
from debitura_sandbox.world.addresses import CURRENCIES
from debitura_sandbox.world.columns import to_us
from debitura_sandbox.world.world import DATES, RESOURCES
from tests.simulation.crash import Died
from tests.simulation.harness import Harness
from tests.simulation.history import REFRESH_DAYS, History, Wanted
from tests.simulation.options import Options, Profile

CENT, USD = 100, CURRENCIES.index("USD")
SETTLED = (codes.PAID, codes.RECEIVED, codes.REFERRAL_PAID)
DECEMBER = to_us(datetime(2025, 12, 2, 1, tzinfo=UTC))
TRANSACTIONS, CASES = 50, 60
FIRST_HALF, SECOND_HALF = 24, 40  # rows of the 14th and the 22nd; the first days are those whose turn comes first
PAGE_ROWS, WINDOW_ROWS = 3, 20
QUIET = 4_711  # a seed; these tests order every move themselves
MOST_REQUESTS = 200
HEARING, DEAF = 16, 9  # profiles whose summary follows dates, and does not


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    sizes = replace(
        Profile.of(HEARING), page_rows=PAGE_ROWS, window_rows=WINDOW_ROWS, small_pages=2, goes_by_paid=False
    )
    with Harness() as opened, opened.sizes(sizes):
        yield opened


def begun(
    harness: Harness, profile: int = HEARING, synced: Sequence[str] = RESOURCES, *, is_alike: bool = False
) -> History:
    """A history after its first sync, in which nothing moves by itself.

    All transactions are in USD, so that rates do not matter, paid, and of one month: two a day, in the order of their rows.
    `is_alike`: no total tells one row from another.
    """
    chosen = Profile.of(profile)
    options = replace(
        Options.of(QUIET),
        profile=replace(
            chosen,
            page_rows=PAGE_ROWS,
            goes_by_paid=False,
            world=replace(chosen.world, cases=CASES if is_alike else chosen.world.cases, transactions=TRANSACTIONS),
        ),
        unrest=0.0,
        dies=False,
    )
    history = History(options, harness)
    table = history.sim.world.transactions
    table["currency"][:] = USD
    table["commission"][:], table["platform"][:], table["referral"][:] = SETTLED
    table["date"][:] = DECEMBER + np.arange(len(table)) * codes.DAY_US // 2
    if is_alike:
        table["fee"][:], table["revenue"][:] = 0, 0
        history.sim.world.cases["lifecycle"][:], history.sim.world.cases["close_code"][:] = codes.ACTIVE, -1
    history.sim.world.invalidate(*RESOURCES)
    history.sim.refresh()
    sync(history, "first", *synced)
    history.sim.midnight()
    history.tally.counts.clear()
    return history


def sync(history: History, name: str, *resources: str) -> None:
    """A nightly sync of each in a quiet world."""
    for resource in resources:
        history.sync_until_done(name, Wanted(resource), 0.0)


def edit(history: History, row: int, **columns: int) -> None:
    for column, value in columns.items():
        history.sim.change(
            {"op": "row", "resource": "transactions", "action": "set", "row": row, "column": column, "value": value}
        )


def test_rows_of_a_client_that_was_never_listed_can_be_found_gone(harness: Harness) -> None:
    """Its tenant id stood nowhere but in its rows: they stayed live for good, and each night spent its allowance on them."""
    history = begun(harness)
    history.sim.change({"op": "add_client", "cases": 3, "transactions": 30})
    sync(history, "with its rows", "transactions")
    world = history.sim.world
    client = len(world.clients) - 1
    history.sim.set_alive(
        "transactions", np.flatnonzero(world.client_of("transactions") == client).tolist(), is_alive=False
    )
    history.sim.set_alive("clients", [client], is_alive=False)
    history.sim.midnight()
    assert history.attempt("without them", Wanted("transactions", full=True), 0.0)
    assert len(harness.live("transactions")) == TRANSACTIONS
    assert len(history.asked) < MOST_REQUESTS


def test_fractions_of_a_cent_add_up_and_do_not_stop_the_night(harness: Harness) -> None:
    """Each half of a month less than a cent off, the month more: once no window was named and no night could end."""
    history = begun(harness)
    fees = history.sim.world.transactions["fee"]
    for row in (FIRST_HALF, SECOND_HALF):
        edit(history, row, fee=int(fees[row]) + CENT * 6 // 10)
    sync(history, "after", *RESOURCES)
    assert history.tally.counts["unproven"] == 0


def test_a_row_of_the_very_hour_of_the_sync_is_found(harness: Harness) -> None:
    """Our counts go by hours, so the windows asked for have to; a bound within an hour put rows on either side of it."""
    history = begun(harness)
    history.mover.new_payment()
    history.sim.seconds += 60
    sync(history, "with a row of this hour", *RESOURCES)
    history.sim.seconds += 60
    later = {"op": "row", "resource": "transactions", "action": "insert", "row": -1}
    assert history.change_before(5, "transactions", later)
    assert history.tally.counts["unproven"] == 0
    history.expect_the_world()


def test_an_edited_paid_row_without_totals_by_date_waits_for_its_turn_and_stops_nothing(harness: Harness) -> None:
    """No request can say where it is; the sync once ended without proof, night after night."""
    history = begun(harness, DEAF)
    edit(history, SECOND_HALF, fee=int(history.sim.world.transactions["fee"][SECOND_HALF]) + CENT)
    for number in range(REFRESH_DAYS):
        sync(history, f"night {number}", *RESOURCES)
        history.sim.midnight()
    sync(history, "last", *RESOURCES)
    assert history.tally.counts["unproven"] == 0
    history.expect_the_world()


def test_a_commission_credited_without_any_sum_moving_is_seen_the_same_night(harness: Harness) -> None:
    """The stage stays, the sum stays: only the sweep of estimates beyond the first stage shows it."""
    history = begun(harness)
    edit(history, SECOND_HALF, commission=codes.CREDITED)
    sync(history, "after", *RESOURCES)
    history.expect_the_world()


@pytest.mark.parametrize(
    ("profile", "resource"), [(HEARING, "cases"), (HEARING, "transactions"), (DEAF, "transactions")]
)
@pytest.mark.parametrize("action", ["delete", "insert"])
def test_a_row_that_comes_or_goes_between_any_two_requests_is_right_that_night(
    harness: Harness, profile: int, resource: str, action: str
) -> None:
    """Before each request in turn: shown earlier and gone since, or too late for the reading that would have shown it."""
    for moment in range(1, MOST_REQUESTS, 4):
        history = begun(harness, profile)
        live = np.flatnonzero(history.sim.world.table(resource)["alive"])
        row = int(live[moment % len(live)])
        at = {"at": history.sim.app.clock.now_us() - codes.DAY_US} if action == "insert" else {}
        entry = {"op": "row", "resource": resource, "action": action, "row": row, **at}
        is_done = history.change_before(moment, resource, entry)
        assert history.tally.counts["unproven"] == 0, moment
        if not is_done:
            return
    raise AssertionError("the night has more requests than this test looks at")


@pytest.mark.parametrize(
    ("resource", "is_first"), [("cases", True), ("transactions", True), ("transactions", False)],
    ids=["first load of cases", "first load of transactions", "transactions of a client"],
)  # fmt: skip
def test_what_moves_before_a_killed_sync_is_resumed_is_noticed(
    harness: Harness, resource: str, *, is_first: bool
) -> None:
    """One row is deleted from a window that is landed already, and another one, of equal totals, is dated into it: that one
    was lost once, the deleted one stood in its place, and all was called proven."""
    resumed = 0
    for number in range(3, MOST_REQUESTS, 3):
        history = begun(harness, synced=() if is_first else RESOURCES, is_alike=True)
        world = history.sim.world
        wanted = Wanted(resource)
        if not is_first:
            wanted = replace(wanted, tenant=world.clients["tenant"][0], creditor=world.all_ids("clients")[0])
        mine = np.flatnonzero(is_first | (world.client_of(resource) == 0))
        if not killed_before(history, wanted, number):
            break
        dates = world.table(resource)[DATES[resource]]
        ordered = mine[np.argsort(dates[mine])].tolist()
        landed, moved = (
            ordered[PAGE_ROWS + 1],
            ordered[-1],
        )  # beyond the first page, which the closing request shows again
        change = {"op": "row", "resource": resource}
        history.sim.change({**change, "action": "move", "row": moved, "at": int(dates[landed]) + 1})
        history.sim.change({**change, "action": "delete", "row": landed})
        history.sync_until_done("resumed", wanted, 0.0)
        resumed += 1
    assert resumed > 2, "it was killed too seldom to say anything"


def killed_before(history: History, wanted: Wanted, request: int) -> bool:
    """Have a sync die before its nth request, and let nothing happen; whether it had so many."""
    deaths = history.harness.deaths
    with pytest.MonkeyPatch.context() as patch:
        point = deaths.point

        def dies(what: str) -> None:
            if what == f"request {request}":
                deaths.arm(1)
            point(what)

        patch.setattr(deaths, "point", dies)
        known = history.harness.merged(wanted.resource)
        history.sim.watch(wanted.resource)
        try:
            asyncio.run(history.sync(wanted, 0.0, None))
        except Died:
            history.harness.after_death()
            return True
    assert history.harness.merged(wanted.resource) != known
    return False


def test_a_closed_case_that_is_merged_is_read(harness: Harness) -> None:
    """It was closed and stays among the closed ones: their number shows nothing."""
    history = begun(harness)
    table = history.sim.world.cases
    closed = np.flatnonzero(table["alive"] & (table["lifecycle"] == codes.CLOSED)).tolist()
    assert len(closed) > 2
    for row in closed[::3]:
        change = {"op": "row", "resource": "cases", "action": "set", "row": row, "column": "lifecycle"}
        history.sim.change({**change, "value": codes.MERGED})
    sync(history, "merged", "cases")
    assert {key: row["lifecycle"] for key, row in harness.live("cases").items()} == {
        key: row["lifecycle"] for key, row in history.sim.rows["cases"].items()
    }
    assert history.tally.counts["nightly syncs"]
    assert harness.merged("cases")[-1].is_proven


@pytest.mark.parametrize("is_new", [False, True], ids=["moved", "deleted and another inserted"])
@pytest.mark.parametrize("tenants", ["own", "none", "one"])
def test_a_paid_transaction_that_moves_to_another_client_is_read(
    harness: Harness, tenants: str, *, is_new: bool
) -> None:
    """No total of the list changes; only the earnings in the two clients' records do."""
    history = begun(harness)
    world = history.sim.world
    for client in range(len(world.clients)) if tenants != "own" else ():
        change = {"op": "row", "resource": "clients", "action": "set", "row": client, "column": "tenant"}
        history.sim.change({**change, "value": "" if tenants == "none" else "shared"})
    history.sim.refresh()
    for resource in RESOURCES:
        assert history.attempt("with these tenant ids", Wanted(resource, full=True), 0.0)
    history.tally.counts.clear()
    of_other = int(np.flatnonzero(world.cases["client"] != world.client_of("transactions")[FIRST_HALF])[0])
    row, change = FIRST_HALF, {"op": "row", "resource": "transactions"}
    if is_new:
        history.sim.change({**change, "action": "delete", "row": row})
        at = int(world.transactions["date"][row])
        history.sim.change({**change, "action": "insert", "row": row, "at": at})
        row = len(world.transactions) - 1
    edit(history, row, case=of_other)
    history.sim.refresh()
    sync(history, "moved", "clients", "transactions")
    history.expect_the_world()
    assert history.tally.counts["nightly syncs"]
    assert history.tally.counts["unproven"] == 0


@pytest.mark.parametrize("most", [MAX_MOVED, 1], ids=["few", "many"])
@pytest.mark.parametrize("is_beside", [False, True], ids=["one by one", "in one session"])
def test_two_closed_cases_that_exchange_clients_are_read(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, *, is_beside: bool, most: int
) -> None:
    """Each client has as many cases as before, but their transactions are other clients' now."""
    monkeypatch.setattr(cases, "MAX_MOVED", most)
    of_cases = "nightly" if most > 1 else "full"
    history = begun(harness)
    world = history.sim.world
    one = int(world.transactions["case"][FIRST_HALF])
    other = int(np.flatnonzero(world.cases["client"] != world.cases["client"][one])[0])
    edit(history, SECOND_HALF, case=other)
    for row in (one, other):
        set_case(history, row, "lifecycle", codes.CLOSED)
    history.sim.refresh()
    sync(history, "closed", "clients", "transactions", "cases")
    history.expect_the_world()
    history.sim.midnight()
    clients = [int(world.cases["client"][row]) for row in (other, one)]
    for row, client in zip((one, other), clients, strict=True):
        set_case(history, row, "client", client)
    history.sim.refresh()
    if is_beside:
        reports = asyncio.run(history.sync_together())
        assert [(report.mode, report.is_proven) for report in reports[1:]] == [("nightly", True), (of_cases, True)]
    else:
        history.tally.counts.clear()
        sync(history, "exchanged", "clients", "transactions", "cases")
        assert history.tally.counts["unproven"] == 0
        assert harness.merged("cases")[-1].mode == of_cases
    history.expect_the_world()


def set_case(history: History, row: int, column: str, value: int) -> None:
    history.sim.change(
        {"op": "row", "resource": "cases", "action": "set", "row": row, "column": column, "value": value}
    )


def test_a_changed_revenue_that_no_window_shows_is_read_the_next_night(harness: Harness) -> None:
    """Its total contradicts the night, and no later one would have read the row before its turn."""
    history = begun(harness)
    revenue = history.sim.world.transactions["revenue"]
    edit(history, SECOND_HALF, revenue=int(revenue[SECOND_HALF]) + CENT)
    sync(history, "contradicted", "transactions")
    assert not harness.merged("transactions")[-1].is_proven
    history.sim.midnight()
    sync(history, "everything", "transactions")
    assert (harness.merged("transactions")[-1].mode, harness.merged("transactions")[-1].is_proven) == ("full", True)
    history.expect_the_world()
    history.sim.midnight()
    sync(history, "as before", "transactions")
    assert harness.merged("transactions")[-1].mode == "nightly"


def test_many_cases_closed_at_once_are_not_asked_for_one_by_one(harness: Harness) -> None:
    """A client's list, or a day's, shows more of them with each page than one request each would."""
    history = begun(harness)
    still_open = np.flatnonzero(history.sim.world.cases["alive"]).tolist()
    assert len(still_open) > 2 * PAGE_ROWS
    for row in still_open:
        history.sim.change(
            {
                "op": "row",
                "resource": "cases",
                "action": "set",
                "row": row,
                "column": "lifecycle",
                "value": codes.ACTIVE,
            }
        )
    sync(history, "all open", "cases")
    for row in still_open:
        for column, value in (("lifecycle", codes.CLOSED), ("close_code", 0)):
            history.sim.change(
                {"op": "row", "resource": "cases", "action": "set", "row": row, "column": column, "value": value}
            )
    sync(history, "after", "cases")
    assert any("ExternalTenantId" in target for target in history.asked)
    assert sum(target.startswith("/cases/") for target in history.asked) < len(still_open) // 2
    assert history.tally.counts["unproven"] == 0


def test_a_new_row_that_takes_the_place_of_a_deleted_one_is_not_lost() -> None:
    """Shown by a read that was replaced, and in no baseline: it was forgotten, and the deleted row made up for it in all totals."""
    with Harness() as opened:
        tally = History(Options.of(1_000_576), opened).play()
    assert tally.counts["nightly syncs"]
