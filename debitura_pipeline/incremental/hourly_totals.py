"""Our side of the control totals: how many live rows, and what they add up to, in any window made of whole hours.

Belongs here: counts and sums by hour and bucket, kept so that a window is the difference of two running totals. Pure. Does
not: SQL (`overlay.py` counts the rows) or comparing (`narrow.py`). Sums are whole numbers of 1/10,000 USD, hence exact.
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

SCALE = 10_000  # DECIMAL(18,4)
HOUR_S = 3_600

Figure = tuple[int, int]  # rows, and their USD in 1/10,000
NOTHING: Figure = (0, 0)


@dataclass(frozen=True)
class _Running:
    """Running totals of one bucket, after each hour that has rows."""

    hours: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    usd: npt.NDArray[np.int64]

    def until(self, hour: int | None) -> Figure:
        """Totals of all hours before `hour`; None: of all."""
        place = len(self.hours) if hour is None else int(np.searchsorted(self.hours, hour, side="left"))
        return (int(self.rows[place - 1]), int(self.usd[place - 1])) if place else NOTHING


class Ledger:
    """Live rows by hour and bucket. A bucket is a revenue stage, or a state of cases."""

    def __init__(self, counted: Iterable[tuple[datetime, str, int, Decimal]]) -> None:
        """From (hour, bucket, rows, USD); hours aware, several entries of one hour and bucket are added up."""
        by_bucket: dict[str, list[tuple[int, int, int]]] = {}
        for at, bucket, rows, usd in counted:
            by_bucket.setdefault(bucket, []).append((_hour(at), rows, int(usd * SCALE)))
        self._buckets = {bucket: _running(entries) for bucket, entries in by_bucket.items()}
        self.undated: dict[str, Figure] = {}  # rows without a date: in no window but that of all rows

    @classmethod
    def of_columns(cls, counted: pa.Table) -> Ledger:
        """From columns `hour` (hours since 1970, ascending within a bucket), `bucket`, `counted`, `usd` (1/10,000), each hour
        and bucket once. Five years have hundreds of thousands of entries: none becomes a Python object."""
        ledger = cls(())
        hours, rows, usd = (counted[name].to_numpy() for name in ("hour", "counted", "usd"))
        encoded = counted["bucket"].combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy()
        for code, bucket in enumerate(encoded.dictionary.to_pylist()):
            here = codes == code
            ledger._buckets[bucket] = _Running(hours[here], rows[here].cumsum(), usd[here].cumsum())
        return ledger

    def of(self, window: Window) -> Mapping[str, Figure]:
        """Rows and USD per bucket within `window`, its end not included; buckets without rows are left out."""
        undated = self.undated if window.start is None and window.end is None else {}
        start = _hour(window.start) if window.start is not None else None
        end = _hour(window.end) if window.end is not None else None
        found = dict(undated)
        for bucket, running in self._buckets.items():
            before = running.until(start) if start is not None else NOTHING
            until, more = running.until(end), undated.get(bucket, NOTHING)
            figure = (until[0] - before[0] + more[0], until[1] - before[1] + more[1])
            if figure[0]:
                found[bucket] = figure
        return found

    def earliest(self) -> datetime | None:
        """The first hour that has rows."""
        hours = [int(running.hours[0]) for running in self._buckets.values() if len(running.hours)]
        return datetime.fromtimestamp(min(hours) * HOUR_S, UTC) if hours else None

    def rows(self, window: Window) -> int:
        return sum(rows for rows, _ in self.of(window).values())


def _hour(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() // HOUR_S)


def _running(entries: list[tuple[int, int, int]]) -> _Running:
    table = np.array(sorted(entries), dtype=np.int64)
    return _Running(table[:, 0].copy(), table[:, 1].cumsum(), table[:, 2].cumsum())
