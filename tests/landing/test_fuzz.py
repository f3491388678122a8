"""Whatever a page holds: no traceback, the same verdict by both parsers, the good rows as if they were alone.

`make fuzz` tries 5,000 pages of each listing, `make test` 150; the seed is the day's, and is printed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from debitura_pipeline.api.page_metadata import parse_page_metadata
from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.errors import TransientApiError
from debitura_pipeline.landing.outline import outline
from debitura_pipeline.landing.transform import PageTransformer
from tests.landing.mutations import pages
from tests.landing.rows import KEY, MAKERS, ROWS_KEYS

PAGES = int(os.environ.get("FUZZ_PAGES", "150"))
SEED = int(os.environ.get("FUZZ_SEED", datetime.now(UTC).strftime("%Y%m%d")))
DATES = {"clients": ["linked_at"], "cases": ["created_at"], "transactions": ["occurred_at", "paid_at"]}


@pytest.fixture(scope="module")
def transformer() -> Iterator[PageTransformer]:
    with PageTransformer("pseudonymous", KEY) as one:
        yield one


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("resource", MAKERS)
def test_any_page_has_one_verdict_and_costs_no_good_row(
    resource: str, transformer: PageTransformer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sys.stdout.write(f"FUZZ_SEED={SEED} FUZZ_PAGES={PAGES}\n")
    folder = tmp_path_factory.mktemp("fuzz")
    refused = 0

    @seed(SEED)
    @settings(
        max_examples=PAGES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(pages(resource, ROWS_KEYS[resource]))
    def hold(page: tuple[bytes, list[bytes], int]) -> None:
        nonlocal refused
        refused += not _holds(resource, transformer, folder, *page)

    hold()
    assert refused < PAGES / 4, "most pages must have been taken apart"


def _holds(
    resource: str, transformer: PageTransformer, folder: Path, body: bytes, good: list[bytes], count: int
) -> bool:
    listing = LISTINGS[resource]
    try:
        metadata = parse_page_metadata(body, listing)
    except TransientApiError:  # a byte broke the page's own brackets
        return False
    one = transformer.transform(resource, [body], canonical=metadata.is_canonical)
    other = transformer.transform(resource, [body], canonical=False)
    assert one.columns.equals(other.columns)
    assert (one.rows, one.bad, one.drift) == (other.rows, other.bad, other.drift)
    assert one.write(folder / "one", 1) == other.write(folder / "other", 1)
    found = outline(body, listing, metadata.row_keys)
    marks = [found.mark(row) for row in range(len(found))]
    assert len(marks) == one.rows
    assert one.rows >= count or not metadata.is_canonical
    key, dates = one.table.key, DATES[resource]
    landed = {
        row[key]: tuple(map(_micros, (row[name] for name in dates)))
        for row in one.columns.select([key, *dates]).to_pylist()
    }
    seen = dict(mark for mark in marks if mark.key is not None)
    assert landed.items() <= seen.items()
    assert {bad.row_key for bad in one.bad} - {None} <= seen.keys()
    _assert_stored([bad.payload for bad in one.bad])
    alone = b'{"page":{"totalResults":0},"%b":[%b]}' % (ROWS_KEYS[resource].encode(), b",".join(good))
    expected = {row[key]: row for row in transformer.transform(resource, [alone]).columns.to_pylist()}
    stored = {row[key]: row for row in one.columns.to_pylist()}
    assert {name: stored.get(name) for name in expected} == expected
    return True


def _micros(at: datetime | None) -> int | None:
    return None if at is None else (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _assert_stored(payloads: list[str]) -> None:
    """Both engines take a payload, and nobody's address is in it."""
    for payload in payloads:
        json.loads(payload)
        assert duckdb.execute("SELECT CAST($1 AS JSON)", [payload]).fetchone()
        assert "firma.example" not in payload
        assert "70 12 34" not in payload
        assert not any("\ud800" <= letter <= "\udfff" for letter in payload)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_bytes_that_are_no_page_are_told_as_such(body: bytes) -> None:
    for listing in LISTINGS.values():
        with pytest.raises(TransientApiError):
            parse_page_metadata(body, listing)
