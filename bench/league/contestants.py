"""Who takes part: the command of a run, and where its rows are when it is done.

Belongs here: one entry per contestant, and its tables under the contract's names. Does not: running or judging.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine

# What is compared: enough to see a lost, dead or outdated row, and every amount that reports add up.
COMPARED = {
    "cases": ("case_id", "lifecycle", "close_code", "gross_amount", "remainder"),
    "transactions": (
        "transaction_id", "payment_amount", "referral_fee", "referral_fee_usd", "debitura_revenue_usd", "commission_status",
        "platform_invoicing_status", "referral_invoicing_status",
    ),
}  # fmt: skip
AMOUNTS = {
    "gross_amount",
    "remainder",
    "payment_amount",
    "referral_fee",
    "referral_fee_usd",
    "debitura_revenue_usd",
}
_PATHS = {
    "case_id": ("id",), "lifecycle": ("lifecycle",), "close_code": ("closeCode",), "gross_amount": ("grossAmount",),
    "remainder": ("remainder",), "transaction_id": ("transactionId",), "payment_amount": ("payment", "amount"),
    "referral_fee": ("earnings", "referralFeeAmount"), "referral_fee_usd": ("earnings", "referralFeeAmountUsd"),
    "debitura_revenue_usd": ("earnings", "debituraRevenueUsd"),
    "commission_status": ("status", "commissionPaymentStatus"),
    "platform_invoicing_status": ("status", "platformInvoicingStatus"),
    "referral_invoicing_status": ("status", "referralInvoicingStatus"),
}  # fmt: skip


@dataclass(frozen=True)
class Contestant:
    """`nightly`: how it is run each night; the first time it loads everything. `flat`: its own name of a column."""

    name: str
    program: str | None = None
    nightly: str = "nightly"
    options: tuple[str, ...] = ()
    peers: str = ""
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, address: str, folder: Path, *, is_full: bool) -> list[str]:
        if self.program is None:
            debitura = str(Path(sys.executable).with_name("debitura"))
            return [debitura, "sync", *(["--full"] if is_full else [])]
        return [
            self.peers, "-m", f"bench.league.{self.program}", "--url", address, "--key", machine.KEY,
            "--database", str(self.database(folder)), "--state", str(folder),
            "--mode", "full" if is_full else self.nightly, *self.options,
        ]  # fmt: skip

    def environment(self, address: str, folder: Path) -> dict[str, str]:
        return {**(machine.settings(address, folder) if self.program is None else {}), **self.env}

    def database(self, folder: Path) -> Path:
        return folder / ("warehouse.duckdb" if self.program is None else "peer.duckdb")

    def rows_sql(self, resource: str) -> str:
        """Its live rows, under the contract's names and types; amounts rounded from doubles where it keeps doubles."""
        if self.program is None:
            return f"(SELECT * FROM w.raw.{resource} WHERE _deleted_at IS NULL)"
        table = f"w.league.{resource}" if self.program == "dlt_rest" else f"w.{resource}"
        columns = []
        for name in COMPARED[resource]:
            own = _dlt(_PATHS[name]) if self.program == "dlt_rest" else ".".join(_PATHS[name])
            kind = "DECIMAL(18,4)" if name in AMOUNTS else "VARCHAR"
            columns.append(f'CAST("{own}" AS {kind}) AS "{name}"')
        return f"(SELECT {', '.join(columns)} FROM {table})"


def _dlt(path: tuple[str, ...]) -> str:
    """dlt's snake case, nested objects joined by two underscores."""
    return "__".join("".join(f"_{c.lower()}" if c.isupper() else c for c in name) for name in path)


def line_up(peers: str) -> list[Contestant]:
    return [
        Contestant("this pipeline, 8 in flight", env={"DEBITURA_CONCURRENCY": "8"}),
        # No minute's limit is set here, so that it takes as many as may be; under one it takes what this needs.
        Contestant("this pipeline, up to 32 in flight"),
        Contestant("dlt, incremental", "dlt_rest", peers=peers),
        Contestant("dlt, full refresh", "dlt_rest", nightly="full", peers=peers),
        Contestant("dlt, cut by hand, full refresh", "dlt_rest", nightly="full", options=("--cut", "12"), peers=peers),
        Contestant("plain script, 30 days", "plain", peers=peers),
        Contestant("plain script, everything", "plain", nightly="full", peers=peers),
        Contestant(
            "plain script, one batch, everything",
            "plain",
            nightly="full",
            options=("--batch-pages", "1000000"),
            peers=peers,
        ),
        Contestant(
            "plain script, one at a time, everything",
            "plain",
            nightly="full",
            options=("--in-flight", "1"),
            peers=peers,
        ),
    ]
