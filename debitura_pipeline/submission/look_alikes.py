"""Warn of claims that may be one that was submitted already: other cases, claims and rows that look like them. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.states import PLANNED, SENT, WITH_CASE, Record

LOOK_ALIKE_DAYS = timedelta(days=30)

Likeness: TypeAlias = tuple[str, Decimal, str, str]  # creditor id, amount, currency, debtor's country


def with_look_alikes(
    claims: Sequence[PlannedClaim],
    cases: Mapping[Likeness, Sequence[tuple[str, str | None]]],
    records: Iterable[Record],
    since: datetime,
) -> list[PlannedClaim]:
    """Warn of other cases, other claims and other rows with the same client, amount, currency and country.

    `cases`: those of the last 30 days, as (Debitura's reference, creditor reference). `records`: all claims; those sent after
    `since` count, since no reading may have shown their cases yet.
    """
    rows = RowsAlike(claims)
    sent: dict[tuple[str | None, Decimal | None, str | None], list[Record]] = defaultdict(list)
    for record in records:
        if (
            record.last_attempt_at is not None
            and record.last_attempt_at >= since
            and record.state in WITH_CASE | {SENT}
        ):
            sent[record.creditor_id, record.amount, record.currency].append(record)
    found = []
    for claim in claims:
        likeness = _likeness(claim)
        if claim.state != PLANNED or likeness is None:
            found.append(claim)
            continue
        listed = cases.get(likeness, ())
        others = [name for name, own in listed if own != claim.record.creditor_reference]
        warnings = [f"looks like case {name}: same client, amount, currency and country" for name in others[:3]]
        named = {own for _, own in listed} | {claim.record.creditor_reference}
        unread = [one for one in sent.get(likeness[:3], ()) if one.creditor_reference not in named]
        warnings += [
            f"looks like claim {one.creditor_reference}: same client, amount and currency" for one in unread[:3]
        ]
        if rows.is_one_near(claim):
            warnings.append("looks like another row: same client, amount, currency and country")
        found.append(replace(claim, warnings=(*claim.warnings, *warnings)))
    return found


def _likeness(claim: PlannedClaim) -> Likeness | None:
    if claim.row is None or claim.row.row is None or claim.record.creditor_id is None or claim.amount is None:
        return None
    return claim.record.creditor_id, claim.amount, claim.row.row.currency, claim.row.row.debtor_country


class RowsAlike:
    """Rows that would be sent, by likeness: the dates of their invoices, sorted, and how many have none."""

    def __init__(self, claims: Iterable[PlannedClaim]) -> None:
        self._days: dict[Likeness, list[date]] = defaultdict(list)
        self._undated: Counter[Likeness] = Counter()
        for claim in claims:
            if claim.state != PLANNED or (likeness := _likeness(claim)) is None:
                continue
            day = _invoice_day(claim)
            if day is None:
                self._undated[likeness] += 1
            else:
                self._days[likeness].append(day)
        for days in self._days.values():
            days.sort()

    def is_one_near(self, claim: PlannedClaim) -> bool:
        """Whether another row looks like this one and their invoices are at most 30 days apart, as far as they are dated."""
        likeness, day = _likeness(claim), _invoice_day(claim)
        if likeness is None:
            return False
        days, undated = self._days.get(likeness, []), self._undated[likeness]
        if day is None or undated:
            return len(days) + undated > 1
        place = bisect_left(days, day)  # its own, or that of another row of the same day
        neighbours = days[max(place - 1, 0) : place + 2]
        return sum(abs(one - day) <= LOOK_ALIKE_DAYS for one in neighbours) > 1


def _invoice_day(claim: PlannedClaim) -> date | None:
    return claim.row.row.invoice_date if claim.row is not None and claim.row.row is not None else None
