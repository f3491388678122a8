"""Binary COPY against Postgres itself: what goes in by Arrow columns comes back as the same values, also by the export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from debitura_pipeline.settings import Secret
from debitura_pipeline.warehouse.postgres.binary_copy import encode
from debitura_pipeline.warehouse.postgres.connection import connect
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
from debitura_pipeline.warehouse.tables import ARROW_TYPES
from tests.support.postgres import PostgresServer

COLUMNS = (
    ("number", "BIGINT"),
    ("text", "VARCHAR"),
    ("is_so", "BOOLEAN"),
    ("money", "DECIMAL(18,4)"),
    ("at", "TIMESTAMPTZ"),
    ("extra", "JSON"),
    ("total", "DECIMAL(28,4)"),
)
LARGEST = Decimal("99999999999999.9999")
LARGEST_SUM = Decimal("999999999999999999999999.9999")
SMALLEST = Decimal("0.0001")

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
).map(json.dumps)
rows = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | texts,
    st.none() | st.booleans(),
    st.none() | st.decimals(-LARGEST, LARGEST, places=4),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.none() | documents,
    st.none() | st.decimals(-LARGEST_SUM, LARGEST_SUM, places=4),
)


@pytest.fixture(scope="module")
def warehouse(postgres_server: PostgresServer) -> Iterator[PostgresWarehouse]:
    with postgres_server.database() as database:
        opened = PostgresWarehouse(connect(Secret(database.url), "test"))
        yield opened
        opened.close()


def batch_of(values: list[tuple[Any, ...]]) -> pa.RecordBatch:
    arrays = [pa.array([row[place] for row in values], ARROW_TYPES[kind]) for place, (_, kind) in enumerate(COLUMNS)]
    return pa.record_batch(arrays, [name for name, _ in COLUMNS])


def there_and_back(warehouse: PostgresWarehouse, *batches: pa.RecordBatch) -> list[tuple[Any, ...]]:
    columns = (("place", "BIGINT"), *COLUMNS)
    numbered, start = [], 0
    for batch in batches:
        places = pa.array(range(start, start + len(batch)), pa.int64())
        numbered.append(pa.record_batch([places, *batch.columns], [name for name, _ in columns]))
        start += len(batch)
    warehouse._copy_in("copied", columns, numbered)
    return [row[1:] for row in warehouse.rows("SELECT * FROM pg_temp.copied ORDER BY place")]


@given(st.lists(rows, max_size=20))
@example([(None,) * 7] * 3)
@example([(2**63 - 1, "", True, LARGEST, datetime.max.replace(tzinfo=UTC), "{}", LARGEST_SUM), (None,) * 7])
@example(
    [
        (
            -(2**63),
            "a\tb\nc\\\"'\u2028\U0001f600",
            False,
            -LARGEST,
            datetime.min.replace(tzinfo=UTC),
            '"\\u0000"',
            -LARGEST_SUM,
        )
    ]
)
@example(
    [(0, "\\N", None, value, None, None, value) for value in (SMALLEST, -SMALLEST, Decimal("1E+4"), Decimal("-0"))]
)
@example(
    [(None,) * 6 + (Decimal(2**exponent) / 10_000 * sign,) for exponent in (31, 32, 63, 64, 65, 80) for sign in (1, -1)]
)
@example([(1, "x" * 100_000, True, Decimal("0.0010"), datetime(2000, 1, 1, tzinfo=UTC), '{"a": 1, "a": 2}', None)])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_value_comes_back_as_it_went(warehouse: PostgresWarehouse, values: list[tuple[Any, ...]]) -> None:
    found = there_and_back(warehouse, batch_of(values))
    assert found == values
    assert [row[5] for row in found] == [row[5] for row in values], "JSON keeps its very text"


@given(st.lists(rows, min_size=1, max_size=30), st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_slices_of_a_batch_are_read_at_their_place(
    warehouse: PostgresWarehouse, values: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """Arrow hands out parts of a column without copying it: the buffers then start elsewhere than the column does."""
    whole = batch_of(values)
    cut = data.draw(st.integers(0, len(values)))
    assert there_and_back(warehouse, whole.slice(0, cut), whole.slice(cut)) == values


@given(values=st.lists(rows, max_size=20))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_export_gives_every_value_as_it_stands(
    warehouse: PostgresWarehouse, tmp_path_factory: pytest.TempPathFactory, values: list[tuple[Any, ...]]
) -> None:
    there_and_back(warehouse, batch_of(values))
    path = tmp_path_factory.mktemp("export") / "rows.parquet"
    warehouse.export('SELECT number, "text", is_so, money, "at", extra, total FROM pg_temp.copied ORDER BY place', path)
    assert path.stat().st_mode & 0o777 == 0o600
    found = pq.read_table(path)
    assert [field.type for field in found.schema] == [ARROW_TYPES[kind] for _, kind in COLUMNS]
    assert [tuple(row.values()) for row in found.to_pylist()] == values


def test_text_with_a_nul_character_is_kept_without_it(warehouse: PostgresWarehouse) -> None:
    """Postgres cannot hold it; one such text must not stop every night from then on."""
    row = (None, "before\0after", None, None, None, None, None)
    assert there_and_back(warehouse, batch_of([row]))[0][1] == "before\ufffdafter"


def test_many_rows_of_many_batches_arrive(warehouse: PostgresWarehouse) -> None:
    values = [
        (number, f"text {number}" if number % 3 else None, None, Decimal(number) / 8, None, None, None)
        for number in range(30_000)
    ]
    whole = batch_of(values)
    assert there_and_back(warehouse, *(whole.slice(start, 7_000) for start in range(0, 30_000, 7_000))) == values


def test_sums_and_texts_of_an_export_keep_their_digits(warehouse: PostgresWarehouse, tmp_path: Path) -> None:
    sql = "SELECT sum(v) AS total, 'a,\"b\"' AS text, '' AS empty, NULL::text AS nothing FROM (VALUES (0.1), (0.2)) AS t(v)"
    warehouse.export(sql, tmp_path / "sum.parquet")
    assert pq.read_table(tmp_path / "sum.parquet").to_pylist() == [
        {"total": Decimal("0.3"), "text": 'a,"b"', "empty": "", "nothing": None}
    ]


def test_type_without_a_binary_form_is_refused() -> None:
    with pytest.raises(TypeError, match="double"):
        encode(pa.record_batch([pa.array([1.5])], ["number"]))
