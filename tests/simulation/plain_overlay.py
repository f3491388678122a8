"""The overlay in plain Python: for worlds of fifty rows a hundred times quicker than statements that plan themselves anew.

Belongs here: the same answers from dictionaries, for words as the contract spells them, and the twin that asks both and
accepts no difference. Does not: what the answers are for. Where a history merges into the real warehouse it reads with the
twin, and so do the lessons; all others with the plain one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from debitura_pipeline.extract.ledger import Ledger
from debitura_pipeline.extract.overlay import Missing, Overlay
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.landing.contract import TABLES
from tests.simulation.judge import NO_STAGE, Terms, bucket_of
from tests.simulation.shelf import landed_at

STATUSES = ("commission_status", "platform_invoicing_status", "referral_invoicing_status", "referral_fee_usd")
READ = {"cases": ("created_at", "lifecycle"), "transactions": ("occurred_at", "paid_at", *STATUSES)}
UNCLASSIFIED = "Unclassified"
ZERO = Decimal(0)


class Known(NamedTuple):
    """A row as the overlay sees it; `seq`: the reading that showed it, 0 for a row before."""

    key: str
    dated: datetime | None
    bucket: str
    usd: Decimal
    creditor: str | None
    seq: int


class PlainOverlay:
    """Stands in for `Overlay`: the same constructor and answers."""

    def __init__(self, before: Path, resource: str, mode: str | None, date: str) -> None:
        self._resource, self._date = resource, date
        self._terms = Terms(resource, True, False, mode or "")
        self._rows: list[dict[str, Any]] = pq.read_table(before).to_pylist()
        self._before = {
            row["key"]: Known(row["key"], row[date], row["bucket"], row["usd"] or ZERO, row["creditor_id"], 0)
            for row in self._rows
        }
        self._laid: set[Path] = set()
        self._landed: dict[str, Known] = {}
        self._gone: set[str] = set()

    def close(self) -> None:
        """There is nothing to close."""

    def differs_by(self, other: str) -> bool:
        return any(_hour(row[self._date]) != _hour(row[other]) for row in self._rows)

    def use(self, files: Sequence[Path]) -> None:
        if not self._laid <= set(files):
            self._laid, self._landed = set(), {}
        for file in files:
            if file not in self._laid:
                self._lay(file)

    def _lay(self, file: Path) -> None:
        self._laid.add(file)
        key_name = TABLES[self._resource].key
        rows, seq = landed_at(file)
        for row in rows.select([key_name, "creditor_id", *READ[self._resource]]).to_pylist():
            key = row[key_name]
            if key not in self._landed or self._landed[key].seq < seq:
                bucket = bucket_of(self._terms, row)
                self._landed[key] = Known(
                    key,
                    row[self._date],
                    UNCLASSIFIED if bucket == NO_STAGE else bucket,
                    row.get("referral_fee_usd") or ZERO,
                    row["creditor_id"],
                    seq,
                )

    def drop(self, keys: Sequence[str]) -> None:
        self._gone |= set(keys)

    def ledger(self, as_bucket: str | None = None) -> Ledger:
        return Ledger((row.dated, as_bucket or row.bucket, 1, row.usd) for row in self._now() if row.dated is not None)

    def count(self) -> int:
        return sum(1 for _ in self._now())

    def earliest(self) -> datetime | None:
        return min((row.dated for row in self._before.values() if row.dated is not None), default=None)

    def missing(self, window: Window, bucket: str | None, *, doubtful: bool = False) -> list[Missing]:
        doubted = {row["key"] for row in self._rows if row["is_doubtful"]} if doubtful else None
        found = [
            Missing(row.key, row.dated, row.creditor)
            for row in self._unseen()
            if row.dated is not None and _lies(row, window, bucket) and (doubted is None or row.key in doubted)
        ]
        return sorted(found, key=lambda missing: missing.at)

    def seen_before(self, window: Window, bucket: str | None, seq: int) -> set[int]:
        return {row.seq for row in self._landed.values() if row.seq < seq and _lies(row, window, bucket)}

    def days_by_age(self) -> list[tuple[datetime, int, datetime]]:
        days: dict[datetime, list[datetime]] = {}
        for row in self._rows:
            if row[self._date] is not None:
                day = row[self._date].astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
                days.setdefault(day, []).append(row["_verified_at"])
        found = [(day, len(seen), min(seen)) for day, seen in days.items()]
        return sorted(found, key=lambda entry: (entry[2], entry[0]))

    def per_client(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for row in self._now():
            if row.creditor is not None:
                total, closed = found.get(row.creditor, (0, 0))
                found[row.creditor] = (total + 1, closed + (row.bucket == "closed"))
        return found

    def _unseen(self) -> Iterator[Known]:
        return (row for key, row in self._before.items() if key not in self._landed and key not in self._gone)

    def _now(self) -> Iterator[Known]:
        yield from self._unseen()
        yield from self._landed.values()


class TwinOverlay:
    """The real overlay, with the plain one beside it: every answer is asked of both."""

    def __init__(self, before: Path, resource: str, mode: str | None, date: str) -> None:
        self._real, self._plain = Overlay(before, resource, mode, date), PlainOverlay(before, resource, mode, date)

    def close(self) -> None:
        self._real.close()

    def __getattr__(self, name: str) -> Any:
        def ask(*args: Any, **options: Any) -> Any:
            real = getattr(self._real, name)(*args, **options)
            plain = getattr(self._plain, name)(*args, **options)
            assert _comparable(real) == _comparable(plain), f"{name}{args}: DuckDB says {real}, plain Python {plain}"
            return real

        return ask


def _comparable(answer: Any) -> Any:
    """A ledger hour by hour; missing rows whatever the order of those with the same date."""
    if isinstance(answer, Ledger):
        return {
            bucket: dict(
                zip(running.hours.tolist(), zip(running.rows.tolist(), running.usd.tolist(), strict=True), strict=True)
            )
            for bucket, running in answer._buckets.items()
        }
    if isinstance(answer, list) and answer and isinstance(answer[0], Missing):
        return sorted((row.at, row.key, row.creditor or "") for row in answer)
    return answer


def _lies(row: Known, window: Window, bucket: str | None) -> bool:
    if bucket is not None and row.bucket != bucket:
        return False
    bounded = window.start is not None or window.end is not None
    return not bounded or (
        row.dated is not None
        and (window.start is None or row.dated >= window.start)
        and (window.end is None or row.dated < window.end)
    )


def _hour(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
