"""How a listing is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from debitura_pipeline.contract.listings import CASES, CLIENTS, LISTINGS, TRANSACTIONS, Query, format_instant, path_to


def test_params_state_bounds_sort_and_size_every_time() -> None:
    query = Query(TRANSACTIONS, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    assert query.params(7) == [
        ("FromDate", "2026-03-01T00:00:00Z"),
        ("ToDate", "2026-04-01T00:00:00Z"),
        ("Sort", "collectionDate:asc"),
        ("PageSize", "100"),
        ("Page", "7"),
    ]


def test_clients_are_bounded_by_their_link_date() -> None:
    names = [name for name, _ in Query(CLIENTS, datetime(2026, 1, 1, tzinfo=UTC)).params(1)]
    assert names == ["DateCreatedFrom", "Sort", "PageSize", "Page"]


def test_a_filter_with_several_values_is_repeated() -> None:
    query = Query(CASES, filters=(("Statuses", "Active"), ("Statuses", "Paused")))
    assert [value for name, value in query.params(1) if name == "Statuses"] == ["Active", "Paused"]


def test_every_listing_is_read_oldest_first() -> None:
    """Newest first would push unread rows over the page's edge whenever one is added."""
    assert all(listing.sort.endswith(":asc") for listing in LISTINGS.values())


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00Z"),
        (datetime(2026, 3, 1, 12, 30, 5, 120_000, tzinfo=UTC), "2026-03-01T12:30:05.12Z"),
        (datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC), "2026-03-01T12:00:00.000001Z"),
        (datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2026-02-28T23:00:00Z"),
    ],
)
def test_instants_are_utc_with_no_more_digits_than_needed(at: datetime, text: str) -> None:
    assert format_instant(at) == text


def test_a_naive_bound_or_a_reversed_one_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Query(CASES, datetime(2026, 3, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="ends before"):
        Query(CASES, datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(("page", "size"), [(0, 100), (1, 0), (1, 101)])
def test_a_page_that_the_api_would_refuse_is_not_asked_for(page: int, size: int) -> None:
    with pytest.raises(ValueError, match="pages count from 1"):
        Query(CASES).params(page, size)


def test_description_shows_states_but_no_searched_name() -> None:
    query = Query(
        CASES, filters=(("Statuses", "Active"), ("Query", "Jane Doe"), ("ExternalTenantId", "jane@example.org"))
    )
    assert query.describe() == "cases (by Statuses=Active, Query, ExternalTenantId)"


def test_an_id_cannot_change_the_path() -> None:
    assert path_to("clients", "a/b?c=d e") == "/clients/a%2Fb%3Fc%3Dd%20e"
    for bad in ("", ".", ".."):
        with pytest.raises(ValueError, match="dotted"):
            path_to("clients", bad)
