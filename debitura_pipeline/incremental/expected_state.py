"""The state that the warehouse will have after this sync: baseline rows, replaced by landed rows, without deleted keys.

The baseline is a Parquet file written when the sync starts, so the warehouse stays closed while the API is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from debitura_pipeline.contract.stages import EARNINGS, STAGES, UNCLASSIFIED
from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.baseline import COMPARED_BUCKET, MEASURES, measures
from debitura_pipeline.incremental.differences import CLOSED, MERGED
from debitura_pipeline.incremental.hourly_totals import HOUR_S, UNITS_PER_USD, HourlyTotals

PENDING = STAGES[0]
MEMORY_LIMIT = "256MB"

FeeSums = tuple[Decimal, ...]  # one for each of EARNINGS


@dataclass(frozen=True)
class MissingRow:
    """A row that a complete read of its bucket did not return: it moved to another bucket or was deleted."""

    key: str
    at: datetime
    creditor: str | None


class ExpectedState:
    """The expected rows of one resource, held in DuckDB. `date`: the column that the API filters by. Close it after use."""

    def __init__(self, baseline: Path, resource: str, invoicing_mode: str | None, date: str) -> None:
        self._key, self._resource, self._date = TABLES[resource].key, resource, date
        self._invoicing_mode = invoicing_mode
        self._connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 2})
        self._run("SET TimeZone = 'UTC'")
        self._run(f"CREATE VIEW baseline AS SELECT * FROM read_parquet('{_quoted(baseline)}')")
        self._run("CREATE TABLE deleted (key VARCHAR)")
        # Rows of landed files that are no longer applied, as they were shown last.
        self._run("CREATE TABLE withdrawn (key VARCHAR, dated TIMESTAMPTZ, creditor_id VARCHAR, seq BIGINT)")
        self._reset()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def apply(self, files: Sequence[Path]) -> None:
        """Make `files` the set of applied landed files. If several contain a key, the row with the highest `_seq` wins.

        Only new files are read, unless a file that was applied before is missing from `files`.
        """
        if not self._applied <= set(files):
            self._run("INSERT INTO withdrawn SELECT key, dated, creditor_id, seq FROM landed")
            self._reset()
        new = [file for file in files if file not in self._applied]
        if not new:
            return
        measured = measures(self._resource, self._invoicing_mode)
        columns = f'"{self._key}" AS key, "{self._date}" AS dated, {measured}, creditor_id, _seq AS seq'
        names = _names(new)
        self._run(
            f"CREATE OR REPLACE TABLE landed AS SELECT * FROM "
            f"(SELECT * FROM landed UNION ALL SELECT {columns} FROM read_parquet([{names}])) "
            "QUALIFY row_number() OVER (PARTITION BY key ORDER BY seq DESC) = 1"
        )
        # Found gone before, and shown now: if this read is replaced in turn, it has to be resolved again.
        self._run("DELETE FROM deleted WHERE key IN (SELECT key FROM landed)")
        self._applied |= set(new)

    def note_shown(self, files: Sequence[Path]) -> None:
        """Count rows of `files` as shown during this sync, though they are not applied: an interrupted run landed them."""
        if files:
            columns = f'"{self._key}", "{self._date}", creditor_id, _seq'
            self._run(f"INSERT INTO withdrawn SELECT {columns} FROM read_parquet([{_names(files)}])")

    def _reset(self) -> None:
        self._applied: set[Path] = set()
        measured = ", ".join(f"{name} {sql_type}" for name, sql_type in MEASURES.items())
        self._run(
            "CREATE OR REPLACE TABLE landed "
            f"(key VARCHAR, dated TIMESTAMPTZ, {measured}, creditor_id VARCHAR, seq BIGINT)"
        )

    def mark_deleted(self, keys: Sequence[str]) -> None:
        """Remove rows that the API no longer has; a row that is applied stays."""
        if keys:
            self._connection.executemany("INSERT INTO deleted VALUES (?)", [[key] for key in keys])

    def hourly_totals(self, as_bucket: str | None = None, *, only: str | None = None) -> HourlyTotals:
        """Count and sum the expected rows by hour and bucket. `as_bucket`: the name under which all are counted; `only`: the bucket
        whose rows are."""
        bucket = COMPARED_BUCKET if as_bucket is None else f"'{as_bucket}'"
        rows = (
            self._current_rows() if only is None else f"SELECT * FROM ({self._current_rows()}) WHERE bucket = '{only}'"
        )
        figures = f"count(*) AS counted, CAST(coalesce(sum(usd), 0) * {UNITS_PER_USD} AS BIGINT) AS usd"
        counted = self._run(
            f"SELECT CAST(floor(epoch(dated) / {HOUR_S}) AS BIGINT) AS hour, {bucket} AS bucket, {figures} "
            f"FROM ({rows}) WHERE dated IS NOT NULL GROUP BY 1, 2 ORDER BY 1"
        )
        totals = HourlyTotals.from_columns(counted.to_arrow_table())
        undated = self._run(
            f"SELECT {bucket} AS bucket, {figures} FROM ({rows}) WHERE dated IS NULL GROUP BY 1"
        ).fetchall()
        totals.undated = {name: (rows, usd) for name, rows, usd in undated}
        return totals

    def count(self) -> int:
        """Number of expected rows, including rows without a date."""
        return int(self._scalar(f"SELECT count(*) FROM ({self._current_rows()})"))

    def earliest(self) -> datetime | None:
        """The earliest date in the baseline."""
        found = self._scalar(f'SELECT min("{self._date}") FROM baseline')
        return found.astimezone(UTC) if found is not None else None

    def missing(self, window: Window, bucket: str | None, *, only_silent: bool = False) -> list[MissingRow]:
        """Return baseline rows in `window` (and `bucket`, if given) that are in no applied file and not marked deleted.

        `only_silent`: only rows that can appear and disappear without changing a total (`SILENT_CHANGE_FILTERS`).
        """
        conditions, values = _bounds(f'"{self._date}"', window)
        if only_silent:
            conditions.append("changes_silently")
        if bucket is not None:
            conditions.append(_in_bucket(bucket))
            values.append(bucket)
        return self._missing(conditions, values)

    def _missing(self, conditions: Sequence[str], values: Sequence[Any]) -> list[MissingRow]:
        where = " AND ".join(
            ["key NOT IN (SELECT key FROM landed)", "key NOT IN (SELECT key FROM deleted)", *conditions]
        )
        columns = f'key, "{self._date}", creditor_id'
        rows = self._connection.execute(f"SELECT {columns} FROM baseline WHERE {where} ORDER BY 2", values).fetchall()
        return [MissingRow(key, at.astimezone(UTC), creditor) for key, at, creditor in rows if at is not None]

    def uncertain_deletions(self) -> dict[str | None, set[str]]:
        """Return deleted keys by creditor whose deletion changes no sum that is compared: estimates, and rows without a fee."""
        return self._keys_by_creditor(
            "SELECT creditor_id, key FROM baseline WHERE key IN (SELECT key FROM deleted) "
            f"AND (coalesce(usd, 0) = 0 OR bucket IN ('{PENDING}', '{UNCLASSIFIED}'))"
        )

    def vanished(self) -> dict[str | None, set[str]]:
        """Return deleted keys by creditor that a read of this sync did show: they may have moved instead."""
        return self._keys_by_creditor("SELECT creditor_id, key FROM withdrawn WHERE key IN (SELECT key FROM deleted)")

    def _keys_by_creditor(self, deleted: str) -> dict[str | None, set[str]]:
        rows = self._run(
            f"SELECT creditor_id, list(DISTINCT key) FROM ({deleted}) WHERE key NOT IN (SELECT key FROM landed) "
            "GROUP BY creditor_id ORDER BY creditor_id"
        ).fetchall()
        return {creditor: {*keys} for creditor, keys in rows}

    def landed_keys(self, keys: Sequence[str]) -> set[str]:
        """Return those of `keys` that are in an applied file."""
        rows = self._connection.execute(
            "SELECT key FROM landed WHERE key IN (SELECT unnest(?))", [list(keys)]
        ).fetchall()
        return {key for (key,) in rows}

    def known_keys(self, keys: Sequence[str]) -> set[str]:
        """Return those of `keys` that are in the baseline."""
        rows = self._connection.execute(
            "SELECT key FROM baseline WHERE key IN (SELECT unnest(?))", [list(keys)]
        ).fetchall()
        return {key for (key,) in rows}

    def withdrawn(self) -> list[MissingRow]:
        """Return missing rows that were in a file which is no longer applied: they existed during this sync.

        Rows that the baseline lacks are among them: their date may have moved to where the list had been read before.
        """
        rows = self._run(
            "SELECT key, arg_max(dated, seq) AS dated, arg_max(creditor_id, seq) FROM withdrawn "
            "WHERE dated IS NOT NULL AND key NOT IN (SELECT key FROM landed) AND key NOT IN (SELECT key FROM deleted) "
            "GROUP BY key ORDER BY dated, key"
        ).fetchall()
        return [MissingRow(key, at.astimezone(UTC), creditor) for key, at, creditor in rows]

    def stale_reads(self, window: Window, bucket: str | None, before: int) -> set[int]:
        """Return the `_seq` of reads before `before` that are the latest to show some row in `window` (and `bucket`)."""
        conditions, values = _bounds("dated", window)
        if bucket is not None:
            conditions.append(_in_bucket(bucket))
            values.append(bucket)
        where = " AND ".join(["seq < ?", *conditions])
        rows = self._connection.execute(f"SELECT DISTINCT seq FROM landed WHERE {where}", [before, *values]).fetchall()
        return {seq for (seq,) in rows}

    def days_by_age(self) -> list[tuple[datetime, int, datetime]]:
        """Return (day, rows, earliest `_verified_at`) of the baseline, the day verified longest ago first."""
        rows = self._run(
            f"SELECT date_trunc('day', \"{self._date}\") AS day, count(*), min(_verified_at) FROM baseline "
            "WHERE day IS NOT NULL GROUP BY day ORDER BY 3, 1"
        ).fetchall()
        return [(day.astimezone(UTC), count, verified.astimezone(UTC)) for day, count, verified in rows]

    def counts_by_client(self) -> dict[str, tuple[int, int]]:
        """Return (rows, closed and merged ones of them) of the expected rows by creditor."""
        rows = self._run(
            f"SELECT creditor_id, count(*), count(*) FILTER ({COMPARED_BUCKET} = '{CLOSED}') FROM ({self._current_rows()}) "
            "GROUP BY creditor_id"
        ).fetchall()
        return {creditor: (total, closed) for creditor, total, closed in rows if creditor is not None}

    def fees_by_client(self) -> dict[str, FeeSums]:
        """Return the sums of `EARNINGS` of the expected rows by creditor, in USD."""
        sums = ", ".join(f"coalesce(sum({meaning.sql}), 0)" for meaning in EARNINGS)
        rows = self._run(
            f"SELECT creditor_id, {sums} FROM (SELECT *, usd AS referral_fee_usd FROM ({self._current_rows()})) "
            "GROUP BY creditor_id"
        ).fetchall()
        return {creditor: tuple(fees) for creditor, *fees in rows if creditor is not None}

    def totals_of_clients(self, creditors: Sequence[str]) -> list[tuple[str, str, int, int]]:
        """Count and sum the expected rows of these clients, as (creditor, bucket, rows, 1/10,000 USD)."""
        return self._connection.execute(
            f"SELECT creditor_id, bucket, count(*), CAST(coalesce(sum(usd), 0) * {UNITS_PER_USD} AS BIGINT) "
            f"FROM ({self._current_rows()}) WHERE creditor_id IN (SELECT unnest(?)) GROUP BY creditor_id, bucket",
            [list(creditors)],
        ).fetchall()

    def unread_of_clients(self, creditors: Sequence[str]) -> list[MissingRow]:
        """Return the baseline rows of these clients that are in no applied file and not marked deleted."""
        return self._missing(["creditor_id IN (SELECT unnest(?))"], [list(creditors)])

    def of_other_clients(self, owners: Sequence[tuple[str, str]]) -> list[tuple[str, datetime | None]]:
        """Return key and date of expected rows that have another creditor than `owners`, pairs of key and creditor, names."""
        rows = self._connection.execute(
            f"SELECT DISTINCT c.key, c.dated FROM ({self._current_rows()}) AS c "
            "JOIN (SELECT unnest(?) AS key, unnest(?) AS creditor_id) AS o "
            "ON o.key = c.key AND o.creditor_id <> c.creditor_id ORDER BY 1",
            [[key for key, _ in owners], [creditor for _, creditor in owners]],
        ).fetchall()
        return [(key, at.astimezone(UTC) if at is not None else None) for key, at in rows]

    def _current_rows(self) -> str:
        columns = ", ".join([*MEASURES, "creditor_id"])
        return (
            f'SELECT key, "{self._date}" AS dated, {columns} FROM baseline '
            "WHERE key NOT IN (SELECT key FROM landed) AND key NOT IN (SELECT key FROM deleted) "
            f"UNION ALL SELECT key, dated, {columns} FROM landed"
        )

    def _scalar(self, sql: str) -> Any:
        found = self._run(sql).fetchone()
        return found[0] if found else None

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql)


def _bounds(column: str, window: Window) -> tuple[list[str], list[Any]]:
    conditions, values = [], []
    for bound, sign in ((window.start, ">="), (window.end, "<")):
        if bound is not None:
            conditions.append(f"{column} {sign} ?")
            values.append(bound)
    return conditions, values


def _in_bucket(bucket: str) -> str:
    return f"{'bucket' if bucket == MERGED else COMPARED_BUCKET} = ?"


def _names(files: Sequence[Path]) -> str:
    return ", ".join(f"'{_quoted(file)}'" for file in files)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
