"""Fees by stage under the filters, read from `fct_transactions`, which has a column for each filter."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from bi.behind import TRANSACTIONS
from bi.figures import Card
from bi.filters import Condition
from bi.view import View
from debitura_pipeline.contract.stage_groups import AWAITED, DISPUTED, IS_MOVING, PAID, PENDING, READY, UNCLASSIFIED
from debitura_pipeline.formats import format_amount

TABLE = "marts.fct_transactions"
ESTIMATE = f"sum(CASE WHEN {IS_MOVING} THEN referral_fee_usd END)"
AT_RISK = "sum(CASE WHEN is_clawback_risk THEN referral_fee_usd END)"
_CARDS = (
    ("paid", "Earned and paid", (PAID,), "Debitura has paid these fees to you."),
    ("ready", "Ready to invoice", (READY,), "You may invoice Debitura for these fees now."),
    ("awaited", "Awaited", AWAITED, "Fees whose payment is still on its way."),
    ("estimated", "Estimated", (PENDING,), "An estimate, not earnings: commission not confirmed, and moving with exchange rates."),
    ("disputed", "Disputed", (DISPUTED,), "Under dispute: may shrink or go. In none of the other figures."),
    ("unclassified", "Unclassified", (UNCLASSIFIED,), "Statuses that fit no documented stage. In none of the other figures."),
)  # fmt: skip


def fees_where(view: View) -> Condition:
    """The filters on transactions."""
    return view.filters.on(
        client="creditor_id", month="collected_month", currency="earnings_currency", country="debtor_country"
    )


def stage_cards(view: View) -> list[Card]:
    """The partner report's headline figures; Unclassified only if there is any."""
    where = fees_where(view)
    found = view.frame(
        TABLE,
        (
            "revenue_stage",
            "coalesce(sum(referral_fee_usd), 0) AS usd",
            f"coalesce({ESTIMATE}, 0) AS estimate_usd",
            f"coalesce({AT_RISK}, 0) AS risk_usd",
        ),
        where,
        "GROUP BY 1",
    )
    by_stage = {row.revenue_stage: row for row in found.itertuples(index=False)}
    cards = []
    for key, label, stages, meaning in _CARDS:
        rows = [by_stage[stage] for stage in stages if stage in by_stage]
        if not rows and key == "unclassified":
            continue
        estimate = sum((Decimal(row.estimate_usd) for row in rows), start=Decimal(0))
        risk = sum((Decimal(row.risk_usd) for row in rows), start=Decimal(0))
        if estimate and key != "estimated":
            meaning = f"{meaning} Of which estimate: {format_amount(estimate)}."
        if risk:
            meaning = f"{meaning} Debitura may take back {format_amount(risk)}: the commission was credited."
        usd = sum((Decimal(row.usd) for row in rows), start=Decimal("0.0000"))
        cards.append(Card(key, label, usd, meaning, TRANSACTIONS, in_stages(where, stages)))
    return cards


def in_stages(where: Condition, stages: Iterable[str]) -> Condition:
    """The condition, in these stages only."""
    listed = tuple(stages)
    return where.also(f"revenue_stage IN ({', '.join('?' * len(listed))})", *listed)
