"""The fast and the slow parser must give the same table, byte for byte: a merge would see every difference as a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.landing.arrow_reader import read_with_arrow
from debitura_pipeline.landing.page_schema import Layout
from debitura_pipeline.landing.transform import PageTransformer
from tests.landing.rows import KEY, MAKERS, Number, case_row, page, plain_texts, transaction_row, variations

unknown = st.dictionaries(
    st.sampled_from(["channel", "riskScore", "remark", "tags"]),
    st.none() | st.booleans() | plain_texts | st.sampled_from([Number("1.50"), Number("7"), ["a", "b"], {"deep": "x"}]),
)


@pytest.fixture(scope="module")
def transformer():
    with PageTransformer("full", KEY) as made:
        yield made


@pytest.mark.parametrize("resource", TABLES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_rows_come_out_the_same(
    resource: str, data: st.DataObject, transformer: PageTransformer, tmp_path_factory: Any
) -> None:
    rows = data.draw(st.lists(variations(MAKERS[resource]()), max_size=4))
    for row in rows:
        row.update(data.draw(unknown))
    pages = [page(resource, rows[:2]), page(resource, rows[2:])]

    event(f"fast: {read_with_arrow(Layout(TABLES[resource]), pages) is not None}")
    fast, slow = transformer.transform(resource, pages), transformer.transform(resource, pages, canonical=False)

    assert fast.columns.equals(slow.columns)
    assert (fast.rows, fast.bad, fast.drift) == (slow.rows, slow.bad, slow.drift)
    folder: Path = tmp_path_factory.mktemp("parsers")
    assert fast.write(folder / "fast", 1) == slow.write(folder / "slow", 1)


@pytest.mark.parametrize("resource", TABLES)
def test_an_ordinary_row_is_read_by_the_fast_parser(resource: str) -> None:
    """If it were not, both would agree because only one of them is ever used."""
    assert read_with_arrow(Layout(TABLES[resource]), [page(resource, [MAKERS[resource]()])]) is not None
    assert read_with_arrow(Layout(TABLES[resource]), [page(resource, [MAKERS[resource](channel="portal")])]) is not None


def _spell(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {change(name): _spell(inner, change) for name, inner in value.items()}
    return [_spell(inner, change) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("resource", TABLES)
@pytest.mark.parametrize("is_told", [True, False], ids=["canonical said", "not canonical"])
def test_pascal_case_rows_come_out_the_same(resource: str, is_told: bool, transformer: PageTransformer) -> None:
    row = MAKERS[resource]()
    pascal = _spell(row, lambda name: name[0].upper() + name[1:])

    plain = transformer.transform(resource, [page(resource, [row])])
    other = transformer.transform(resource, [page(resource, [pascal])], canonical=is_told)

    assert other.columns.equals(plain.columns)
    assert other.drift == plain.drift
    assert not other.bad


def test_pascal_case_envelope_is_read_by_the_slow_parser(transformer: PageTransformer) -> None:
    body = page("transactions", [transaction_row()]).replace(b'"data":', b'"Data":')

    assert transformer.transform("transactions", [body], canonical=False).good == 1


def test_a_bad_row_does_not_change_its_neighbours(transformer: PageTransformer) -> None:
    good = [case_row(id=f"0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b{n:02d}") for n in range(5)]

    alone = transformer.transform("cases", [page("cases", good)])
    mixed = transformer.transform("cases", [page("cases", [*good[:2], case_row(grossAmount="abc"), *good[2:]])])

    assert mixed.columns.equals(alone.columns)
    assert (mixed.rows, mixed.good, len(mixed.bad)) == (6, 5, 1)


def test_pretty_printed_pages_are_read(transformer: PageTransformer) -> None:
    body = page("cases", [case_row()]).replace(b",", b",\n  ")

    assert transformer.transform("cases", [body]).columns.equals(
        transformer.transform("cases", [page("cases", [case_row()])]).columns
    )
