"""What each partner has earned last month and this month, and what is still to come: the figures of its own page.

In USD as the API converted it, and in each currency for itself. Two currencies are never added, and neither are amounts of two
environments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from debitura_pipeline.contract.stage_groups import EXPECTED, PAID
from debitura_pipeline.fleet.file import FLEET, FleetTables
from debitura_pipeline.fleet.members import FleetMember
from debitura_pipeline.report.read import REMOVED_CHARACTERS, ZERO

MONTH_TO_DATE, LAST_MONTH = "month_to_date", "last_month"
_TO_COME = ", ".join(f"'{stage}'" for stage in EXPECTED if stage != PAID)
# The fees collected in a period, as the partner's page has them; null where the period is not known as a whole.
_PERIODS = f"""
    SELECT partner, from_on, period, CASE WHEN is_complete THEN referral_fee_usd END FROM {FLEET}.revenue_summary
    WHERE basis = 'collected' AND period IN ('{MONTH_TO_DATE}', '{LAST_MONTH}')"""
_BY_MONTH = f"""
    SELECT partner, currency, month, sum(referral_fee) FROM {FLEET}.revenue_by_month
    WHERE basis = 'collected' AND month IN ($1, $2) GROUP BY ALL"""
_STILL_TO_COME = f"""
    SELECT partner, currency, sum(referral_fee) FILTER (revenue_stage IN ({_TO_COME})),
        sum(referral_fee_usd) FILTER (revenue_stage IN ({_TO_COME}))
    FROM {FLEET}.revenue_by_client GROUP BY ALL"""

# What a query needs; a file of an older version may lack it.
_OF_PERIOD = ("period", "basis", "from_on", "referral_fee_usd", "is_complete")
_OF_MONTH = ("basis", "month", "currency", "referral_fee")
_OF_STAGE = ("currency", "revenue_stage", "referral_fee", "referral_fee_usd")
_PLACES = {LAST_MONTH: "last_month", MONTH_TO_DATE: "this_month"}


@dataclass(frozen=True)
class Amounts:
    """Three amounts of one currency; None: not known. `last_month`, `this_month`: collected in it, of the fleet's months."""

    last_month: Decimal | None = None
    this_month: Decimal | None = None
    to_come: Decimal | None = None

    @property
    def is_any(self) -> bool:
        """Whether one of them is not zero."""
        return any((self.last_month, self.this_month, self.to_come))

    def plus(self, other: Amounts) -> Amounts:
        """Both together, of the same currency; what one of them does not know adds nothing."""
        return Amounts(
            _sum(self.last_month, other.last_month),
            _sum(self.this_month, other.this_month),
            _sum(self.to_come, other.to_come),
        )


@dataclass(frozen=True)
class FleetMoney:
    """`month`: first day of the newest month that a partner has read; None if nobody has. `usd`: by partner, all of its
    fees. `by_currency`: by partner and currency. `elsewhen`: partners whose data is of an earlier month."""

    month: date | None
    usd: Mapping[str, Amounts]
    by_currency: Mapping[tuple[str, str], Amounts]
    elsewhen: frozenset[str]

    @property
    def last_month(self) -> date | None:
        """The first day of the month before."""
        return None if self.month is None else _month_before(self.month)

    def totals(self, members: Iterable[FleetMember]) -> dict[tuple[str, str], tuple[int, Amounts]]:
        """By environment and currency: how many partners, and their amounts together."""
        environments = {member.name: member.overview.environment or "" for member in members}
        counts: Counter[tuple[str, str]] = Counter()
        sums: dict[tuple[str, str], Amounts] = {}
        for (partner, currency), amounts in self.by_currency.items():
            key = environments[partner], currency
            counts[key] += 1
            sums[key] = sums.get(key, Amounts()).plus(amounts)
        return {key: (counts[key], sums[key]) for key in sorted(sums)}


def read_money(tables: FleetTables, members: Sequence[FleetMember]) -> FleetMoney:
    """The amounts of all partners that have published. Raises duckdb.Error."""
    periods = _periods(tables)
    month = _newest(periods, members)
    last = None if month is None else _month_before(month)
    firsts = {MONTH_TO_DATE: month, LAST_MONTH: last}
    known = {key: usd for key, (from_on, usd) in periods.items() if from_on == firsts[key[1]]}
    to_come, by_currency = _still_to_come(tables)
    for partner, currency, first, fee in tables.rows("revenue_by_month", _BY_MONTH, _OF_MONTH, (month, last)):
        period, currency = MONTH_TO_DATE if first == month else LAST_MONTH, currency.translate(REMOVED_CHARACTERS)
        if known.get((partner, period)) is not None:
            one = by_currency.get((partner, currency), Amounts(to_come=ZERO if partner in to_come else None))
            by_currency[partner, currency] = one.plus(Amounts(**{_PLACES[period]: fee}))
    names = [member.name for member in members]
    usd = {
        name: Amounts(known.get((name, LAST_MONTH)), known.get((name, MONTH_TO_DATE)), to_come.get(name))
        for name in names
    }
    filled = {key: _filled(amounts, key[0], known) for key, amounts in sorted(by_currency.items()) if amounts.is_any}
    elsewhen = (name for name in names if (name, MONTH_TO_DATE) in periods and (name, MONTH_TO_DATE) not in known)
    return FleetMoney(month, usd, filled, frozenset(elsewhen))


def _periods(tables: FleetTables) -> dict[tuple[str, str], tuple[date, Decimal | None]]:
    """By partner and period: its first day, and the fees collected in it."""
    found = tables.rows("revenue_summary", _PERIODS, _OF_PERIOD)
    return {(partner, period): (from_on, usd) for partner, from_on, period, usd in found}


def _still_to_come(tables: FleetTables) -> tuple[dict[str, Decimal], dict[tuple[str, str], Amounts]]:
    """USD by partner, and amounts by partner and currency."""
    to_come: dict[str, Decimal] = {}
    by_currency: dict[tuple[str, str], Amounts] = {}
    for partner, currency, fee, usd in tables.rows("revenue_by_client", _STILL_TO_COME, _OF_STAGE):
        to_come[partner] = to_come.get(partner, ZERO) + (usd or ZERO)
        by_currency[partner, currency.translate(REMOVED_CHARACTERS)] = Amounts(to_come=fee or ZERO)
    return to_come, by_currency


def _filled(amounts: Amounts, partner: str, known: Mapping[tuple[str, str], Decimal | None]) -> Amounts:
    """Nothing in this currency is zero where the partner's month is known."""

    def zero(period: str) -> Decimal | None:
        return None if known.get((partner, period)) is None else ZERO

    return amounts.plus(Amounts(zero(LAST_MONTH), zero(MONTH_TO_DATE)))


def _newest(periods: Mapping[tuple[str, str], tuple[date, Any]], members: Iterable[FleetMember]) -> date | None:
    """The newest month that data has reached. A simulated API has a clock of its own, so it counts only among its like."""
    simulated = {member.name for member in members if member.is_simulated}
    months = {partner: from_on for (partner, period), (from_on, _) in periods.items() if period == MONTH_TO_DATE}
    real = [month for partner, month in months.items() if partner not in simulated]
    return max(real or months.values(), default=None)


def _month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return other if one is None else one if other is None else one + other
