"""`partners report`: one file and one page of all partners, whatever state each of them is in.

The damage if these break: an agency reads a sum that is nobody's, or does not see the partner whose figures are old.
"""

from __future__ import annotations

import json
import stat
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from debitura_pipeline.incidents.state import Incident, State
from tests.report.reading import read_tables
from tests.support.command import debitura
from tests.support.fleet import Fee, fill_duckdb, fleet_of, publish_file, record_nights, report_rows

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
MONTH = date(2026, 11, 1)
HEADS = ("Oct 2026", "Nov 2026 so far", "Still to come")
FILE = """
[acme]
environment = "production"
api_key_variable = "ACME_KEY"
[beta]
environment = "production"
api_key_file = "/nowhere/beta.key"
warehouse_variable = "BETA_URL"
schema_prefix = "beta_"
[gamma]
environment = "test"
api_key_variable = "GAMMA_KEY"
[fresh-start]
environment = "production"
api_key_variable = "FRESH_KEY"
[broken]
environment = "production"
api_key_variable = "BROKEN_KEY"
[odd]
environment = "moon"
"""


def fee(month: str, stage: str, currency: str, amount: str, usd: str) -> Fee:
    return month, stage, currency, Decimal(amount), Decimal(usd)


ACME = (
    fee("last", "Paid", "EUR", "100.1050", "110.0050"),
    fee("last", "AwaitingDebituraPayment", "DKK", "700", "101"),
    fee("this", "Pending", "EUR", "10.10", "11.11"),
    fee("this", "Disputed", "EUR", "5000", "5500"),
)
BETA = (fee("last", "ReadyToInvoiceDebitura", "EUR", "50", "55"),)
GAMMA = (fee("this", "Pending", "EUR", "1000000", "1100000"),)


def put(root: Path, name: str, fees: tuple[Fee, ...], month: date = MONTH) -> Path:
    data = root / "data" / name
    data.mkdir(parents=True)
    rows = report_rows(month, [one for one in fees if one[1] != "Disputed"])
    rows["revenue_by_client"] += report_rows(month, fees)["revenue_by_client"][len(rows["revenue_by_client"]) :]
    fill_duckdb(data / "warehouse.duckdb", rows)
    publish_file(data, data / "warehouse.duckdb", NOW - timedelta(hours=5))
    record_nights(data, NOW - timedelta(hours=5))
    return data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "partners.toml").write_text(FILE)
    put(tmp_path, "acme", ACME)
    beta, gamma = put(tmp_path, "beta", BETA), put(tmp_path, "gamma", GAMMA)
    record_nights(beta, NOW - timedelta(hours=31), is_proven=False, reason="cases: 3 windows moved")
    (gamma / "incidents").mkdir()
    incident = Incident("quarantine", "cases", "3 rows do not fit.", NOW - timedelta(hours=2))
    (gamma / "incidents" / "state.json").write_bytes(msgspec.json.encode(State(incidents=[incident])))
    broken = put(tmp_path, "broken", BETA)
    (broken / "published" / "current" / "debitura.duckdb").write_bytes(b"not a database")
    return tmp_path


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(path, read_only=True) as file:
        return file.execute(sql).fetchall()


def test_reports_of_all_partners_by_name(root: Path) -> None:
    """No secret is set, one partner has published nothing, one file is damaged, one table is wrong."""
    with duckdb.connect(root / "data/beta/warehouse.duckdb") as file:  # of an older version, and of a newer one
        file.execute("ALTER TABLE reports.revenue_by_client DROP COLUMN transaction_count")
        file.execute("ALTER TABLE reports.revenue_by_client ALTER referral_fee TYPE decimal(18, 4)")
        file.execute("CREATE TABLE reports.later AS SELECT 1 AS partner, 2 AS x")
    publish_file(root / "data/beta", root / "data/beta/warehouse.duckdb", NOW)
    facts = fleet_of(root, NOW)
    assert facts.data == root / "data/published/fleet.duckdb"
    assert {member.name: bool(member.fault) for member in facts.members}["broken"]
    assert rows(facts.data, "SELECT partner, currency, referral_fee, transaction_count FROM fleet.revenue_by_client "
                            "WHERE revenue_stage <> 'Disputed' ORDER BY ALL") == [
        ("acme", "DKK", Decimal(700), 1),
        ("acme", "EUR", Decimal("10.1"), 1),
        ("acme", "EUR", Decimal("100.105"), 1),
        ("beta", "EUR", Decimal(50), None),
        ("gamma", "EUR", Decimal(1000000), 1),
    ]  # fmt: skip
    assert rows(facts.data, "FROM fleet.later") == [("beta", 2)]
    assert rows(facts.data, "SELECT partner, is_fresh, is_proven, is_readable, open_incidents FROM fleet.partners") == [
        ("acme", True, True, True, 0), ("beta", False, False, True, 0), ("gamma", True, True, True, 1),
        ("fresh-start", False, None, False, 0), ("broken", True, True, False, 0), ("odd", False, None, False, 0),
    ]  # fmt: skip
    assert rows(facts.data, "SELECT partner, incident, subject FROM fleet.incidents") == [
        ("gamma", "quarantine", "cases")
    ]


