"""Where do the API's totals and ours part ways, and is it cheaper to look closer or to read? Pure decisions.

Belongs here: comparing one window, bucket by bucket, and choosing the next step. Does not: asking or reading (`night.py`).
Looking closer costs one request per halving: the other half is what the whole stated less the half that was asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from debitura_pipeline.api.page import Total
from debitura_pipeline.contract.stages import STAGES, UNCLASSIFIED
from debitura_pipeline.extract.comparison import bucket_differs, stated_step
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.hourly_totals import NOTHING, SCALE, Figure

PAGE_ROWS = 100
LEAF_ROWS = 150  # a bucket this small is read rather than halved: halving on costs a request, reading it one or two
READ_PER_CHANGE = 1.5  # pages read at the end of one narrowing, on average
HOUR = timedelta(hours=1)
CLOSED = "closed"  # the bucket of cases that are audited by count
BUCKETS = {*STAGES, UNCLASSIFIED, CLOSED}


@dataclass(frozen=True)
class Difference:
    """One bucket of one window: rows that the API states, and how many more or fewer these are than ours."""

    bucket: str
    stated_rows: int
    changed_rows: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.stated_rows // PAGE_ROWS))

    @property
    def cost_of_narrowing(self) -> float:
        """Requests to find each change alone, were the changes spread evenly: at least one, at least the rows' balance."""
        changes = max(1, abs(self.changed_rows))
        halvings = math.log2(max(2.0, self.stated_rows / LEAF_ROWS / changes))
        return changes * (halvings + READ_PER_CHANGE)


def differences(stated: Totals, ours: Mapping[str, Figure], step: Decimal, roundings: int = 1) -> list[Difference]:
    """Buckets whose counts differ, or whose settled sums do; `step` is the last digit that the API states, `roundings`
    of how many answers `stated` was computed. A bucket that the API did not state is not judged.
    """
    found = []
    for bucket, total in with_unclassified(stated).summary.items():
        if total.count is None or bucket not in BUCKETS:
            continue
        rows, usd = ours.get(bucket, NOTHING)
        if bucket_differs(bucket, total, rows, Decimal(usd) / SCALE, step, roundings):
            found.append(Difference(bucket, total.count, total.count - rows))
    return found


def step_of(answers: Iterable[Totals]) -> Decimal:
    """The last digit of the fees that the API adds up, told by all sums of all these answers."""
    return stated_step(total.usd for stated in answers for name, total in stated.summary.items() if name in STAGES)


def with_unclassified(stated: Totals) -> Totals:
    """The totals with a bucket for rows that fit none: what the stages' counts leave over of all rows."""
    counts = [stated.summary[stage].count for stage in STAGES if stage in stated.summary]
    if len(counts) < len(STAGES) or UNCLASSIFIED in stated.summary:
        return stated
    rest = stated.count - sum(count for count in counts if count is not None)
    return Totals(stated.count, {**stated.summary, UNCLASSIFIED: Total(rest if None not in counts else None, None)})


def is_worth_narrowing(difference: Difference, window: Window) -> bool:
    """Halving finds the changes with fewer requests than reading the whole bucket, and the window can be halved."""
    return halves(window) is not None and difference.cost_of_narrowing < difference.pages


def halves(window: Window) -> tuple[Window, Window] | None:
    """The window cut in two at a whole hour, or None where it is one hour or has no bounds."""
    if window.start is None or window.end is None:
        return None
    hours = (window.end - window.start) // HOUR
    if hours < 2:
        return None
    middle = window.start + (hours // 2) * HOUR
    return Window(window.start, middle), Window(middle, window.end)


def less(whole: Totals, part: Totals) -> Totals:
    """What the rest of a window holds, given what the whole and one part of it state."""
    rest = {}
    for name, total in whole.summary.items():
        other = part.summary.get(name, Total(None, None))
        count = total.count - other.count if total.count is not None and other.count is not None else None
        usd = total.usd - other.usd if total.usd is not None and other.usd is not None else None
        rest[name] = Total(count, usd)
    return Totals(whole.count - part.count, rest)


def follows_dates(stated: Totals, everything: Totals) -> bool:
    """Whether the summary of a window is the window's own: its buckets add up to no more rows than the window has.

    Rows that fit no bucket make the sum smaller, never larger; a summary of the whole listing is larger.
    """
    counts = [stated.summary[stage].count for stage in STAGES if stage in stated.summary]
    if not counts or any(count is None for count in counts):
        return False
    return sum(count for count in counts if count is not None) <= stated.count or stated.count == everything.count
