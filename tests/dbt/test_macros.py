"""The macros that compute: stage, exact quotients and business days, each against Python's own arithmetic."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import product

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from debitura_pipeline.contract.stage_groups import EXPECTED, IS_MOVING, LABELS
from debitura_pipeline.contract.stages import STAGES, UNCLASSIFIED, stage_sql
from tests.dbt.worlds import PROJECT

AMOUNTS = st.decimals(min_value=Decimal("-99999999999"), max_value=Decimal("99999999999"), places=4)


def macros(name: str) -> object:
    """A macro file as plain Jinja; dispatch always takes DuckDB's body."""
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.globals["var"] = {"platform_invoice_day": 8}.__getitem__
    return environment.from_string((PROJECT / "macros" / name).read_text()).module


def test_an_estimate_is_the_same_in_dbt_and_on_page_and_dashboards() -> None:
    assert str(macros("fees.sql").is_moving()) == IS_MOVING  # type: ignore[attr-defined]
    expected = re.findall(r"'(\w+)'", str(macros("fees.sql").is_expected()))  # type: ignore[attr-defined]
    assert set(LABELS) - set(expected) == set(EXPECTED)
    assert {*LABELS} == {*STAGES, UNCLASSIFIED}


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def test_stage_is_the_one_that_control_totals_count() -> None:
    """Extraction counts stages for itself; two rules that drift apart would make every reconciliation fail, or pass wrongly."""
    commissions = ["Unpaid", "paid", "CREDITED", "other", None]
    platforms = ["NotInvoiced", "invoiceissued", "PaymentReceived", "InvoiceCredited", "other", None]
    referrals = ["Pending", "INVOICED", "Paid", "Disputed", "other", "", None]
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t (commission_status VARCHAR, platform_invoicing_status VARCHAR, referral_invoicing_status VARCHAR)"
        )
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?)", [list(row) for row in product(commissions, platforms, referrals)]
        )
        for mode in ("PayWhenPaid", "ConfirmedPipeline", None):
            said = "NULL" if mode is None else f"'{mode}'"
            ours = macros("revenue_stage.sql").revenue_stage(  # type: ignore[attr-defined]
                "commission_status", "platform_invoicing_status", "referral_invoicing_status", said
            )
            differing = connection.execute(
                f"SELECT *, {ours}, {stage_sql(mode)} FROM t WHERE {ours} <> {stage_sql(mode)}"
            ).fetchall()
            assert differing == []


def exact(a: Decimal, b: Decimal, places: int) -> Decimal | None:
    with localcontext(prec=80):
        quotient = None if b == 0 else (a / b).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
        return None if quotient is None or abs(quotient) >= 10**12 else quotient


@settings(max_examples=60, deadline=None)
@given(a=AMOUNTS, b=AMOUNTS, places=st.sampled_from([4, 6, 10]))
@example(a=Decimal("12345.65"), b=Decimal("100000"), places=6)  # 0.1234565, a tie that a double puts below
@example(a=Decimal("-12345.65"), b=Decimal("100000"), places=6)
@example(a=Decimal("99999999999999.9999"), b=Decimal("0.0001"), places=10)
@example(a=Decimal(1), b=Decimal(0), places=4)
def test_quotient_is_exact(connection: duckdb.DuckDBPyConnection, a: Decimal, b: Decimal, places: int) -> None:
    """DuckDB divides decimals as doubles; a share that differs between engines would break their comparison."""
    sql = macros("dialect.sql").duckdb__div("a", "b", places)  # type: ignore[attr-defined]
    found = connection.execute(
        f"SELECT {sql} FROM (SELECT ?::DECIMAL(18, 4) AS a, ?::DECIMAL(18, 4) AS b)", [str(a), str(b)]
    ).fetchone()
    assert found == (exact(a, b, places),)


@settings(max_examples=40, deadline=None)
@given(a=AMOUNTS, b=AMOUNTS, c=AMOUNTS)
def test_product_over_amount_is_exact(
    connection: duckdb.DuckDBPyConnection, a: Decimal, b: Decimal, c: Decimal
) -> None:
    sql = macros("dialect.sql").duckdb__mul_div("a", "b", "c")  # type: ignore[attr-defined]
    source = "(SELECT ?::DECIMAL(18, 4) AS a, ?::DECIMAL(18, 4) AS b, ?::DECIMAL(18, 4) AS c)"
    found = connection.execute(f"SELECT {sql} FROM {source}", [str(a), str(b), str(c)]).fetchone()
    with localcontext(prec=80):
        assert found == (exact(a * b, c, 4),)


@pytest.mark.parametrize("count", [1, 7, 10, 20, 23])
def test_business_days_are_counted_one_by_one(connection: duckdb.DuckDBPyConnection, count: int) -> None:
    sql = macros("calendar.sql").add_business_days("day", count)  # type: ignore[attr-defined]
    for start in (date(2026, 3, 1) + timedelta(days=offset) for offset in range(14)):
        expected = start
        while expected.isoweekday() > 5:
            expected -= timedelta(days=1)
        for _ in range(count):
            expected += timedelta(days=1)
            while expected.isoweekday() > 5:
                expected += timedelta(days=1)
        assert connection.execute(f"SELECT {sql} FROM (SELECT ?::DATE AS day)", [start]).fetchone() == (expected,)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-03-08", date(2026, 3, 8)),
        ("2026-03-09", date(2026, 4, 8)),
        ("2026-12-31", date(2027, 1, 8)),
        ("2026-03-01", date(2026, 3, 8)),
    ],
)
def test_next_invoice_day(connection: duckdb.DuckDBPyConnection, day: str, expected: date) -> None:
    sql = macros("calendar.sql").next_invoice_day("day")  # type: ignore[attr-defined]
    assert connection.execute(f"SELECT {sql} FROM (SELECT ?::DATE AS day)", [day]).fetchone() == (expected,)
