"""Row counts and sums of the warehouse by hour and bucket, for any window that starts and ends on the hour. Pure.

Cumulative totals are stored, so the total of a window is the difference of two of them. Sums are integers in units of
1/10,000 USD and therefore exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from debitura_pipeline.extract.windows import Window

UNITS_PER_USD = 10_000  # sums are DECIMAL(18,4)
HOUR_S = 3_600

CountAndSum = tuple[int, int]  # rows, and their sum in 1/10,000 USD
NO_ROWS: CountAndSum = (0, 0)


@dataclass(frozen=True)
class _CumulativeTotals:
    """Cumulative totals of one bucket after each hour that has rows; three arrays of equal length, `hours` ascending."""

    hours: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    usd: npt.NDArray[np.int64]

    def before(self, hour: int | None) -> CountAndSum:
        """Total of all hours before `hour`, or of all hours if None."""
        position = len(self.hours) if hour is None else int(np.searchsorted(self.hours, hour, side="left"))
        return (int(self.rows[position - 1]), int(self.usd[position - 1])) if position else NO_ROWS


class HourlyTotals:
    """Rows and USD by hour and bucket. A bucket is a revenue stage of transactions or a state of cases.

    `undated` holds rows without a date by bucket; they count only in the window without bounds.
    """

    def __init__(self, counted: Iterable[tuple[datetime, str, int, Decimal]]) -> None:
        """Add up tuples (hour, bucket, rows, USD). Hours are aware; an hour and bucket may occur several times."""
        by_bucket: dict[str, list[tuple[int, int, int]]] = {}
        for at, bucket, rows, usd in counted:
            by_bucket.setdefault(bucket, []).append((_hour(at), rows, int(usd * UNITS_PER_USD)))
        self._buckets = {bucket: _accumulate(entries) for bucket, entries in by_bucket.items()}
        self.undated: dict[str, CountAndSum] = {}

    @classmethod
    def from_columns(cls, counted: pa.Table) -> HourlyTotals:
        """Build from the columns `hour`, `bucket`, `counted` and `usd`, with one row per hour and bucket.

        `hour` counts hours since 1970 and ascends within a bucket; `usd` is in 1/10,000 USD. Five years make hundreds of
        thousands of entries, so no entry becomes a Python object.
        """
        totals = cls(())
        hours, rows, usd = (counted[name].to_numpy() for name in ("hour", "counted", "usd"))
        encoded = counted["bucket"].combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy()
        for code, bucket in enumerate(encoded.dictionary.to_pylist()):
            own = codes == code
            totals._buckets[bucket] = _CumulativeTotals(hours[own], rows[own].cumsum(), usd[own].cumsum())
        return totals

    def in_window(self, window: Window) -> Mapping[str, CountAndSum]:
        """Return the total of each bucket within `window`, end excluded. Buckets without rows are omitted."""
        undated = self.undated if window.start is None and window.end is None else {}
        start = _hour(window.start) if window.start is not None else None
        end = _hour(window.end) if window.end is not None else None
        totals = dict(undated)
        for bucket, cumulative in self._buckets.items():
            lower = cumulative.before(start) if start is not None else NO_ROWS
            upper, extra = cumulative.before(end), undated.get(bucket, NO_ROWS)
            total = (upper[0] - lower[0] + extra[0], upper[1] - lower[1] + extra[1])
            if total[0]:
                totals[bucket] = total
        return totals

    def earliest(self) -> datetime | None:
        """The first hour that has rows."""
        hours = [int(cumulative.hours[0]) for cumulative in self._buckets.values() if len(cumulative.hours)]
        return datetime.fromtimestamp(min(hours) * HOUR_S, UTC) if hours else None

    def rows(self, window: Window) -> int:
        """Number of rows in `window`, over all buckets."""
        return sum(rows for rows, _ in self.in_window(window).values())


def _hour(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() // HOUR_S)


def _accumulate(entries: list[tuple[int, int, int]]) -> _CumulativeTotals:
    table = np.array(sorted(entries), dtype=np.int64)
    return _CumulativeTotals(table[:, 0].copy(), table[:, 1].cumsum(), table[:, 2].cumsum())