def test_page_has_each_currency_for_itself(root: Path) -> None:
    """Nothing of one currency or of the test environment is in the sum of another."""
    found = read_tables(fleet_of(root, NOW).page.read_text())
    assert [row[:3] for row in found["together"].rows] == [
        ["DKK", "Production", "1"], ["EUR", "Production", "2"], ["EUR", "Test", "1"],
    ]  # fmt: skip
    assert [[Decimal(cell) for cell in row[3:]] for row in found["together"].rows] == [
        [700, 0, 700], [Decimal("150.105"), Decimal("10.1"), Decimal("60.1")], [0, 1000000, 1000000],
    ]  # fmt: skip
    assert [row[:2] for row in found["partner_currencies"].rows] == [
        ["acme", "DKK"], ["acme", "EUR"], ["beta", "EUR"], ["gamma", "EUR"],
    ]  # fmt: skip
    assert found["partner_currencies"].headings[2:] == list(HEADS)
    partners = {row[0].split()[0]: row for row in found["partners"].rows}
    assert [Decimal(cell) for cell in partners["acme"][5:]] == [Decimal("211.005"), Decimal("11.11"), Decimal("112.11")]
    assert partners["fresh-start"][5:] == partners["broken"][5:] == ["–"] * 3


def test_those_that_need_a_look_come_first(root: Path) -> None:
    text = fleet_of(root, NOW).page.read_text()
    found = read_tables(text)
    assert [row[0].split()[0] for row in found["partners"].rows] == [
        "fresh-start",
        "odd",
        "beta",
        "gamma",
        "broken",
        "acme",
    ]
    assert [(row[0].split()[0], row[1], row[3]) for row in found["partners"].rows][1:3] == [
        ("odd", "settings at fault", "–"), ("beta", "late", "not proven"),
    ]  # fmt: skip
    problems = {(row[0], row[3]): row[1] for row in found["problems"].rows}
    assert problems["gamma", "debitura --partner gamma status"] == "Rows are in quarantine (cases): 3 rows do not fit."
    assert problems["beta", "debitura --partner beta reconcile"] == "Not proven complete: cases: 3 windows moved."
    assert "cannot be read" in problems["broken", "debitura --partner broken nightly"]
    assert "SettingsError" not in text and "must be" not in problems.get(("acme", ""), "")


def test_data_of_another_month_is_in_no_column_of_this_one(root: Path) -> None:
    """On the second of a month, the last month of a partner that is late is not that of the others."""
    (root / "partners.toml").write_text(FILE + '[late]\nenvironment = "production"\napi_key_variable = "LATE_KEY"\n')
    put(root, "late", BETA, date(2026, 10, 1))
    facts = fleet_of(root, NOW)
    found = read_tables(facts.page.read_text())
    assert next(row for row in found["partners"].rows if row[0] == "late")[5:] == ["–", "–", "55.0000"]
    assert next(row for row in found["partner_currencies"].rows if row[0] == "late")[2:] == ["–", "–", "50.0000"]
    assert facts.money.elsewhen == {"late"}


def test_files_are_private_and_a_failure_leaves_the_old_ones(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = fleet_of(root, NOW)
    before = facts.page.read_bytes(), facts.data.resolve().read_bytes()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (facts.page, facts.data)] == [0o600, 0o600]
    published = root / "data" / "published"
    assert sorted(path.name for path in published.iterdir()) == ["debitura_fleet.duckdb", "fleet.duckdb"]

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("debitura_pipeline.fleet.file.os.fsync", full_disk)
    with pytest.raises(Exception, match=r"cannot be written in .*data: No space left on device"):
        fleet_of(root, NOW)
    assert (facts.page.read_bytes(), facts.data.resolve().read_bytes()) == before
    assert len(list(published.iterdir())) == 2


def test_command_says_what_is_wrong_and_exits_with_1_for_a_file_that_cannot_be_read(root: Path) -> None:
    env = {"DEBITURA_PARTNERS": str(root / "partners.toml"), "DEBITURA_DATA_DIR": str(root / "data")}
    said = debitura("partners", "report", "--json", env=env)
    assert said.status == 1
    told = json.loads(said.out)
    assert told["error"].startswith("broken: ")
    assert told["partners"][0]["by_currency"]["DKK"] == {
        "last_month": "700.0000",
        "this_month": "0.0000",
        "still_to_come": "700.0000",
    }
    quiet = debitura("--quiet", "partners", "status", "--exit-code", env=env)
    assert quiet.status == 1
    assert "gamma: incident: rows are in quarantine (cases)" in quiet.out
    single = debitura("--partner", "acme", "partners", "report", env=env)
    assert single.status == 2
    assert "leave it out" in single.error_line
