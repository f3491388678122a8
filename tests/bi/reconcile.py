"""The dashboards' figures beside the reports' of the same warehouse: pairs that must be equal, to the last decimal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from debitura_pipeline.contract.stage_groups import LABELS
from debitura_pipeline.formats import title_case
from tests.bi.running import PAGES, show

Read = Callable[[str], list[tuple[Any, ...]]]
BASES = ("collected", "recognized", "invoiced", "paid")
EXPECTED = "revenue_stage NOT IN ('Disputed', 'Unclassified')"


def pairs(data_dir: Path, rows: Read) -> Iterator[tuple[str, Any, Any]]:
    """Name, what the dashboards show, what the reports say. `rows` reads the warehouse that is published in `data_dir`."""
    steps = [{"page": page} for page in PAGES] + [{"page": "revenue", "state": {"basis": basis}} for basis in BASES]
    shown = show(data_dir, *steps)
    yield "exceptions", [one["exceptions"] + one["error"] for one in shown], [[]] * len(steps)
    pages = dict(zip(PAGES, shown, strict=False))
    yield from _stages(pages, rows)
    for basis, one in zip(BASES, shown[len(PAGES) :], strict=True):
        yield (
            f"{basis} by month",
            cells(one["tables"]["bases"], "month", "fee_usd"),
            summed(rows(f"SELECT month, referral_fee_usd FROM reports.revenue_by_month WHERE basis = '{basis}'")),
        )
    periods = pages["overview"]["tables"]["periods"]
    for basis in BASES:
        yield f"{basis} by period", cells(periods, "period", f"{basis}_usd"), summed(
            [(title_case(period), usd) for period, usd in rows(
                f"SELECT period, referral_fee_usd FROM reports.revenue_summary WHERE basis = '{basis}'"
            )]
        )  # fmt: skip
    changes = sum(row["changes"] for row in pages["overview"]["tables"].get("changes", []))
    yield "changes", changes, rows("SELECT count(*) FROM reports.what_changed")[0][0]
    yield from _money_to_come(pages["pipeline"]["tables"], rows)
    yield (
        "recovered",
        cells(pages["recovery"]["tables"]["ended"], "currency", "recovered_amount"),
        summed(
            rows(
                "SELECT currency, recovered_of_ended FROM reports.recovery_rates WHERE debtor_country = 'all' AND currency <> 'all'"
            )
        ),
    )
    yield (
        "clients",
        cells(pages["attribution"]["tables"]["clients"], "company_name", "fee_total_usd"),
        summed(rows("SELECT company_name, fee_total_usd FROM reports.attribution_by_client")),
    )
    for page, table, report in (("quality", "checks", "data_quality"), ("onboarding", "funnel", "onboarding_funnel")):
        count = sum(row.get("rows_count", row.get("client_count", 0)) for row in pages[page]["tables"].get(table, []))
        yield report, count, rows(f"SELECT count(*) FROM reports.{report}")[0][0]


def _stages(pages: dict[str, Any], rows: Read) -> Iterator[tuple[str, Any, Any]]:
    months = pages["revenue"]["tables"]["months"]
    for stage in LABELS:
        by_month = summed(
            rows(f"SELECT month, referral_fee_usd FROM reports.revenue_by_client WHERE revenue_stage = '{stage}'")
        )
        if by_month:
            yield f"{stage} by month", cells(months, "collected_month", stage), by_month
    paid = sum((usd for (usd,) in rows("SELECT fee_paid_usd FROM reports.attribution_by_client")), start=Decimal(0))
    yield "paid", pages["overview"]["metrics"]["Earned and paid"], f"{paid.quantize(Decimal('0.01')):,} USD"


def _money_to_come(tables: dict[str, Any], rows: Read) -> Iterator[tuple[str, Any, Any]]:
    calendar = rows(
        f"SELECT payment_class, payment_due_on, payer, referral_fee_usd FROM reports.payment_calendar WHERE {EXPECTED}"
    )
    shown = tables.get("calendar", [])
    dated = [row for row in shown if row["payment_due_on"] is not None]
    known = [(day, usd) for due, day, _, usd in calendar if due != "unknown"]
    yield "calendar by day", cells(dated, "payment_due_on", "referral_fee_usd"), summed(known)
    payers = summed([(payer, usd) for _, _, payer, usd in calendar])
    yield "calendar by payer", cells(shown, "payer", "referral_fee_usd"), payers
    owed = rows(
        "SELECT collection_partner, referral_fee_usd FROM reports.receivables_by_collection_partner "
        "WHERE revenue_stage IN ('AwaitingCollectionPartnerPayment', 'ConfirmedPendingInvoice')"
    )
    yield (
        "partners",
        cells(tables.get("partners", []), "collection_partner", "referral_fee_usd", none="unknown"),
        summed(owed),
    )


def cells(table: Sequence[dict[str, Any]], key: str, column: str, none: str | None = None) -> dict[Any, Decimal]:
    """Sums of a shown column by another one; groups of nothing are left out."""
    return summed([(none if row[key] is None else row[key], Decimal(row[column] or 0)) for row in table])


def summed(pairs_of: Sequence[tuple[Any, Any]]) -> dict[Any, Decimal]:
    found: dict[Any, Decimal] = {}
    for key, amount in pairs_of:
        name = key if key is None or isinstance(key, str) else str(key)
        found[name] = found.get(name, Decimal(0)) + Decimal(amount or 0)
    return {name: amount for name, amount in found.items() if amount}
