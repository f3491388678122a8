"""The published workbook, read by another library: types, exact amounts, and nothing that a spreadsheet would run."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import openpyxl
import pytest
import yaml

from debitura_pipeline.settings import PROJECT_ROOT
from debitura_pipeline.warehouse import spreadsheet
from debitura_pipeline.warehouse.report_order import ORDERS
from debitura_pipeline.warehouse.spreadsheet import sheet_names, write_spreadsheet

NOW = datetime(2026, 4, 1, 2, tzinfo=UTC)
ODD = 'a<b>&"c" _x0041_ \x01\r\n\tÜ 日本 😀'


def day(*parts: int) -> datetime:
    """An instant without a time zone, as spreadsheets have it."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


def written(tmp_path: Path, *statements: str, as_of: datetime | None = NOW) -> Path:
    marts, path = tmp_path / "debitura.duckdb", tmp_path / "partner-report.xlsx"
    with duckdb.connect(marts) as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA reports")
        for statement in statements:
            connection.execute(statement)
    write_spreadsheet(marts, path, is_simulated=True, as_of=as_of, now=NOW)
    assert sorted(tmp_path.iterdir()) == [marts, path]
    return path


def column(sheet: Any, letter: str) -> list[Any]:
    return [cell.value for cell in sheet[letter][1:]]


def test_the_published_workbook_has_typed_cells_and_says_what_they_mean(folder: Path) -> None:
    workbook = openpyxl.load_workbook(folder / "partner-report.xlsx")
    assert workbook.sheetnames == ["About", "Columns", "revenue_by_month"]
    sheet = workbook["revenue_by_month"]
    assert [cell.value for cell in sheet[2]] == [
        day(2026, 1, 1), '=HYPERLINK("http://x")', "EUR", 10.1, "12345678901234567890.1234", 0.5, 3, True,
        day(2026, 1, 31, 23, 30, 0, 250_000),
    ]  # fmt: skip
    assert [cell.data_type for cell in sheet[2]] == ["d", "s", "s", "n", "s", "n", "n", "b", "d"]
    shown = [cell.number_format for cell in sheet[2]]
    assert shown == [
        "yyyy-mm-dd",
        "General",
        "General",
        "#,##0.00##",
        "#,##0.00##",
        "#,##0.00######",
        "#,##0",
        "General",
        "yyyy-mm-dd hh:mm:ss",
    ]
    assert (sheet.freeze_panes, sheet.auto_filter.ref, sheet.dimensions) == ("A2", "A1:I4", "A1:I4")
    assert [cell.value for cell in sheet[4]] == [
        day(2026, 3, 1),
        None,
        "EUR",
        0.2,
        0.1,
        None,
        9,
        None,
        day(2026, 3, 29, 1),
    ]
    about = {row[0]: row[1:] for row in workbook["About"].iter_rows(values_only=True)}
    assert about["Written"][0] == "2026-04-01 02:00 UTC" and "sandbox" in about["Simulated data"][0]
    assert about["revenue_by_month"] == (3, "One row per month and currency.")
    columns = list(workbook["Columns"].iter_rows(values_only=True))
    assert ("revenue_by_month", "fee", "DECIMAL(18,4)", "Fee in the currency.") in columns


def test_text_is_never_a_formula_and_stays_text_when_edited(tmp_path: Path) -> None:
    """A company's name is other people's text: `=HYPERLINK(…)` in it must not run in the partner's spreadsheet."""
    risky = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"]
    values = ", ".join(f"($${text}$$)" for text in [*risky, "a=1", ""])
    path = written(tmp_path, f"CREATE TABLE reports.a AS SELECT * FROM (VALUES {values}) AS t(x)")
    sheet = openpyxl.load_workbook(path)["a"]
    quoted = sorted((cell.data_type, cell.quotePrefix) for cell in sheet["A"][1:])
    assert quoted == [("s", False)] * 2 + [("s", True)] * 6
    with zipfile.ZipFile(path) as file:
        assert b"<f>" not in file.read("xl/worksheets/sheet3.xml")


def test_what_excel_cannot_hold_is_text(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "CREATE TABLE reports.a (d DATE, m DECIMAL(18, 4), h HUGEINT, f DOUBLE, t TIMESTAMPTZ, l VARCHAR[], n VARCHAR)",
        "INSERT INTO reports.a VALUES "
        "('1899-12-31', 99999999999.9999, 999999999999999, 1e-7, '1890-01-01', ['a'], repeat('y', 40000)), "
        "('1900-03-01', -99999999999999.9999, 9999999999999999, 'nan', '2026-01-01', NULL, ''), "
        f"('9999-12-31', 90000000000000.0000, NULL, 'inf', NULL, [], $${ODD}$$)",
    )
    sheet = openpyxl.load_workbook(path)["a"]
    assert column(sheet, "A") == ["1899-12-31", day(1900, 3, 1), day(9999, 12, 31)]
    assert column(sheet, "B") == [99999999999.9999, "-99999999999999.9999", 90000000000000]
    assert column(sheet, "C") == [999999999999999, "9999999999999999", None]
    assert column(sheet, "D") == [1e-7, "nan", "inf"]
    assert column(sheet, "E") == ["1890-01-01 00:00:00+00", day(2026, 1, 1), None]
    assert column(sheet, "F") == ["[a]", None, "[]"] and column(sheet, "G")[0] == "y" * 16_000 + "…"
    # As in ECMA-376, 22.9.2.19: `_x000D_` is a carriage return, and `_x005F_` the line before what would be read as one.
    expected = ODD.replace("\x01", "\ufffd").replace("_x0041_", "_x005F_x0041_").replace("\r", "_x000D_")
    assert column(sheet, "G")[2] == expected


