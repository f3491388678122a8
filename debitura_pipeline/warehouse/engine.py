"""The merge, step by step, on any SQL engine. The SQL is in `merge_sql.py` and `ops_sql.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from debitura_pipeline.contract.tables import TABLES, Table
from debitura_pipeline.errors import LandingError, ShrinkRefused, WarehouseError
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.landing_zone import sha256_of
from debitura_pipeline.warehouse import estimates, ops_sql
from debitura_pipeline.warehouse import merge_sql as merge
from debitura_pipeline.warehouse.base import FailedSync, Judge, JudgeOf, LandedSync, MergeCounts
from debitura_pipeline.warehouse.comments import Commented
from debitura_pipeline.warehouse.merge_sql import Statement
from debitura_pipeline.warehouse.tables import OPS, Columns

# A sync that deletes more rows is refused (`max_deletions`). A few rows may always go: a client withdraws, a payment is
# reversed. A small partner may lose three quarters, since one of its few clients can hold most rows; a large one 5 %.
ALWAYS_DELETABLE = 3
DELETABLE_ROWS = 20
DELETABLE_SHARE_SMALL = 0.75
DELETABLE_SHARE = 0.05
# An empty listing is also refused if more than ALWAYS_DELETABLE live rows of other listings belong to its rows.
DEPENDENT_LISTINGS = {"clients": ("cases", "transactions"), "cases": ("transactions",), "transactions": ()}

REPLACING_ACTIONS = ("changed", "returned", "refreshed")


class SqlWarehouse(ABC):
    """A warehouse on an SQL engine. Every public writing method is one transaction."""

    @abstractmethod
    def transaction(self, *, is_durable: bool = False) -> AbstractContextManager[None]:
        """Commit at the end; roll back on any error, also if it was caught inside. Raises WarehouseError.

        `is_durable`: what was committed outlasts a crash of the server whatever its own setting, and inside `exclusive_run`
        nothing is committed once another run has the lock.
        """

    @abstractmethod
    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one statement inside the transaction; returns the number of affected rows."""

    @abstractmethod
    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    @abstractmethod
    def tables(self) -> set[str]:
        """All tables and views, `raw.cases`."""

    @abstractmethod
    def columns(self, schema: str, table: str) -> list[str]:
        """Names of a table's columns; empty if it does not exist."""

    @abstractmethod
    def has_function(self, schema: str, name: str) -> bool:
        """Whether there is this function, or table macro in DuckDB."""

    @abstractmethod
    def comments(self) -> list[Commented]:
        """Every table, view and column of `raw` and `ops` with its comment, as far as this role may comment on it."""

    @abstractmethod
    def stage_landed(self, landed: LandedSync) -> int:
        """Create relation `incoming` from the landed files, one row per key; returns the number of rows."""

    @abstractmethod
    def stage_rows(self, name: str, columns: Columns, rows: Sequence[tuple[object, ...]]) -> None:
        """Create temporary table `name` with these rows."""

    @abstractmethod
    def check_keys(self, table: Table) -> None:
        """Raises WarehouseError if a key occurs twice in the current rows."""

    @abstractmethod
    def unstage(self) -> None:
        """Drop `incoming` and the temporary tables, if they exist."""

    @abstractmethod
    def export(self, sql: str, path: Path) -> None:
        """Write a query's result to a Parquet file, mode 0600."""

    @abstractmethod
    def load(self, schema: str, name: str, columns: Columns, path: Path) -> int:
        """Append the rows of a Parquet file to a table; returns their number. Columns missing from the file are null."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def refuse_foreign(self) -> None:
        """Raises WarehouseError if the database belongs to another program."""

    @abstractmethod
    def prepare(self) -> None:
        """Create or complete schemas, tables and comments. Raises WarehouseError if the database is not to be written."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        with self.transaction():
            return self.run(sql, params)

    def merge(self, landed: LandedSync, *, judge: Judge | None = None, allow_shrink: bool = False) -> MergeCounts:
        check_files(landed)
        with self.transaction():
            for newest in self.rows(*ops_sql.newest_merged(landed.resource)):
                _check_order(landed, *newest)
            return self._merge(landed, judge, allow_shrink=allow_shrink)

    def replay(self, landed: Iterable[LandedSync], judge_of: JudgeOf | None = None) -> list[MergeCounts]:
        """In one transaction: readers see the old tables until it commits."""
        ordered = in_merge_order(landed)
        known = self.merged_syncs()
        with self.transaction():
            for table in TABLES.values():
                self.run(f"DELETE FROM {merge.current(table)}")
                self.run(f"DELETE FROM {merge.superseded(table)}")
            self._run_all(ops_sql.clear_ops())
            return [self.merge_again(sync, judge_of, known) for sync in ordered]

    def merge_again(self, landed: LandedSync, judge_of: JudgeOf | None, known: Collection[str]) -> MergeCounts:
        """Replay one sync inside a transaction. Deletions that were allowed then are allowed again; the record of a sync in
        `known` stays."""
        is_known = landed.sync_id in known
        judge = judge_of(landed) if judge_of is not None and not is_known else None
        return self._merge(landed, judge, allow_shrink=True, keep_sync_record=is_known)

    def merged_syncs(self) -> set[str]:
        """Ids of the syncs with status `done` in `ops.syncs`."""
        return {sync_id for (sync_id,) in self.rows("SELECT sync_id FROM ops.syncs WHERE status = 'done'")}

    def record_failure(self, sync: FailedSync, message: str) -> None:
        with self.transaction():
            known = self.rows(*ops_sql.select_sync(sync.sync_id))
            if known and known[0][0] == "done":
                return
            self.run(*ops_sql.delete_sync(sync.sync_id))
            self.run(*ops_sql.insert_failed(sync, message))

    def write_control_totals(self, sync_id: str, at: datetime, totals: Sequence[ControlTotal]) -> None:
        with self.transaction():
            self._replace_totals(sync_id, at, totals)
            self.unstage()

    def _replace_totals(self, sync_id: str, at: datetime, totals: Sequence[ControlTotal]) -> None:
        self.stage_rows("merge_totals", OPS["control_totals"], ops_sql.total_rows(sync_id, at, totals))
        self._run_all(ops_sql.replace_control_totals(sync_id))

    def _merge(
        self, landed: LandedSync, judge: Judge | None, *, allow_shrink: bool, keep_sync_record: bool = False
    ) -> MergeCounts:
        table = TABLES[landed.resource]
        self.unstage()
        shown = self.stage_landed(landed)
        self.stage_rows("merge_bad", ops_sql.BAD_COLUMNS, ops_sql.bad_rows(landed.bad))
        if landed.bad:
            self.run(*merge.quarantined_keys(table))
        else:  # saves a scan of all rows
            self.stage_rows("merge_quarantined", merge.KEY_COLUMNS, ())
        if self._value(merge.is_empty(table)):
            self.run(*merge.first_load(table, landed.sync_id, landed.at))
            counts = MergeCounts(shown, 0, 0, 0, 0)
        else:
            counts = self._merge_rows(table, landed, shown, allow_shrink=allow_shrink)
        self.check_keys(table)
        if table.floating:
            self._run_all(estimates.record_totals(table, landed.at))
        self._write_findings(landed)
        if not keep_sync_record:
            self._write_sync_record(landed, counts, judge)
        self.unstage()
        return counts

    def _merge_rows(self, table: Table, landed: LandedSync, shown: int, *, allow_shrink: bool) -> MergeCounts:
        self.stage_rows("merge_delta", merge.DELTA_COLUMNS, ())
        self.run(*merge.delta(table, landed.sync_id, landed.at))
        if landed.deletion_scope.kind != "none":
            self.stage_rows("merge_deleted_keys", merge.KEY_COLUMNS, [(key,) for key in landed.deletion_scope.keys])
            self.run(*merge.delta_of_deleted(table, landed.deletion_scope))
        found = dict(self.rows("SELECT action, count(*) FROM merge_delta GROUP BY action"))
        if not allow_shrink:
            self._guard_shrink(table, landed, found.get("deleted", 0))
        self._write_rows(table, landed, found)
        inserted, changed, returned = (found.get(name, 0) for name in ("inserted", "changed", "returned"))
        unchanged = shown - inserted - changed - returned
        return MergeCounts(inserted, changed, found.get("deleted", 0), unchanged, returned)

    def _write_rows(self, table: Table, landed: LandedSync, found: dict[str, int]) -> None:
        """Close versions, then write current rows. Each step checks how many rows it touched, since keys are unique."""
        at, resource = landed.at, table.resource
        if found:
            self.run(*merge.close_versions(table, at))
            _check_touched(f"deleted {resource}", self.run(*merge.mark_deleted(table, at)), found.get("deleted", 0))
            outdated = sum(found.get(name, 0) for name in REPLACING_ACTIONS)
            _check_touched(f"outdated {resource}", self.run(*merge.remove_outdated(table)), outdated)
            written = outdated + found.get("inserted", 0)
            _check_touched(f"current {resource}", self.run(*merge.insert_current(table, at)), written)
        self.run(*merge.verify_seen(table, landed.deletion_scope, at))

    def _guard_shrink(self, table: Table, landed: LandedSync, gone: int) -> None:
        live = self._value(merge.live_in_scope(table, landed.deletion_scope)) if gone else 0
        if gone > max_deletions(live):
            raise _shrink_refused(table.resource, live, gone)
        if not gone or gone < live or landed.deletion_scope.kind == "client":
            return
        names = DEPENDENT_LISTINGS[table.resource]
        others = sum(
            self._value((f"SELECT count(*) FROM {merge.current(TABLES[name])} WHERE _deleted_at IS NULL", ()))
            for name in names
        )
        if others > ALWAYS_DELETABLE:
            raise _shrink_refused(
                table.resource, live, gone, f", though {others} live {' and '.join(names)} belong to them"
            )

    def _write_findings(self, landed: LandedSync) -> None:
        resource, sync_id, at = landed.resource, landed.sync_id, landed.at
        self._run_all(ops_sql.update_quarantine(TABLES[resource], sync_id, at, landed.deletion_scope))
        self.stage_rows("merge_drift", ops_sql.DRIFT_COLUMNS, ops_sql.drift_rows(landed))
        self.run(*ops_sql.insert_drift(resource, sync_id, at))
        self.stage_rows("merge_windows", ops_sql.WINDOW_COLUMNS, ops_sql.window_rows(landed))
        self._run_all(ops_sql.replace_windows(resource, sync_id))
        if landed.partner is not None:
            self._run_all(ops_sql.update_partner_history(*landed.partner, at))

    def _write_sync_record(self, landed: LandedSync, counts: MergeCounts, judge: Judge | None) -> None:
        """Write control totals and the sync's row in the transaction of its rows, so that none exists without the others."""
        sync_id = landed.sync_id
        judgement = judge(self.rows) if judge is not None else None
        if judgement is not None:
            self._replace_totals(sync_id, landed.at, judgement.totals)
        known = self.rows(*ops_sql.select_sync(sync_id))
        # Merging a landing again changes nothing; its record keeps the first counts.
        inserted, changed, deleted = known[0][1:] if known and known[0][0] == "done" else (0, 0, 0)
        self.run(*ops_sql.delete_sync(sync_id))
        self.run(*ops_sql.insert_merged(landed, counts, (inserted, changed, deleted), judgement))

    def _run_all(self, statements: Iterable[Statement]) -> None:
        for sql, params in statements:
            self.run(sql, params)

    def _value(self, statement: Statement) -> Any:
        return self.rows(*statement)[0][0]


