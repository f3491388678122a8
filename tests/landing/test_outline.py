"""Key and dates of every row, whatever the row: the reader that goes from date to date stands on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.api.page_parts import split_page_with_keys
from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.landing.outline import RowKeys, outline
from debitura_pipeline.landing.transform import PageTransformer
from tests.landing.rows import KEY, MAKERS, ROWS_KEYS, Number, new_id, page, to_json, transaction_row, variations

ODD_ROWS: tuple[Any, ...] = (
    None,
    "text",
    Number("3"),
    True,
    [],
    {},
    Number("NaN"),
    Number('{"id":"\\ud800"}'),
    Number("[" * 3000 + "]" * 3000),
)
DATE_COLUMNS = {"clients": ["linked_at"], "cases": ["created_at"], "transactions": ["occurred_at", "paid_at"]}


def micros(*parts: int) -> int:
    year, month, day, hour, minute, second, microsecond = (*parts, 0, 0, 0, 0)[:7]
    at = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def row_keys(body: bytes, resource: str) -> list[RowKeys]:
    """As they are read from a page whose envelope has marks, and from any other."""
    listing = LISTINGS[resource]
    found, parts = outline(body, listing), split_page_with_keys(body, listing)
    slow = [found.mark(row) for row in range(len(found))]
    if parts is not None:
        quick = outline(body, listing, parts.rows)
        assert [quick.mark(row) for row in range(len(quick))] == slow
    return slow


ZONES = ("", "Z", "+00:00", "+02:00", ".5", ".300772Z", ".3Z", ".1234567Z")


@settings(max_examples=200, deadline=None)
@given(
    texts=st.lists(
        st.builds("2026-03-{:02}T10:00:0{}{}".format, st.integers(1, 2), st.integers(0, 2), st.sampled_from(ZONES))
    )
)
def test_order_is_that_of_the_instants_however_they_are_written(texts: list[str]) -> None:
    """Compared as texts where that is the same, since every page is checked."""
    found = outline(page("cases", [MAKERS["cases"](dateCreated=text) for text in texts]), LISTINGS["cases"])
    dates = found.dates(0)
    assert found.is_ordered(0) == (dates == sorted(dates))
    assert dates == [found.mark(row).dates[0] for row in range(len(texts))]


@pytest.mark.parametrize("resource", MAKERS)
def test_odd_rows_have_no_mark_of_their_own_and_leave_the_others_theirs(resource: str) -> None:
    """One odd row that hides the dates of the others stops the reading of the whole listing."""
    good = page(resource, [MAKERS[resource]()])
    mixed = to_json({ROWS_KEYS[resource]: [*ODD_ROWS, MAKERS[resource]()]}).encode()
    nothing = RowKeys(None, (None,) * len(DATE_COLUMNS[resource]))
    assert row_keys(mixed, resource) == [nothing] * len(ODD_ROWS) + row_keys(good, resource)


@pytest.mark.parametrize("resource", MAKERS)
def test_other_letter_case_and_an_unreadable_neighbour_do_not_hide_a_date(resource: str) -> None:
    body = page(resource, [MAKERS[resource]()])
    respelt = body.replace(b'"date', b'"Date').replace(b'"payment', b'"Payment').replace(b'"client":', b'"Client":')
    beside = body.replace(
        b'"companyName":', b'"x":NaN,"y":"\xff\\ud800","z":' + b"[" * 9_000 + b"]" * 9_000 + b',"companyName":'
    )
    assert row_keys(respelt, resource) == row_keys(beside, resource) == row_keys(body, resource)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", micros(2026, 3, 1)),
        ("2026-03-01T10:00:00", micros(2026, 3, 1, 10)),
        ("2026-03-01T10:00:00.123456789+02:00", micros(2026, 3, 1, 8, 0, 0, 123456)),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59.9999999-01:00", None),
        ("", None),
        ("soon", None),
        (None, None),
        (Number("20260301"), None),
    ],
)
def test_instants_go_by_the_rules_of_landing(text: object, expected: int | None) -> None:
    payment = {"amount": Number("1"), "currency": "EUR", "paymentDate": text}
    [mark] = row_keys(page("transactions", [transaction_row(payment=payment)]), "transactions")
    assert mark.dates == (micros(2026, 3, 1, 10), expected)


@pytest.mark.parametrize("resource", MAKERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_marks_are_what_is_landed(resource: str, data: st.DataObject) -> None:
    """A date that reads one way here and another way in the landed file makes a stretch that is proven wrongly."""
    rows = data.draw(st.lists(variations(MAKERS[resource]()), min_size=1, max_size=4))
    for row in rows:
        (row["client"] if resource == "clients" else row)["transactionId" if resource == "transactions" else "id"] = (
            new_id()
        )
    body = page(resource, rows)
    with PageTransformer("pseudonymous", KEY) as transformer:
        landed = transformer.transform(resource, [body])
    columns = [landed.columns[landed.table.key], *(landed.columns[name] for name in DATE_COLUMNS[resource])]
    seen = {
        key: (occurred, *rest) for key, occurred, *rest in zip(*(column.to_pylist() for column in columns), strict=True)
    }
    for mark in row_keys(body, resource):
        if mark.key in seen:
            whole = tuple(
                None if at is None else (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
                for at in seen[mark.key]
            )
            assert mark.dates == whole
    assert len(seen) == len(rows) - len(landed.bad)
