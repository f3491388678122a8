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

# On both engines: schema and name of a function, or table macro.
FUNCTION = (
    "SELECT 1 FROM pg_catalog.pg_proc AS f JOIN pg_catalog.pg_namespace AS s ON s.oid = f.pronamespace "
    "WHERE s.nspname = $1 AND f.proname = $2"
)


@dataclass(frozen=True)
class WindowRecord:
    """A verified window: bounds (None: open), rows counted by the API, rows read, and the landed file's hash."""

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
    """Which live rows are marked deleted if a sync does not return them: all, those of these tenants, these keys, or none."""

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
    """One resource of a sync as landed. `at` is the sync's clock, the instant that the merge writes everywhere.

    `files` are in reading order, `sha256` matches them; for a key in several files, the row with the highest `_seq` counts.
    `certificate_sha256` is the certificate's hash, `previous_sha256` the previous sync's. `partner`: (invoicing trigger mode,
    referral fee in percent), if the sync read it. Raises ValueError if fields contradict each other.
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
    """A sync that failed before its merge, for its row in `ops.syncs`."""

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
    """Rows affected by a merge. `returned`: deleted before and now back; `unchanged`: returned by the API as they were."""

    inserted: int
    changed: int
    deleted: int
    unchanged: int
    returned: int


RunQuery = Callable[..., list[tuple[Any, ...]]]  # a query and its parameters in, rows out


@dataclass(frozen=True)
class Judgement:
    """The outcome of comparing totals: API and warehouse values, whether the sync is proven, and its message."""

    totals: tuple[ControlTotal, ...] = ()
    is_proven: bool = False
    message: str | None = None


Judge = Callable[[RunQuery], Judgement]  # asked inside the merge's transaction, once the rows are in
JudgeOf = Callable[[LandedSync], Judge]


class Warehouse(Protocol):
    """Schemas `raw` and `ops`. SQL parameters are numbered: `$1`, `$2`. All errors are WarehouseError or LandingError."""

    def prepare(self) -> None:
        """Create missing schemas, tables and columns; existing ones stay."""

    def merge(self, landed: LandedSync, *, judge: Judge | None = None, allow_shrink: bool = False) -> MergeCounts:
        """Merge one landing in one transaction: rows, history, windows, findings, control totals, sync record.

        `judge` is called with the merged rows; its totals, `is_proven` and message are written in the same transaction.
        Without one, the sync is not proven. Raises ShrinkRefused if too many rows would be marked deleted, LandingError if a
        file is missing or was changed, WarehouseError if the landing is older than the last merged one or was read on top of
        another sync, or if a key would be duplicated. Nothing is written then.
        """

    def replay(self, landed: Iterable[LandedSync], judge_of: JudgeOf | None = None) -> list[MergeCounts]:
        """Rebuild `raw` and its part of `ops` from landings, oldest first; all or nothing.

        Existing rows of `ops.syncs` and control totals stay; missing ones are made by `judge_of(sync)`. Raises LandingError,
        before anything is changed, if a file is missing or was changed.
        """

    def record_failure(self, sync: FailedSync, message: str) -> None:
        """Write a failed sync's row, unless the sync is already merged."""

    def write_control_totals(self, sync_id: str, at: datetime, totals: Sequence[ControlTotal]) -> None:
        """Write a sync's totals, replacing earlier ones."""

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    def tables(self) -> set[str]:
        """All tables and views, as `raw.cases`."""

    def columns(self, schema: str, table: str) -> list[str]:
        """Names of a table's columns; empty if it does not exist."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one writing statement in its own transaction; returns the number of affected rows."""

    def export(self, sql: str, path: Path) -> None:
        """Write a query's result to a Parquet file, mode 0600; no row passes through Python."""

    def close(self) -> None:
        """Close the connection; may be called twice."""
