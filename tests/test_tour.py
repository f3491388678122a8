"""`debitura tour`: its figures are those of the warehouse it leaves behind, and nothing personal of its files is in there."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import duckdb

from tests.support.command import debitura
from tests.support.leaks import find

PERSONAL = ("support_email", "user_name", "user_email", "debtor_name", "debtor_contact_person", "debtor_address")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_tour_tells_what_the_warehouse_holds(tmp_path: Path) -> None:
    folder, env = tmp_path / "tour", {"DEBITURA_DATA_DIR": str(tmp_path / "other")}
    said = debitura("tour", "--folder", str(folder), "--json", env=env)
    assert said.status == 0, said.err
    told = json.loads(said.out)
    claims = rows_of(folder / "claims.csv")
    with duckdb.connect(str(folder / "data" / "warehouse.duckdb"), read_only=True) as warehouse:
        cases = warehouse.execute(
            "SELECT case_id FROM raw.cases WHERE external_tenant_id = ? AND creditor_reference IN (SELECT unnest(?))",
            [told["tenant"], [claim["creditor_reference"] for claim in claims]],
        ).fetchall()
        payments = warehouse.execute(
            "SELECT count(*), sum(referral_fee_usd) FROM raw.transactions WHERE case_id IN (SELECT unnest(?))",
            [[case_id for (case_id,) in cases]],
        ).fetchall()
    assert len(cases) == told["cases"] == len(claims)
    assert payments == [(told["payments"], Decimal(str(told["fees_usd"])))]
    assert told["payments"] >= len(claims) - 1
    assert Decimal(str(told["confirmed_fees_usd"])) > 0
    assert Path(told["report"]).is_file()
    personal = {
        row[name]
        for row in (*rows_of(folder / "roster.csv"), *claims)
        for name in PERSONAL
        if row.get(name, "").strip()
    }
    assert personal and not find(folder / "data", personal)
    assert not (tmp_path / "other").exists()


def test_a_folder_that_no_tour_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    said = debitura("tour", "--folder", str(tmp_path / "mine"), env={"DEBITURA_DATA_DIR": str(tmp_path / "other")})
    assert said.status == 2 and "no tour made it" in said.error_line
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