def max_deletions(live: int) -> int:
    """How many of `live` rows one sync may mark deleted: 3 in any case, three quarters up to 20 rows, and 5 % from 400 rows."""
    return max(
        min(live, ALWAYS_DELETABLE), min(DELETABLE_ROWS, int(live * DELETABLE_SHARE_SMALL)), int(live * DELETABLE_SHARE)
    )


def _shrink_refused(resource: str, live: int, gone: int, why: str = "") -> ShrinkRefused:
    return ShrinkRefused(
        f"Merging {resource} was refused: {gone} of {live} live rows were not returned by the API{why}. Up to "
        f"{max_deletions(live)} may go at once. Nothing was changed. If they are really gone, run again with --allow-shrink.",
        resource=resource,
        live=live,
        gone=gone,
    )


def in_merge_order(landed: Iterable[LandedSync]) -> list[LandedSync]:
    """Landings in the order of a replay, by clock. Raises LandingError if a file is missing or was changed."""
    ordered = sorted(landed, key=lambda sync: sync.at)
    for sync in ordered:
        check_files(sync)
    return ordered


def duplicate_keys_error(table: Table, keys: int) -> WarehouseError:
    """The error for a table whose keys are not unique."""
    return WarehouseError(
        f"raw.{table.resource} holds {keys} keys more than once. Nothing was changed; `debitura replay` rebuilds the "
        "table from the landing zone.",
        resource=table.resource,
        keys=keys,
    )


