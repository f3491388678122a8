"""Partners with published data, without a run: their record of nights, their report tables, and their published files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

from debitura_pipeline.fleet import FleetFacts, write_fleet
from debitura_pipeline.orchestration import nights
from debitura_pipeline.settings.partners_file import find_partners
from debitura_pipeline.warehouse import published_folder
from debitura_pipeline.warehouse.exports import export_marts

# A partner's money: (stage, currency, fee, fee in USD), collected last month, this month, and so on.
Fee = tuple[str, str, str, Decimal, Decimal]
SUMMARY = (
    "period varchar, period_order integer, basis varchar, from_on date, to_on date, referral_fee_usd decimal(28, 4), "
    "is_complete boolean"
)
BY_MONTH = "basis varchar, month date, currency varchar, referral_fee decimal(28, 4), referral_fee_usd decimal(28, 4)"
BY_CLIENT = (
    "creditor_id varchar, month date, revenue_stage varchar, currency varchar, transaction_count bigint, "
    "referral_fee decimal(28, 4), referral_fee_usd decimal(28, 4)"
)
TABLES = {"revenue_summary": SUMMARY, "revenue_by_month": BY_MONTH, "revenue_by_client": BY_CLIENT}
Rows = dict[str, list[tuple[object, ...]]]


def report_rows(month: date, fees: Sequence[Fee]) -> Rows:
    """The rows of three reports for fees (`this` or `last` month, stage, currency, fee, USD)."""
    before = (month - timedelta(days=1)).replace(day=1)
    firsts = {"this": month, "last": before}
    rows: Rows = {name: [] for name in TABLES}
    for order, (period, which) in enumerate((("month_to_date", "this"), ("last_month", "last")), 1):
        usd = sum((fee[4] for fee in fees if fee[0] == which), Decimal(0))
        rows["revenue_summary"].append((period, order, "collected", firsts[which], month, usd, True))
    for which, first in firsts.items():
        for currency in sorted({fee[2] for fee in fees}):
            found = [fee for fee in fees if (fee[0], fee[2]) == (which, currency)]
            sums = (sum((fee[place] for fee in found), Decimal(0)) for place in (3, 4))
            if found:
                rows["revenue_by_month"].append(("collected", first, currency, *sums))
    rows["revenue_by_client"] = [
        ("c1", firsts[which], stage, currency, 1, fee, usd) for which, stage, currency, fee, usd in fees
    ]
    return rows


def fill_duckdb(path: Path, rows: Rows) -> None:
    """A warehouse file with these reports alone."""
    with duckdb.connect(path) as file:
        file.execute("CREATE SCHEMA reports; CREATE SCHEMA ops; CREATE TABLE ops.syncs (status varchar, mode varchar, "
                     "resource varchar, as_of timestamptz)")  # fmt: skip
        for table, columns in TABLES.items():
            file.execute(f"CREATE TABLE reports.{table} ({columns})")
            if rows[table]:
                file.executemany(
                    f"INSERT INTO reports.{table} VALUES ({', '.join('?' * len(rows[table][0]))})", rows[table]
                )


def publish_file(data_dir: Path, warehouse: Path, at: datetime) -> None:
    """Publish a warehouse file as a run does, without spreadsheet."""
    folder = data_dir / "published"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with published_folder.draft_folder(folder) as draft:
        shutil.copyfile(warehouse, draft / "warehouse.duckdb")
        export_marts(draft)
        published_folder.switch_to(folder, draft, as_of=at, now=at)


def record_nights(
    data_dir: Path, ended_at: datetime, outcome: str = "done", *, is_proven: bool = True, reason: str = ""
) -> None:
    """One nightly run that ended then."""
    began = {
        "event": "began",
        "run_id": "r",
        "at": (ended_at - timedelta(minutes=5)).isoformat(),
        "started_by": "command",
    }
    ended = {"event": "ended", "run_id": "r", "at": ended_at.isoformat(), "outcome": outcome, "is_proven": is_proven}
    lines = (
        {**began, "pid": os.getpid(), "host": os.uname().nodename},
        {**ended, "reason": reason or None, "cause": None},
    )
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / nights.FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))


def fleet_of(root: Path, now: datetime) -> FleetFacts:
    """Write the fleet of `root/partners.toml`, whose data is in `root/data`. No secret is set."""
    given = {"DEBITURA_PARTNERS": str(root / "partners.toml"), "DEBITURA_DATA_DIR": str(root / "data")}
    partners = find_partners(given, root)
    assert partners is not None
    return write_fleet(partners, given, now=lambda: now)
