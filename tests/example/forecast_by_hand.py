"""The forecast of the example on 1 April 2026, worked from the methods of docs/data/forecast.md with plain arithmetic.

No payment has been seen from its beginning, since t03 already stood in its stage on the first load; so the documented terms
decide, with the weight of five transactions. Stays that began after the first load count beside them as long as they lasted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from math import exp, log, prod, sqrt

from tests.example.tables import Table, plain

TODAY = date(2026, 4, 1)
MONTHS = [date(2026 + month // 12, month % 12 + 1, 1) for month in range(3, 17)]
END_DAYS = [(after - TODAY).days - 1 for after in MONTHS[1:]]  # days from today to the end of each month
WEIGHT = 5

# Stage: its order, and days that its remaining steps should take. 28 days are 20 business days; 30 the collection partner's.
STAGES = {
    "Pending": (1, 28 + 30 + 30),
    "ConfirmedPendingInvoice": (2, 28 + 15 + 30),
    "AwaitingCollectionPartnerPayment": (3, 28 + 15 + 30),
    "ReadyToInvoiceDebitura": (4, 28 + 15),
    "AwaitingDebituraPayment": (5, 28),
}
# What stands in a stage: stage, USD, days since the landmark that its clock has passed, and days from that landmark to today of
# stays of known beginning. Clocks of the first two run from the invoice day, 8 March: 24 days, 4 after the landmark 20.
STANDING: list[tuple[str, str, int, Sequence[int]]] = [
    ("Pending", "12", 4, []),  # t01
    ("ConfirmedPendingInvoice", "3", 4, []),  # t10; the clock of t02's stay would have begun on 8 April
    ("AwaitingCollectionPartnerPayment", "22", 0, [0, 23]),  # t02, since today; t08 was there at its beginning, too
    ("AwaitingCollectionPartnerPayment", "25", 3, [3]),  # t08, 23 days
    ("AwaitingCollectionPartnerPayment", "1.5", 0, []),  # t12, 30 days, known since the first load
    ("ReadyToInvoiceDebitura", "9", 0, []),  # t04, 30 days; t09 beside it brings nothing
    ("AwaitingDebituraPayment", "8.8", 1, [1]),  # t13, since yesterday
]

# Open months of each case: created, closed (months since January 2025, which is 1), and gross in USD. A euro brings 85.60 USD for
# 76 in t01, t02 and t13; k4 has no share.
CASES = {"k1": (10, 99, round(1000 * 85.6 / 76, 2)), "k2": (9, 15, 300.0), "k3": (2, 99, 2000.0)}
OPEN = ("k1", "k3")
# Payments that are expected or paid: case, month in which they turned up, fee.
PAYMENTS = [
    ("k1", 14, 12), ("k1", 14, 22), ("k1", 13, 8.8), ("k2", 13, 15), ("k2", 14, 9), ("k2", 14, 3), ("k2", 12, 1.5),
    ("k3", 4, 50), ("k3", 15, 25),
]  # fmt: skip
LAST_MONTH = 15  # March 2026, the last that is over
SHARE_LEFT = 29 / 30  # of April
COLLECTED_TERM = 28 + 45 + 30  # days from a payment to Paid
COLUMNS = [
    "source", "revenue_stage", "stage_order", "horizon_months", "month", "as_of_day", "expected_usd", "median_usd", "low_usd",
    "high_usd", "months_seen", "is_reliable", "method",
]  # fmt: skip
BAND = "; band assumed: fewer than 6 past months"

Part = tuple[Decimal, Decimal]  # expected USD of a month, and its variance


def table() -> Table:
    """Columns and sorted rows, written like those of the other reports."""
    parts = {
        (stage, order): [
            _sum([_transaction(*one[1:], STAGES[stage][1], ahead) for one in STANDING if one[0] == stage])
            for ahead in range(13)
        ]
        for stage, (order, _) in STAGES.items()
    }
    open_cases = [_open_cases(ahead) for ahead in range(13)]
    total = [_sum([open_cases[ahead], *(months[ahead] for months in parts.values())]) for ahead in range(13)]
    rows = _rows("open_cases", "NotYetCollected", 0, open_cases, "fee per open amount: fewer than 30 payments seen")
    rows += _rows("total", "Total", 9, total, "sum of pipeline and open cases")
    for (stage, order), months in parts.items():
        rows += _rows("pipeline", stage, order, months, "documented terms: fewer than 30 payments seen")
    return COLUMNS, sorted(rows)


def _transaction(usd: str, days: int, stays: Sequence[int], term: int, ahead: int) -> Part:
    """Fee times the chance to be paid in that month, since it has not been paid so far."""

    def unpaid(end: int) -> float:
        steps = [1 - WEIGHT / term / (WEIGHT + sum(stay >= day for stay in stays)) for day in range(days + end + 1)]
        return round(prod(steps), 9)

    chance = ((unpaid(END_DAYS[ahead - 1]) if ahead else unpaid(0)) - unpaid(END_DAYS[ahead])) / unpaid(0)
    return _digits(float(usd) * chance, float(usd) ** 2 * chance * (1 - chance))


def _open_cases(ahead: int) -> Part:
    """Payments of this and all months before, each paid so many months later by the documented terms."""
    parts = []
    for booked in range(ahead + 1):
        fee, variance = (_booked(booked, power) for power in (1, 2))
        unpaid = 1 - 30 / COLLECTED_TERM  # after a month
        paid = round(unpaid ** (ahead - booked), 9) - round(unpaid ** (ahead - booked + 1), 9)
        parts.append(_digits(fee * paid, variance * paid))
    return _sum(parts)


def _booked(month: int, power: int) -> float:
    """Fees of payments to come in a calendar month, which has parts of two steps of a month each from today."""
    first = 0.0 if month == 0 else _rate(month, power) * (1 - SHARE_LEFT)
    return first + _rate(min(month + 1, 12), power) * SHARE_LEFT


def _rate(step: int, power: int) -> float:
    """Today's open amounts times what open cases brought so many months later, per unit of their amounts."""
    fees = sum(fee**power for case, month, fee in PAYMENTS if month - step >= CASES[case][0])
    months = range(1, LAST_MONTH - step + 1)
    base = sum(
        gross**power for month in months for created, closed, gross in CASES.values() if created <= month < closed
    )
    return round(sum(CASES[case][2] ** power for case in OPEN) * fees / base, 6 if power == 1 else 4)


