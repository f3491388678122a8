"""Keyset reading: whatever changes between two responses, and whatever parameters the list ignores."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from debitura_pipeline.contract.listings import CASES, Listing, Query
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract import listing_client
from debitura_pipeline.extract import reader as read
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.union import STATES, UnionReader
from debitura_pipeline.extract.windows import Filters, Slice, Window
from debitura_pipeline.landing.journal_lines import Begin
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.reconcile.certificate import gaps
from debitura_pipeline.reconcile.completeness import CompletenessProof, Prover
from tests.extract.listed import Case, Deviations, Listed, moved, without
from tests.simulation.direct_client import Here

START = datetime(2026, 1, 1, tzinfo=UTC)
AT = datetime(2026, 3, 9, 2, tzinfo=UTC)
EVERYTHING = Slice(Window(None, None))
HOUR = timedelta(hours=1)


def hourly(count: int) -> list[Case]:
    return [Case(number, START + number * HOUR) for number in range(1, count + 1)]


def proven(
    listed: Listed, folder: Path, whole: Slice = EVERYTHING, baseline: Path | None = None
) -> tuple[CompletenessProof, set[str], read.Reader]:
    """The proof of a read of everything (the first one without `baseline`), the landed keys, and the reader."""
    begin = Begin(
        sync_id="one", resource="cases", mode="full", at=AT, upper_bound=AT, tenant=None, partner=(None, None)
    )
    transform_pool: Any = Here()
    client: Any = listed
    with PageTransformer("pseudonymous", b"a key of the tests") as transformer:
        reader = read.Reader(client, transformer, transform_pool, SyncFolder.create(folder, begin), CASES, AT)

        async def work() -> CompletenessProof:
            return await Prover(reader, whole, None, baseline).prove(await reader.read([whole]))

        proof = asyncio.run(work())
    files = [reader.folder.path / window.file for window in proof.windows if window.file]
    return proof, {key for file in files for key in pq.read_table(file)["case_id"].to_pylist()}, reader


def keys_of(rows: list[Case]) -> set[str]:
    return {row.key for row in rows}


def with_more(more: list[Case], rows: list[Case]) -> list[Case]:
    return [*rows, *more]


def test_page_2_is_never_requested_and_one_row_in_a_hundred_is_read_twice(tmp_path: Path) -> None:
    listed = Listed(hourly(950))
    proof, keys, _ = proven(listed, tmp_path)
    assert keys == keys_of(listed.rows)
    assert not proof.unproven
    assert {number for _, number in listed.requested} == {1}
    assert len(listed.requested) == 11, "ten responses of 99 new rows each, and the closing request"
    assert not list(gaps(proof.windows[0]))


def test_a_list_of_one_page_takes_one_request(tmp_path: Path) -> None:
    """A single response shows one moment, so nothing can have moved."""
    listed = Listed(hourly(99))
    _, keys, _ = proven(listed, tmp_path)
    assert keys == keys_of(listed.rows)
    assert len(listed.requested) == 1


@pytest.mark.parametrize("before", range(2, 6))
@pytest.mark.parametrize("gone", [(5,), (100,), (99, 100), (95, 96, 97, 98, 99, 100), (250,), (349, 350)])
def test_rows_are_deleted_and_added_between_two_responses(tmp_path: Path, before: int, gone: tuple[int, ...]) -> None:
    """The count stays the same. No row that existed throughout may be missing, no deleted row may remain."""
    listed = Listed(hourly(350))
    new = [Case(1_000 + number, START + (360 + number) * HOUR) for number in gone]
    throughout = keys_of(without(listed.rows, *gone))
    listed.between[before] = lambda rows: [*without(rows, *gone), *new]
    proof, keys, _ = proven(listed, tmp_path)
    assert throughout <= keys
    assert not proof.unproven
    if before < 5:  # after the last answer it is the closing question that sees it or does not
        assert keys == keys_of(listed.rows)


@pytest.mark.parametrize(("before", "number"), list(itertools.product((2, 3, 4), (150, 250, 349))))
def test_a_row_whose_date_moves_into_a_part_that_was_read_is_found(tmp_path: Path, before: int, number: int) -> None:
    listed = Listed(hourly(350))
    listed.between[before] = lambda rows: moved(rows, number, START + HOUR / 2)
    proof, keys, _ = proven(listed, tmp_path)
    assert keys == keys_of(listed.rows)
    assert not proof.unproven


@pytest.mark.parametrize("count", [100, 101, 150, 400])
def test_more_rows_at_one_instant_than_a_page_holds(tmp_path: Path, count: int) -> None:
    bulk = [Case(2_000 + number, START + 120 * HOUR) for number in range(count)]
    listed = Listed([*hourly(350), *bulk])
    proof, keys, _ = proven(listed, tmp_path)
    assert keys == keys_of(listed.rows)
    assert "union" in {stretch.method for window in proof.windows for stretch in window.stretches}
    assert not [gap for window in proof.windows for gap in gaps(window)]


@pytest.mark.parametrize(
    "deviations",
    [
        Deviations(rounds_bounds_to=timedelta(seconds=1)),
        Deviations(rounds_bounds_to=timedelta(days=1)),
        Deviations(from_is_exclusive=True),
        Deviations(from_is_exclusive=True, rounds_bounds_to=timedelta(seconds=1)),
        Deviations(ignores_to=True),
        Deviations(max_page_rows=50),
        Deviations(max_page_rows=250),
    ],
    ids=lambda deviations: str(deviations).partition("total")[0].removeprefix("Deviations("),
)
def test_a_list_with_other_bounds_or_page_sizes_is_read_completely(tmp_path: Path, deviations: Deviations) -> None:
    """What is not documented is detected, not assumed."""
    rows = [
        Case(number, START + number * timedelta(minutes=20, seconds=7, milliseconds=number)) for number in range(700)
    ]
    listed = Listed(rows, deviations)
    proof, keys, _ = proven(listed, tmp_path)
    assert keys == keys_of(rows)
    assert not proof.unproven


@pytest.mark.parametrize(
    "deviations", [Deviations(ignores_from=True), Deviations(ignores_sort=True)], ids=["FromDate", "Sort"]
)
def test_a_short_list_that_ignores_filter_or_sort_is_read_by_page_numbers(
    tmp_path: Path, deviations: Deviations
) -> None:
    rows = [Case(number, START + (number * 37 % 700) * HOUR) for number in range(700)]
    proof, keys, _ = proven(Listed(rows, deviations), tmp_path)
    assert keys == keys_of(rows)
    assert {stretch.method for window in proof.windows for stretch in window.stretches} == {"pages"}


@pytest.mark.parametrize(
    ("deviations", "named"),
    [
        (Deviations(ignores_from=True, ignores_to=True), "FromDate"),
        (Deviations(ignores_from=True), "FromDate"),
        (Deviations(ignores_sort=True), "Sort"),
        (Deviations(total=lambda rows: 30_000_000), "total"),
        (Deviations(total=lambda rows: rows + 7), "total"),
        (Deviations(total=lambda rows: max(0, rows - 7)), "total"),
    ],
    ids=["both bounds", "FromDate", "Sort", "thirty million", "seven more", "seven fewer"],
)
def test_a_long_list_that_cannot_be_read_by_date_ends_within_300_requests_and_names_why(
    tmp_path: Path, deviations: Deviations, named: str
) -> None:
    rows = [Case(number, START - (number * 37 % 20_000) * HOUR / 8) for number in range(20_000)]
    listed = Listed(rows, deviations)
    with pytest.raises(UnprovenError, match=named):
        proven(listed, tmp_path)
    assert len(listed.requested) <= 300


@pytest.mark.parametrize(("name", "value"), [("ExternalTenantId", "another"), ("Statuses", "Closed")])
def test_an_ignored_filter_is_noticed_at_the_first_response(tmp_path: Path, name: str, value: str) -> None:
    """Otherwise the rows of all clients would be taken for those of one."""
    listed = Listed(hourly(350))
    with pytest.raises(UnprovenError, match=name):
        proven(listed, tmp_path, Slice(Window(None, None), ((name, value),)))
    assert len(listed.requested) == 1


def test_rows_without_a_date_are_read(tmp_path: Path) -> None:
    """Every request with a date bound omits them; only the count of the whole list includes them."""
    rows = [*hourly(350), *(Case(5_000 + number, None) for number in range(3))]
    proof, keys, _ = proven(Listed(rows), tmp_path)
    assert keys == keys_of(rows)
    assert not proof.unproven


@pytest.mark.parametrize("has_room", [True, False])
def test_an_instant_with_many_rows_that_keeps_changing_loses_no_row_and_is_unproven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    """A row is added before each response. All rows that existed at the start are read within few requests."""
    if not has_room:
        monkeypatch.setattr(listing_client, "SPARE_REQUESTS", 30)
    rows = [*hourly(40), *(Case(1_000 + number, START + 50 * HOUR) for number in range(250))]
    listed = Listed(rows)
    for number in range(2, 5_000):
        listed.between[number] = partial(with_more, [Case(10_000 + number, START + 50 * HOUR)])
    proof, keys, _ = proven(listed, tmp_path)
    assert keys >= keys_of(rows)
    assert any(window.is_partial for window in proof.windows)
    assert any("was stopped after" in reason or "were read" in reason for reason in proof.unproven)
    assert not proof.deleted


def test_a_list_that_keeps_growing_reaches_the_request_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_client, "SPARE_REQUESTS", 40)  # 200 would take as much longer, and show nothing else
    listed = Listed(hourly(300))
    for number in range(2, 200):
        last = START + (300 + number) * HOUR
        more = [Case(10_000 + number * 200 + n, last + n * timedelta(seconds=1)) for n in range(200)]
        listed.between[number] = partial(with_more, more)
    with pytest.raises(UnprovenError, match="keeps growing"):
        proven(listed, tmp_path)
    assert len(listed.requested) <= 2 * 3 + listing_client.SPARE_REQUESTS


def test_no_more_windows_are_open_than_requests_may_be_in_flight(tmp_path: Path) -> None:
    """Each window holds its pages in memory."""
    listed = Listed(hourly(9_000))
    proof, keys, reader = proven(listed, tmp_path)
    assert keys == keys_of(listed.rows)
    assert len(proof.windows) > 2
    assert reader.requests <= 9_000 / 99 + len(proof.windows) + 2


def test_pages_that_show_a_row_twice_in_place_of_another_are_given_up_after_two_passes() -> None:
    """A third pass would show the same, in every sort and state again."""
    listed = Listed(hourly(150), Deviations(hidden=50))

    async def page(listing: Listing, filters: Filters, number: int) -> PageResponse:
        return PageResponse.of(await listed.page(Query(listing, filters=filters), number), listing)

    responses, is_settled = asyncio.run(UnionReader(CASES, page).read_moving())
    assert {key for response in responses for key in response.keys} == keys_of(without(listed.rows, 50))
    assert not is_settled
    first_pages = [
        number for query, number in listed.requested if query.listing.sort == "GrossAmount:desc" and number == 1
    ]
    variants = 1 + len(STATES["cases"][1]) + 1  # all rows, each state, the client
    assert len(first_pages) == 2 * variants + 1, "two passes, and one of the sorts alone"
