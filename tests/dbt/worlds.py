"""Small warehouses written by hand: `raw` and `ops` as the pipeline would leave them, for dbt to build on.

Belongs here: rows with believable defaults, their versions in history, and running dbt. Does not: assertions. Used by the
tests of this room only.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from debitura_pipeline import memory
from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.settings import PROJECT_ROOT
from debitura_pipeline.warehouse.tables import create_statements
from tests.support.parsed import reuse_project_parse

PROJECT = PROJECT_ROOT / "dbt"
# `dbt run` leaves seeds out.
COMMANDS = {"run": ("build", "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")}
FIRST_LOAD = datetime(2026, 3, 1, 2, tzinfo=UTC)
Row = Mapping[str, Any]

CLIENT = {
    "external_tenant_id": "tenant-1", "company_name": "Acme", "country": "Denmark", "is_attributed": True,
    "onboarding_done": True, "linked_at": datetime(2025, 1, 1, tzinfo=UTC),
}  # fmt: skip
CASE = {
    "creditor_id": "client-1", "external_tenant_id": "tenant-1", "company_name": "Acme", "debtor_country": "Germany",
    "gross_amount": "1000", "remainder": "1000", "currency": "EUR", "lifecycle": "Active",
    "created_at": datetime(2026, 1, 10, tzinfo=UTC),
}  # fmt: skip
TRANSACTION = {
    "creditor_id": "client-1", "external_tenant_id": "tenant-1", "company_name": "Acme", "case_id": "case-1",
    "occurred_at": datetime(2026, 2, 10, tzinfo=UTC), "payment_amount": "1000", "payment_currency": "EUR",
    "earnings_currency": "EUR", "debitura_revenue": "60", "debitura_revenue_usd": "66", "referral_fee_pct": "50",
    "referral_fee": "30", "referral_fee_usd": "33", "referral_fee_recognized_usd": "0", "is_estimate": True,
    "is_recognized": False, "commission_status": "Unpaid", "platform_invoicing_status": "NotInvoiced",
    "referral_invoicing_status": "Pending",
}  # fmt: skip
DEFAULTS = {"clients": CLIENT, "cases": CASE, "transactions": TRANSACTION}

# The statuses of each stage, while the partner is paid when Debitura is (PayWhenPaid).
STATUSES = {
    "Pending": ("Unpaid", "NotInvoiced", "Pending"),
    "ConfirmedPendingInvoice": ("Paid", "NotInvoiced", "Pending"),
    "AwaitingCollectionPartnerPayment": ("Paid", "InvoiceIssued", None),
    "ReadyToInvoiceDebitura": ("Paid", "PaymentReceived", "Pending"),
    "AwaitingDebituraPayment": ("Paid", "PaymentReceived", "Invoiced"),
    "Paid": ("Paid", "PaymentReceived", "Paid"),
    "Disputed": ("Paid", "PaymentReceived", "Disputed"),
    "Unclassified": ("Paid", "InvoiceCredited", None),
}


def at_stage(stage: str, usd: str = "33") -> dict[str, Any]:
    """Values of a transaction in that stage, flags and recognised amount as the API sets them."""
    commission, platform, referral = STATUSES[stage]
    is_recognized = platform == "PaymentReceived"
    return {
        "commission_status": commission, "platform_invoicing_status": platform, "referral_invoicing_status": referral,
        "is_estimate": commission != "Paid", "is_recognized": is_recognized, "referral_fee_usd": usd,
        "referral_fee_recognized_usd": usd if is_recognized else "0",
    }  # fmt: skip


def night(days: int) -> datetime:
    """The clock of the sync `days` nights after the first load."""
    return FIRST_LOAD + timedelta(days=days)


class World:
    """A DuckDB warehouse under construction. Every row is written to `raw` and to its history."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.connect() as connection:
            for statement in create_statements():
                connection.execute(statement)

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = duckdb.connect(str(self.path))
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(sql, params).fetchall()

    def records(self, table: str, order: str = "ALL") -> list[dict[str, Any]]:
        with self.connect() as connection:
            result = connection.execute(f"SELECT * FROM {table} ORDER BY {order}")
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def insert(self, table: str, row: Row) -> None:
        with self.connect() as connection:
            _insert(connection, table, row)

    def sync(
        self, at: datetime, status: str = "done", resources: Sequence[str] = ("clients", "cases", "transactions")
    ) -> None:
        """A sync record of each resource at that instant."""
        with self.connect() as connection:
            for resource in resources:
                row = {
                    "sync_id": f"{at:%Y%m%d}-{resource}", "resource": resource, "mode": "small", "status": status,
                    "started_at": at, "finished_at": at + timedelta(minutes=1), "is_proven": True,
                }  # fmt: skip
                _insert(connection, "ops.syncs", row)

    def add(self, resource: str, key: str, *versions: tuple[int, Row], gone: int | None = None, last: int = 0) -> None:
        """A row of `resource` with its versions: (night it was first read, values that differ from the version before).
        `gone`: night on which it was no longer there; `last`: night of the newest reading."""
        table = TABLES[resource]
        values: dict[str, Any] = {table.key: key, **DEFAULTS[resource]}
        versions = versions or ((0, {}),)
        starts = [start for start, _ in versions]
        with self.connect() as connection:
            for number, (start, changes) in enumerate(versions):
                values.update(changes)
                is_newest = number == len(versions) - 1
                end = gone if is_newest else starts[number + 1]
                last_read = max(start, last if end is None else end - 1)
                row = {
                    **values, "_first_seen_at": night(starts[0]), "_changed_at": night(start), "_sync_id": "test",
                    "_row_hash": f"{key}-{number}", "_verified_at": night(last_read),
                    "_deleted_at": night(gone) if is_newest and gone is not None else None,
                }  # fmt: skip
                validity = {"_valid_from": night(start), "_valid_to": None if end is None else night(end)}
                if not is_newest:
                    _insert(connection, f"raw.{resource}_superseded", {**row, **validity})
            _insert(connection, f"raw.{resource}", row)

    def add_many(self, resource: str, rows: Mapping[str, Row], *, last: int) -> None:
        """Rows of `resource` by key, one version each. In a row, `seen` is the night it was first read (0 by default), and
        `gone` the night on which it was no longer there."""
        table = TABLES[resource]
        with self.connect() as connection:
            for key, given in rows.items():
                seen, gone = given.get("seen", 0), given.get("gone")
                values = {name: value for name, value in given.items() if name not in ("seen", "gone")}
                known = {
                    "_first_seen_at": night(seen), "_changed_at": night(seen), "_sync_id": "test", "_row_hash": f"{key}-0",
                    "_verified_at": night(last if gone is None else gone - 1),
                    "_deleted_at": None if gone is None else night(gone),
                }  # fmt: skip
                _insert(connection, f"raw.{resource}", {table.key: key, **DEFAULTS[resource], **values, **known})

    def mode(self, *periods: tuple[int, str | None]) -> None:
        """The partner's invoicing mode from each night on."""
        for number, (start, mode) in enumerate(periods):
            end = periods[number + 1][0] if number + 1 < len(periods) else None
            row = {
                "invoicing_trigger_mode": mode, "referral_fee_pct": "50", "_valid_from": night(start),
                "_valid_to": None if end is None else night(end),
            }  # fmt: skip
            self.insert("raw.partner_history", row)

    def control(
        self, resource: str, check: str, bucket: str, unit: str, api: str, verdict: str = "equal", **more: Any
    ) -> None:
        row = {
            "sync_id": "test", "checked_at": FIRST_LOAD, "resource": resource, "check_name": check, "scope": "all",
            "bucket": bucket, "unit": unit, "api_value": api, "verdict": verdict, **more,
        }  # fmt: skip
        self.insert("ops.control_totals", row)

    def build(
        self, *arguments: str, command: str = "build", variables: Mapping[str, Any] | None = None, quiet: bool = True
    ) -> list[Any]:
        """Run dbt in this process, `run` being seeds and models without tests; the results of its nodes. Raises when dbt fails, with the messages of what failed."""
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        folder = _shared_folder()
        chosen = [
            *COMMANDS.get(command, (command,)), "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--no-use-colors", "--log-level-file", "none",
            "--log-path", str(folder / "logs"), "--target-path", str(folder / "target"),
            *(["--quiet"] if quiet else []), *arguments,
        ]  # fmt: skip
        if variables:
            chosen += ["--vars", str(dict(variables))]
        path = folder / self.path.name
        path.unlink(missing_ok=True)
        path.symlink_to(self.path)
        # One connection for all of it, as in the nightly job, takes half the time; dbt would let it go at the process's end.
        chosen_env = {
            "DEBITURA_DUCKDB_PATH": str(path), "DEBITURA_DBT_KEEP_OPEN": "True", "DEBITURA_DUCKDB_MEMORY": memory.for_duckdb(),
            "DEBITURA_SCHEMA_PREFIX": "",
        }  # fmt: skip
        with _environment(**chosen_env), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dbt's own
            try:
                outcome = dbtRunner().invoke(chosen)
            finally:
                DuckDBConnectionManager.close_all_connections()
        if outcome.exception is not None:
            raise outcome.exception
        results = list(getattr(outcome.result, "results", []))
        failed = [
            f"{r.node.unique_id}: {r.status} {r.message}" for r in results if r.status in ("error", "fail", "skipped")
        ]
        assert outcome.success and not failed, "\n".join(failed)
        return results


@cache
def _shared_folder() -> Path:
    """Where dbt finds the warehouse, and keeps what it has parsed: under another path it would parse the project anew."""
    folder = Path(tempfile.mkdtemp(prefix="debitura-test-dbt-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    reuse_project_parse(folder / "target", folder / "warehouse.duckdb")
    return folder


def _insert(connection: duckdb.DuckDBPyConnection, table: str, row: Row) -> None:
    names = ", ".join(row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
