"""Compare the API's totals of a window with ours, and decide whether to bisect the window or read it. Pure.

One bisection step costs one request: the totals of the second half are the totals of the whole minus those of the first half.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.stages import STAGES, UNCLASSIFIED
from debitura_pipeline.extract.comparison import bucket_differs, stated_precision
from debitura_pipeline.extract.listing_client import PAGE_ROWS
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import HOUR, Window
from debitura_pipeline.incremental.hourly_totals import NO_ROWS, UNITS_PER_USD, CountAndSum

LEAF_ROWS = 150  # buckets up to this size are read: another bisection step costs a request, reading costs one or two
READS_PER_CHANGE = 1.5  # average number of pages read at the end of a bisection
CLOSED = "closed"  # bucket of closed and merged cases, which are compared by count
MERGED = "merged"  # the merged ones of them
BUCKETS = {*STAGES, UNCLASSIFIED, CLOSED}


@dataclass(frozen=True)
class Difference:
    """A bucket that differs in a window. `changed_rows`: rows that the API states minus ours."""

    bucket: str
    stated_rows: int
    changed_rows: int

    @property
    def pages(self) -> int:
        """Requests needed to read the whole bucket."""
        return max(1, -(-self.stated_rows // PAGE_ROWS))

    @property
    def bisection_cost(self) -> float:
        """Requests needed to find each change by bisection, assuming that changes are spread evenly.

        The number of changes is not known; it is at least one and at least the difference of the counts.
        """
        changes = max(1, abs(self.changed_rows))
        steps = math.log2(max(2.0, self.stated_rows / LEAF_ROWS / changes))
        return changes * (steps + READS_PER_CHANGE)


def compare_totals(
    stated: Totals, ours: Mapping[str, CountAndSum], precision: Decimal, roundings: int = 1
) -> list[Difference]:
    """Return the buckets whose count or settled sum differs. Buckets without a stated count are skipped.

    `precision` is the last digit that the API states (see `fee_precision`). `roundings` is the number of responses that
    `stated` was computed from, each with sums rounded on their own.
    """
    found = []
    for bucket, total in with_unclassified(stated).summary.items():
        if total.count is None or bucket not in BUCKETS:
            continue
        rows, usd = ours.get(bucket, NO_ROWS)
        if bucket_differs(bucket, total, rows, Decimal(usd) / UNITS_PER_USD, precision, roundings):
            found.append(Difference(bucket, total.count, total.count - rows))
    return found


def fee_precision(responses: Iterable[Totals]) -> Decimal:
    """Return the last digit of the fee sums that the API states, 0.0001 or 0.01 USD, judged by all sums of `responses`."""
    return stated_precision(
        total.usd for stated in responses for name, total in stated.summary.items() if name in STAGES
    )


def with_unclassified(stated: Totals) -> Totals:
    """Add the bucket of rows that fit no stage: all rows minus the rows of every stage."""
    counts = [stated.summary[stage].count for stage in STAGES if stage in stated.summary]
    if len(counts) < len(STAGES) or UNCLASSIFIED in stated.summary:
        return stated
    rest = stated.count - sum(count for count in counts if count is not None)
    return Totals(stated.count, {**stated.summary, UNCLASSIFIED: Total(rest if None not in counts else None, None)})


def should_bisect(difference: Difference, window: Window) -> bool:
    """Whether bisecting the window takes fewer requests than reading the whole bucket."""
    return bisect(window) is not None and difference.bisection_cost < difference.pages


def bisect(window: Window) -> tuple[Window, Window] | None:
    """Split the window at a whole hour. None if it is a single hour or has no bounds."""
    if window.start is None or window.end is None:
        return None
    hours = (window.end - window.start) // HOUR
    if hours < 2:
        return None
    middle = window.start + (hours // 2) * HOUR
    return Window(window.start, middle), Window(middle, window.end)


def subtract(whole: Totals, part: Totals) -> Totals:
    """Return the totals of a window without one of its parts. What either of them does not state is None."""
    rest = {}
    for name, total in whole.summary.items():
        other = part.summary.get(name, Total(None, None))
        count = total.count - other.count if total.count is not None and other.count is not None else None
        usd = total.usd - other.usd if total.usd is not None and other.usd is not None else None
        rest[name] = Total(count, usd)
    return Totals(whole.count - part.count, rest)


def honours_filter(stated: Totals, overall: Totals) -> bool:
    """Whether the summary stated for a window or a client covers its rows only.

    True if the stages add up to no more rows than there are; rows that fit no stage make their sum smaller. A summary of
    the whole listing adds up to more, unless these are all rows.
    """
    counts = [stated.summary[stage].count for stage in STAGES if stage in stated.summary]
    if not counts or any(count is None for count in counts):
        return False
    return sum(count for count in counts if count is not None) <= stated.count or stated.count == overall.count