def test_amounts_are_written_as_exactly_as_they_are(tmp_path: Path) -> None:
    path = written(
        tmp_path, "CREATE TABLE reports.a AS SELECT (i * 7919 / 10000)::DECIMAL(28, 4) AS m FROM range(2000) AS t(i)"
    )
    with zipfile.ZipFile(path) as file:
        root = ElementTree.fromstring(file.read("xl/worksheets/sheet3.xml"))
    values = [
        Decimal(node.text or "") for node in root.iter("{http://schemas.openxmlformats.org/spreadsheetml/2006/main}v")
    ]
    assert values[1:] == [Decimal(i * 7919) / 10000 for i in range(2000)]


def test_a_report_longer_than_a_sheet_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spreadsheet.SHOWN_ROWS == 1_048_575
    monkeypatch.setattr(spreadsheet, "SHOWN_ROWS", 9)
    path = written(
        tmp_path,
        "CREATE TABLE reports.fits AS SELECT i FROM range(9) AS t(i)",
        "CREATE TABLE reports.longer AS SELECT i FROM range(10) AS t(i)",
        "CREATE TABLE reports.none AS SELECT i FROM range(0) AS t(i)",
    )
    workbook = openpyxl.load_workbook(path)
    said = "Only the first 8 of 10 rows fit into a sheet. All are in the published files."
    assert column(workbook["fits"], "A") == list(range(9)) and column(workbook["none"], "A") == []
    assert column(workbook["longer"], "A") == [*range(8), said]
    assert [row[2] for row in workbook["About"].iter_rows(values_only=True)][-2].strip() == said
    assert workbook["longer"].auto_filter.ref == "A1:A9"


def test_rows_are_in_the_order_in_which_they_are_read(tmp_path: Path) -> None:
    """Whatever the order in which the engine that built them has kept them."""
    path = written(
        tmp_path,
        "CREATE TABLE reports.attribution_gaps AS SELECT (i * 7) % 10 AS priority, 'é' AS finding FROM range(10) AS t(i)",
        "CREATE TABLE reports.own AS SELECT * FROM (VALUES ('b', 1), (NULL, 0), ('a', 2), ('B', 3), ('a', 1)) AS t(x, y)",
    )
    workbook = openpyxl.load_workbook(path)
    assert column(workbook["attribution_gaps"], "A") == list(range(10))
    assert list(workbook["own"].iter_rows(min_row=2, values_only=True)) == [
        ("B", 3), ("a", 1), ("a", 2), ("b", 1), (None, 0),
    ]  # fmt: skip


def test_every_report_has_an_order_that_leaves_no_ties() -> None:
    models = [
        yaml.load(file.read_text(), yaml.CSafeLoader)["models"][0]
        for file in (PROJECT_ROOT / "dbt/models/reports").glob("*.yml")
    ]
    assert {model["name"] for model in models} == ORDERS.keys()
    for model in models:
        columns = {column["name"] for column in model["columns"]}
        order = {key.split(" ")[0] for key in ORDERS[model["name"]]}
        keys = [set(one["columns"]) for one in model.get("constraints", ()) if one["type"] == "primary_key"]
        tests = [one for one in model.get("data_tests", ()) if "unique_combination" in one]
        keys += [set(one["unique_combination"]["arguments"]["columns"]) for one in tests]
        keys += [{"priority"}, {"creditor_id", "month", "revenue_stage", "currency"}]
        assert order <= columns, model["name"]
        assert any(key <= order for key in keys), model["name"]


def test_a_sheet_without_rows_says_so_where_not_everything_was_read(tmp_path: Path) -> None:
    path = written(tmp_path, "CREATE TABLE reports.attribution_gaps (priority BIGINT, finding VARCHAR)", as_of=None)
    workbook = openpyxl.load_workbook(path)
    said = "Not checked yet: not everything has been read."
    assert column(workbook["attribution_gaps"], "A") == [said]
    about = {row[0]: row[1:] for row in workbook["About"].iter_rows(values_only=True)}
    assert about["attribution_gaps"][1].strip() == said and about["Data as of"][0] == said


def test_names_of_sheets_are_short_and_differ() -> None:
    found = sheet_names(
        ["receivables_by_collection_partner", "receivables_by_collection_partners", "about", "a/b", "A_B"]
    )
    assert list(found.values()) == [
        "receivables_by_collection_partn",
        "receivables_by_collection_pa_02",
        "about_02",
        "a_b",
        "A_B_02",
    ]
