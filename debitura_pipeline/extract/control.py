"""Compares the API's own totals with ours and says which hold. Pure but for the counting of our rows in SQL.

Belongs here: verdicts. Does not: asking the API (`sync.py` passes the totals it got) or storing. USD is compared to less
than a cent. Where the API does not say what a figure counts, every reading that makes sense is tried and the one that fits
is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from debitura_pipeline.extract.evidence import FLOATING, Totals
from debitura_pipeline.extract.stages import (
    STAGES,
    UNCLASSIFIED,
    client_totals_sql,
    lifecycle_totals_sql,
    stage_totals_sql,
)
from debitura_pipeline.landing.findings import ControlTotal

Rows = Callable[[str], Sequence[tuple[Any, ...]]]
Readings = Sequence[tuple[str, Decimal | int]]  # (what is counted, our figure), the most likely first

CENT = Decimal("0.01")
ZERO = Decimal(0)


def control_totals(resource: str, totals: Totals, mode: str | None, rows: Rows) -> list[ControlTotal]:
    """The API's `totals` of the whole listing beside the live rows of `raw`. `rows` runs one statement."""
    live = f"(SELECT * FROM raw.{resource} WHERE _deleted_at IS NULL) AS live"
    if resource == "transactions":
        found = _transactions(totals, mode, live, rows)
    elif resource == "cases":
        found = _cases(totals, rows(lifecycle_totals_sql(live))[0])
    else:
        found = _clients(totals, rows(client_totals_sql(live))[0])
    aside = rows(f"SELECT count(*) FROM ops.quarantine WHERE resource = '{resource}' AND resolved_at IS NULL")[0][0]
    return [_explained(total, int(aside)) for total in found]


def _transactions(totals: Totals, mode: str | None, live: str, rows: Rows) -> list[ControlTotal]:
    ours = {stage: (count, usd) for stage, count, usd in rows(stage_totals_sql(live, mode))}
    revenue = rows(f"SELECT coalesce(sum(debitura_revenue_usd), 0) FROM {live}")[0][0]
    found = [_one("transactions", "rows", "all", "count", totals.count, [("rows", sum(c for c, _ in ours.values()))])]
    for stage in STAGES:
        stated = totals.summary.get(stage)
        count, usd = ours.get(stage, (0, ZERO))
        if stated is None:
            continue
        if stated.count is not None:
            found.append(_one("transactions", "stage", stage, "count", stated.count, [("rows", count)]))
        if stated.usd is not None:
            found.append(_floating(_one("transactions", "stage", stage, "usd", stated.usd, [("fees", usd)])))
    stated = totals.summary.get("debitura_revenue")
    if stated is not None and stated.usd is not None:
        found.append(
            _floating(_one("transactions", "debitura_revenue", "all", "usd", stated.usd, [("revenue", revenue)]))
        )
    if UNCLASSIFIED in ours:
        detail = f"{ours[UNCLASSIFIED][0]} rows fit none of the API's stages"
        found = [total if total.verdict == "equal" else _with_detail(total, detail) for total in found]
    return found


def _cases(totals: Totals, counted: tuple[int, ...]) -> list[ControlTotal]:
    total, active, paused, closed, merged = counted
    pending = total - active - paused - closed - merged
    readings: Mapping[str, Readings] = {
        "total": [("all cases", total), ("all but merged", total - merged)],
        "active": [("Active", active)],
        "paused": [("Paused", paused)],
        "closed": [("Closed", closed), ("Closed and Merged", closed + merged)],
        "pending": [("every other open state", pending), ("every other state, Merged too", pending + merged)],
    }
    found = [_one("cases", "rows", "all", "count", totals.count, [("rows", total)])]
    return found + _counts("cases", "lifecycle", totals, readings)


def _clients(totals: Totals, counted: tuple[int, ...]) -> list[ControlTotal]:
    names = ("total", "attributed", "onboarding_complete", "onboarding_pending")
    readings = {name: [("clients", figure)] for name, figure in zip(names, counted, strict=True)}
    found = [_one("clients", "rows", "all", "count", totals.count, [("rows", counted[0])])]
    return found + _counts("clients", "clients", totals, readings)


def _counts(resource: str, check: str, totals: Totals, readings: Mapping[str, Readings]) -> list[ControlTotal]:
    stated = {name: total.count for name, total in totals.summary.items()}
    return [
        _one(resource, check, name, "count", count, options)
        for name, options in readings.items()
        if (count := stated.get(name)) is not None
    ]