def check_files(landed: LandedSync) -> None:
    """Raises LandingError if a landed file is missing or was changed."""
    for path, sha256 in zip(landed.files, landed.sha256, strict=True):
        if not path.is_file():
            fault = "is not there"
        elif sha256_of(path) != sha256:
            fault = "has changed since it was landed"
        else:
            continue
        raise LandingError(
            f"Sync {landed.sync_id} of {landed.resource}: its landed file {path} {fault}. Nothing was changed; "
            "`debitura repair` says what can be done.",
            sync_id=landed.sync_id,
        )


def _check_order(landed: LandedSync, newest: datetime, newest_id: str, certificate: str | None) -> None:
    if newest_id == landed.sync_id:
        return
    if certificate and landed.previous_sha256 and certificate != landed.previous_sha256:
        raise WarehouseError(
            f"Sync {landed.sync_id} read {landed.resource} on top of another sync than the newest one, {newest_id}. "
            "Nothing was changed; the next sync reads afresh.",
            sync_id=landed.sync_id,
        )
    if landed.at < newest:
        raise WarehouseError(
            f"Sync {landed.sync_id} read {landed.resource} at {landed.at.isoformat()}, and a reading of "
            f"{newest.isoformat()} is merged already. The older one cannot be put on top; `debitura replay` "
            "merges all landings in their order.",
            sync_id=landed.sync_id,
        )


def _check_touched(what: str, touched: int, expected: int) -> None:
    if touched != expected:
        raise WarehouseError(
            f"The merge touched {touched} {what}, expected {expected}: a key is duplicated or its history is "
            "broken. Nothing was changed; `debitura replay` rebuilds the tables from the landing zone.",
            touched=touched,
            expected=expected,
        )
