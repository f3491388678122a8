"""Rows that look alike: which of them get a warning."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from debitura_pipeline.source import Claim, SourceRow
from debitura_pipeline.submission.look_alikes import LOOK_ALIKE_DAYS, with_look_alikes
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.states import Record

DAY, NOW = date(2026, 1, 1), datetime(2026, 6, 1, tzinfo=UTC)
CLAIM = Claim("t", "r", "5", "EUR", "company", "n", "DE")
WARNING = ("looks like another row: same client, amount, currency and country",)


def planned(number: int, day: int | None, amount: int = 5, state: str = "planned") -> PlannedClaim:
    claim = replace(CLAIM, reference=f"R-{number}", invoice_date=None if day is None else DAY + timedelta(day))
    record = Record("t", claim.reference, "creditor", state=state, amount=Decimal(amount), currency="EUR")
    return PlannedClaim(record, SourceRow(number, ("t", claim.reference), ("t", claim.reference), "hash", (), claim))


ROWS = st.lists(
    st.tuples(st.none() | st.integers(0, 200), st.integers(1, 2), st.sampled_from(["planned", "planned", "submitted"])),
    max_size=12,
)


@given(ROWS)
def test_row_is_warned_of_if_another_one_is_at_most_thirty_days_away(rows: list[tuple[int | None, int, str]]) -> None:
    claims = [planned(number, *row) for number, row in enumerate(rows)]
    found = with_look_alikes(claims, {}, (), NOW)
    for number, (day, amount, state) in enumerate(rows):
        is_near = state == "planned" and any(
            (amount, state) == (other_amount, other_state)
            and (day is None or other_day is None or abs(day - other_day) <= LOOK_ALIKE_DAYS.days)
            for other, (other_day, other_amount, other_state) in enumerate(rows)
            if other != number
        )
        assert found[number].warnings == (WARNING if is_near else ())