def _digits(usd: float, variance: float) -> Part:
    """Rounded one by one, so that sums do not depend on their order."""
    return Decimal(f"{usd:.6f}"), Decimal(f"{variance:.4f}")


def _cents(usd: Decimal | float) -> Decimal:
    """Of an amount as tables hold it, with four digits."""
    return Decimal(f"{usd:.4f}").quantize(Decimal("0.01"), ROUND_HALF_UP)


def _sum(parts: Sequence[Part]) -> Part:
    return sum((usd for usd, _ in parts), Decimal(0)), sum((variance for _, variance in parts), Decimal(0))


def _rows(source: str, stage: str, order: int, months: Sequence[Part], method: str) -> list[tuple[str, ...]]:
    rows = []
    for ahead, (usd, variance) in enumerate(months):
        figures = (usd, *_band(float(usd), float(variance), ahead))
        cells = (
            source,
            stage,
            order,
            ahead,
            MONTHS[ahead],
            TODAY,
            *(_cents(figure) for figure in figures),
            0,
            False,
            method + BAND,
        )
        rows.append(tuple(map(plain, cells)))
    return rows


def _band(mean: float, variance: float, ahead: int) -> tuple[float, float, float]:
    """Median, 10 % and 90 % of a lognormal distribution, a tenth wider for each further month."""
    if not (mean and variance):
        return mean, mean, mean
    scale = sqrt(log(1 + variance / mean**2))
    score = round(1.2816 * (1 + 0.1 * (max(ahead, 1) - 1)), 4)
    median = mean / sqrt(1 + variance / mean**2)
    return median, median * exp(-score * scale), median * exp(score * scale)
