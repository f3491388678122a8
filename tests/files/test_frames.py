"""Frames of the published tables: exact types, names that are looked up, and no file that stays open."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from debitura_pipeline import frames
from debitura_pipeline.errors import WarehouseError


def test_values_keep_their_types_and_their_cents(folder: Path) -> None:
    """DuckDB's own frames have floats: 0.1 + 0.2 would not be 0.3."""
    frame = frames.load("revenue_by_month", folder=folder)
    first = frame.iloc[0].to_dict()
    assert first == {
        "month": date(2026, 1, 1), "company_name": '=HYPERLINK("http://x")', "currency": "EUR", "fee": Decimal("10.1000"),
        "fee_usd": Decimal("12345678901234567890.1234"), "share": Decimal("0.50000000"), "transactions": 3, "is_final": True,
        "paid_at": datetime(2026, 1, 31, 23, 30, 0, 250_000, tzinfo=UTC),
    }  # fmt: skip
    assert frame["fee_usd"].sum() == Decimal("12345678901234567890.5234")
    assert frame.groupby("currency")["fee"].sum().to_dict() == {"EUR": Decimal("10.3000"), "DKK": Decimal("-0.0001")}
    assert str(frame["paid_at"].dt.tz) == "UTC" and frame["transactions"].sum() == 12
    assert frame["transactions"].isna().tolist() == [False, True, False]


def test_columns_and_filters_as_in_read_parquet(folder: Path) -> None:
    def months(*filters: frames.Filter) -> list[int]:
        found = frames.load("reports.revenue_by_month", columns=["month"], filters=filters, folder=folder)
        assert list(found.columns) == ["month"]
        return [day.month for day in found["month"]]

    assert months(("month", ">=", date(2026, 2, 1)), ("fee", "<", Decimal("0.2"))) == [2]
    assert months(("currency", "in", ["EUR", "USD"])) == [1, 3] and months(("currency", "not in", ("EUR",))) == [2]
    assert months(("company_name", "==", None)) == [3] and months(("company_name", "!=", None)) == [1, 2]
    assert months(("paid_at", "=", datetime(2026, 3, 29, 1, tzinfo=UTC))) == [3]
    assert months(("currency", "in", [])) == [] and months(("currency", "not in", [])) == [1, 2, 3]
    first = '=HYPERLINK("http://x")'
    assert months(("company_name", "in", [first, None])) == [1, 3] and months(("company_name", "in", [None])) == [3]
    assert months(("company_name", "not in", [first, None])) == [2] and months(("company_name", "not in", [first])) == [
        2,
        3,
    ]
    with pytest.raises(ValueError, match="'like' is not one of =, =="):
        months(("currency", "like", "E%"))
    with pytest.raises(ValueError, match="only == and != compare with null"):
        months(("currency", "<", None))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda **at: frames.load("revenu_by_mont", **at), "no table revenu_by_mont in .* Nearest: revenue_by_month"),
        (lambda **at: frames.load("mart.fct_cases", **at), "Nearest: marts.fct_cases"),
        (lambda **at: frames.load("fct_cases", columns=["amout"], **at), "marts.fct_cases has no column amout. Nearest: amount"),
        (lambda **at: frames.load("fct_cases", filters=[('a" OR 1=1 --', "==", 1)], **at), "has no column"),
        (lambda **at: frames.select("SELECT 1; SELECT 2", **at), "Only a single SELECT .* this has 2 statements"),
        (lambda **at: frames.select("DROP TABLE marts.fct_cases", **at), "Only a single SELECT .* this is DROP"),
        (lambda **at: frames.select("FROM fct_case", **at), "The query failed: .*fct_case.* does not exist"),
        (lambda **at: frames.select("FROM '/etc/passwd'", **at), "The query failed"),
        (lambda **at: frames.select("FROM read_text('/etc/passwd')", **at), "The query failed: .* disabled by configuration"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_one_line_with_what_is_near(call: Any, message: str, folder: Path) -> None:
    with pytest.raises(WarehouseError, match=message) as caught:
        call(folder=folder)
    assert "\n" not in str(caught.value)


def test_select_takes_parameters_and_names_without_schema(folder: Path) -> None:
    found = frames.select(
        "SELECT case_id FROM fct_cases WHERE amount = $amount", {"amount": Decimal("4.5")}, folder=folder
    )
    assert found["case_id"].tolist() == ["case-3"]
    assert frames.tables(folder)[:2] == ["reports.revenue_by_month", "marts.fct_cases"]
    assert "raw.cases" in frames.tables(folder)


def test_the_newest_night_is_read_though_a_file_is_open(folder: Path, tmp_path: Path) -> None:
    """DuckDB goes on showing an old file to a process that has it open under the same path."""
    with pytest.raises(WarehouseError, match=r"Nothing is published yet .*. Run `debitura nightly` first"):
        frames.load("fct_cases", folder=tmp_path)
    shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    copy = tmp_path / "copy"
    with duckdb.connect(copy / "warehouse.duckdb", read_only=True, config={"threads": 1}):
        before = frames.load("fct_cases", folder=copy)
        night = (copy / "current").resolve()
        later = shutil.copytree(night, night.with_name("20990101T000000Z"), symlinks=True)
        with duckdb.connect(later / "warehouse.duckdb") as newer:
            newer.execute("DELETE FROM marts.fct_cases WHERE amount > 9")
        (copy / "current").unlink()
        (copy / "current").symlink_to(f"nights/{later.name}")
        after = frames.load("fct_cases", folder=copy)
    assert (len(before), len(after)) == (3000, 7)
    night_now = frames.published_night(copy)
    assert night_now is not None and night_now.path == later


def test_pandas_is_imported_only_by_who_loads_a_frame() -> None:
    code = "import sys; from debitura_pipeline import frames; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
