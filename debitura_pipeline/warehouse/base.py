"""The `Warehouse` protocol and the records passed to it, independent of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.landing.findings import BadRow, ControlTotal, Drift


@dataclass(frozen=True)
class WindowRecord:
    """One verified window: bounds (None: open), what the API counted, what was read, and the landed file's hash."""

    from_: datetime | None
    to: datetime | None
    scope: str
    api_count: int | None
    rows_read: int
    attempts: int
    verified_at: datetime | None
    file: str | None
    sha256: str | None


@dataclass(frozen=True)
class DeletionScope:
    """Which live rows are gone when the reading does not show them: every one, those of these tenants, these keys, or none."""

    kind: Literal["all", "client", "keys", "none"]
    tenants: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind == "client") != bool(self.tenants):
            raise ValueError(f"A reading of kind {self.kind!r} and {len(self.tenants)} tenants makes no sense")
        if self.keys and self.kind != "keys":
            raise ValueError(f"A reading of kind {self.kind!r} names no keys")


@dataclass(frozen=True)
class LandedSync:
    """One resource as one sync landed it. `at` is the sync's clock: every instant that the merge writes.

    `files` stand in reading order, `sha256` beside them; a key that several of them hold counts as the one with the
    highest `_seq`. `certificate_sha256` is the hash of what was proven, `previous_sha256` that of the one before.
    `partner` is (invoicing trigger mode, referral fee percentage), where the sync asked for it.
    """

    sync_id: str
    resource: str
    mode: str
    at: datetime
    started_at: datetime
    finished_at: datetime
    upper_bound: datetime | None
    files: tuple[Path, ...]
    sha256: tuple[str, ...]
    windows: tuple[WindowRecord, ...]
    bad: tuple[BadRow, ...]
    drift: tuple[Drift, ...]
    deletion_scope: DeletionScope
    requests: int
    retries: int
    rows_read: int
    partner: tuple[str | None, Decimal | None] | None = None
    message: str | None = None
    certificate_sha256: str | None = None
    previous_sha256: str | None = None

    def __post_init__(self) -> None:
        if len(self.files) != len(self.sha256):
            raise ValueError(f"{len(self.files)} landed files and {len(self.sha256)} hashes make no sense")
        if self.resource not in TABLES:
            raise ValueError(f"{self.resource!r} is none of {', '.join(TABLES)}")
        if self.at.utcoffset() is None:
            raise ValueError(f"The clock of a sync must name its zone, and {self.at.isoformat()} does not")


@dataclass(frozen=True)
class FailedSync:
    """A sync that did not reach the merge, for its row in `ops.syncs`."""

    sync_id: str
    resource: str
    mode: str
    at: datetime
    started_at: datetime
    finished_at: datetime
    upper_bound: datetime | None
    requests: int
    retries: int
    rows_read: int


@dataclass(frozen=True)
class MergeCounts:
    """Rows that a merge touched. `returned` were deleted and are back; `unchanged` were shown as they stood."""

    inserted: int
    changed: int
    deleted: int
    unchanged: int
    returned: int


RunQuery = Callable[..., list[tuple[Any, ...]]]  # a query and its parameters in, rows out


@dataclass(frozen=True)
class Judgement:
    """What a merge comes to: the API's totals beside the warehouse's, whether the sync is proven, what its row says of it."""

    totals: tuple[ControlTotal, ...] = ()
    is_proven: bool = False
    message: str | None = None


Judge = Callable[[RunQuery], Judgement]  # asked inside the merge's transaction, once the rows are in
JudgeOf = Callable[[LandedSync], Judge]


class Warehouse(Protocol):
    """Schemas `raw` and `ops`. Parameters in SQL are numbered: `$1`, `$2`. Errors are WarehouseError or below."""

    def prepare(self) -> None:
        """Create schemas, tables and columns that are missing; what is there stays."""

    def merge(self, landed: LandedSync, *, judge: Judge | None = None, allow_shrink: bool = False) -> MergeCounts:
        """Merge one landing, in one transaction: rows, history, windows, findings, control totals, sync record.

        `judge` sees the rows as merged; its totals, `is_proven` and message are written in the same transaction. Without
        one the sync counts as proven when it read windows and each of them is verified.
        Raises ShrinkRefused when too many rows would be marked deleted, LandingError when a file is not there or is not
        the one that was landed, WarehouseError when the landing is older than what was merged or was read on top of
        something else, or when a key would stand there twice. Nothing is written then.
        """

    def replay(self, landed: Iterable[LandedSync], judge_of: JudgeOf | None = None) -> list[MergeCounts]:
        """Rebuild `raw` and what `ops` got from landings out of nothing, oldest first; all of it or nothing.

        Rows of `ops.syncs` and control totals that are there stay; those that are not are made by `judge_of(sync)`.
        Raises LandingError, before anything is touched, when a file is not there or not the one that was landed.
        """

    def record_failure(self, sync: FailedSync, message: str) -> None:
        """Write a failed sync's row; a sync that is merged already keeps its own."""

    def write_control_totals(self, sync_id: str, at: datetime, totals: Sequence[ControlTotal]) -> None:
        """Write totals of a sync; one that the sync has written before is replaced."""

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query gives."""

    def tables(self) -> set[str]:
        """All tables and views, as `raw.cases`."""

    def columns(self, schema: str, table: str) -> list[str]:
        """Names of a table's columns; none where it is not there."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one writing statement in its own transaction; gives the number of rows it touched."""

    def export(self, sql: str, path: Path) -> None:
        """Write what a query gives into a Parquet file, mode 0600; no row passes through Python."""

    def close(self) -> None:
        """Let go of the connection. Closing twice is harmless."""