def per_client_totals(rows: Rows) -> list[ControlTotal]:
    """What each live client's record says of itself beside its cases and transactions; nothing is asked of the API."""
    found = []
    for record in rows(_PER_CLIENT):
        creditor, cases, closed, earnings, *ours = record
        total, until, closed_ours, merged, fees, undisputed, final, recognized, paid = ours
        checks: list[tuple[str, str, Any, Readings]] = [
            ("cases_total", "count", cases, [("all cases", total), ("cases known when the client was read", until)]),
            ("cases_closed", "count", closed, [("Closed", closed_ours), ("Closed and Merged", closed_ours + merged)]),
            ("earnings_usd", "usd", earnings, [
                ("all fees", fees), ("fees without disputed ones", undisputed), ("final fees", final),
                ("recognized fees", recognized), ("fees paid out", paid),
            ]),
        ]  # fmt: skip
        found += [
            _one("clients", check, "all", unit, stated, options, scope=creditor)
            for check, unit, stated, options in checks
            if stated is not None
        ]
    return found


def _one(
    resource: str, check: str, bucket: str, unit: str, stated: Decimal | int, readings: Readings, scope: str = "all"
) -> ControlTotal:
    """One comparison; the first reading within less than a cent is taken, else the first is shown as differing."""
    figure = Decimal(stated)
    fitting = [(name, Decimal(value)) for name, value in readings if abs(figure - Decimal(value)) < CENT]
    name, value = fitting[0] if fitting else (readings[0][0], Decimal(readings[0][1]))
    detail = f"read as: {name}" if len(readings) > 1 and fitting else None
    return ControlTotal(resource, check, scope, bucket, unit, figure, value, "equal" if fitting else "differs", detail)


def _floating(total: ControlTotal) -> ControlTotal:
    """A sum that moves with exchange rates proves nothing by differing."""
    if total.verdict == "equal" or not {total.bucket, total.check_name} & set(FLOATING):
        return total
    return _with_detail(total, "holds estimates, whose USD moves with exchange rates between two answers", "unproven")


def _explained(total: ControlTotal, aside: int) -> ControlTotal:
    """A difference that rows in quarantine can account for proves nothing; their own check says that they are there."""
    if total.verdict != "differs" or not aside or (total.unit == "count" and abs(total.difference) > aside):
        return total
    return _with_detail(total, f"{aside} rows in quarantine are not counted", "unproven")


def _with_detail(total: ControlTotal, detail: str, verdict: str | None = None) -> ControlTotal:
    facts = {**vars(total), "detail": detail, "verdict": verdict or total.verdict}
    return ControlTotal(**facts)


_PER_CLIENT = """
    WITH client_cases AS (
        SELECT cases.creditor_id, count(*) AS total,
            count(CASE WHEN cases.created_at <= clients._verified_at THEN 1 END) AS until,
            count(CASE WHEN lower(cases.lifecycle) = 'closed' THEN 1 END) AS closed,
            count(CASE WHEN lower(cases.lifecycle) LIKE 'merged%' THEN 1 END) AS merged
        FROM raw.cases JOIN raw.clients ON clients.creditor_id = cases.creditor_id
        WHERE cases._deleted_at IS NULL
        GROUP BY cases.creditor_id
    ), client_fees AS (
        SELECT creditor_id, sum(referral_fee_usd) AS fees,
            sum(CASE WHEN lower(referral_invoicing_status) = 'disputed' THEN 0 ELSE referral_fee_usd END) AS undisputed,
            sum(CASE WHEN is_estimate THEN 0 ELSE referral_fee_usd END) AS final,
            sum(referral_fee_recognized_usd) AS recognized,
            sum(CASE WHEN lower(referral_invoicing_status) = 'paid' THEN referral_fee_usd ELSE 0 END) AS paid
        FROM raw.transactions
        WHERE _deleted_at IS NULL
        GROUP BY creditor_id
    )
    SELECT clients.creditor_id, cases_total, cases_closed, earnings_usd,
        coalesce(total, 0), coalesce(until, 0), coalesce(closed, 0), coalesce(merged, 0),
        coalesce(fees, 0), coalesce(undisputed, 0), coalesce(final, 0), coalesce(recognized, 0), coalesce(paid, 0)
    FROM raw.clients
    LEFT JOIN client_cases ON client_cases.creditor_id = clients.creditor_id
    LEFT JOIN client_fees ON client_fees.creditor_id = clients.creditor_id
    WHERE clients._deleted_at IS NULL
    ORDER BY clients.creditor_id"""
