"""The warehouse as it will be once what is landed so far is merged: the rows before, the landed ones on top, less the gone.

Belongs here: counting that state for the ledger, and finding rows that a reading should have shown and did not. Does not:
reading or deciding. The rows before are a Parquet file of keys, dates, buckets and fees, made when the sync starts; so the
warehouse is not held while the API is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from debitura_pipeline.contract.stages import stage_sql
from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.hourly_totals import HOUR_S, SCALE, Ledger

MEMORY_LIMIT = "256MB"

# Of cases, the state that the audit counts; anything that is not closed counts as open.
CASE_BUCKET = "CASE WHEN lower(lifecycle) = 'closed' OR lower(lifecycle) LIKE 'merged%' THEN 'closed' ELSE 'open' END"


def snapshot_sql(resource: str, mode: str | None, dates: Sequence[str], tenant: str | None = None) -> str:
    """Query over `raw` for the file of rows before: key, each date column, bucket, fee in USD, last verified; of one tenant
    where it is named."""
    key = TABLES[resource].key
    bucket, usd = _measures(resource, mode)
    columns = ", ".join(f'"{date}"' for date in dates)
    return (
        f'SELECT "{key}" AS key, {columns}, {bucket} AS bucket, {usd} AS usd, {_doubtful(resource, mode)} AS is_doubtful, '
        "creditor_id, _verified_at "
        f"FROM raw.{resource} WHERE _deleted_at IS NULL"
        + (f" AND external_tenant_id = {_text(tenant)}" if tenant else "")
    )


@dataclass(frozen=True)
class Missing:
    """A row that a complete reading of its bucket did not show: moved on, or gone."""

    key: str
    at: datetime
    creditor: str | None


class Overlay:
    """One resource's rows: `before` as snapshot, then landed files by `use`, then keys known to be gone by `drop`. Close it."""

    def __init__(self, before: Path, resource: str, mode: str | None, date: str) -> None:
        self._key, self._resource, self._mode, self._date = TABLES[resource].key, resource, mode, date
        self._connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 2})
        self._run("SET TimeZone = 'UTC'")
        self._run(f"CREATE VIEW before AS SELECT * FROM read_parquet('{_quoted(before)}')")
        self._run("CREATE TABLE gone (key VARCHAR)")
        self._run("CREATE TABLE shown (key VARCHAR)")  # by landed files that no longer count
        self._lay_nothing()

    def close(self) -> None:
        self._connection.close()

    def use(self, files: Sequence[Path]) -> None:
        """Lay these landed files over the rows before; of a key in several, the later reading counts.

        Only files that were not laid already are read, unless one of those is no longer wanted.
        """
        if not self._laid <= set(files):
            self._run("INSERT INTO shown SELECT key FROM landed")
            self._lay_nothing()
        new = [file for file in files if file not in self._laid]
        if not new:
            return
        bucket, usd = _measures(self._resource, self._mode)
        columns = (
            f'"{self._key}" AS key, "{self._date}" AS dated, {bucket} AS bucket, {usd} AS usd, creditor_id, _seq AS seq'
        )
        names = ", ".join(f"'{_quoted(file)}'" for file in new)
        self._run(
            f"CREATE OR REPLACE TABLE landed AS SELECT * FROM "
            f"(SELECT * FROM landed UNION ALL SELECT {columns} FROM read_parquet([{names}])) "
            "QUALIFY row_number() OVER (PARTITION BY key ORDER BY seq DESC) = 1"
        )
        self._laid |= set(new)

    def _lay_nothing(self) -> None:
        self._laid: set[Path] = set()
        self._run(
            "CREATE OR REPLACE TABLE landed "
            "(key VARCHAR, dated TIMESTAMPTZ, bucket VARCHAR, usd DECIMAL(18,4), creditor_id VARCHAR, seq BIGINT)"
        )

    def drop(self, keys: Sequence[str]) -> None:
        """These rows are known to be gone."""
        if keys:
            self._connection.executemany("INSERT INTO gone VALUES (?)", [[key] for key in keys])

    def ledger(self, as_bucket: str | None = None) -> Ledger:
        """Counts and sums of the state as it now stands; all rows in one bucket where `as_bucket` names it."""
        bucket = "bucket" if as_bucket is None else f"'{as_bucket}'"
        figures = f"count(*) AS counted, CAST(coalesce(sum(usd), 0) * {SCALE} AS BIGINT) AS usd"
        counted = self._run(
            f"SELECT CAST(floor(epoch(dated) / {HOUR_S}) AS BIGINT) AS hour, {bucket} AS bucket, {figures} "
            f"FROM ({self._now()}) WHERE dated IS NOT NULL GROUP BY 1, 2 ORDER BY 1"
        )
        ledger = Ledger.of_columns(counted.to_arrow_table())
        undated = self._run(
            f"SELECT {bucket} AS bucket, {figures} FROM ({self._now()}) WHERE dated IS NULL GROUP BY 1"
        ).fetchall()
        ledger.undated = {name: (rows, usd) for name, rows, usd in undated}
        return ledger

    def count(self) -> int:
        """Rows of the state as it now stands, those without a date included."""
        return int(self._one(f"SELECT count(*) FROM ({self._now()})"))

    def earliest(self) -> datetime | None:
        found = self._one(f'SELECT min("{self._date}") FROM before')
        return found.astimezone(UTC) if found is not None else None

    def missing(self, window: Window, bucket: str | None, *, doubtful: bool = False) -> list[Missing]:
        """Rows before that lie in `window` (and in `bucket`, where given), are in no landed file and not known gone.

        `doubtful`: only those whose coming and going no total shows (`DOUBTFUL` of the nightly reading).
        """
        conditions, values = _bounds(f'"{self._date}"', window)
        if doubtful:
            conditions.append("is_doubtful")
        if bucket is not None:
            conditions.append("bucket = ?")
            values.append(bucket)
        return self._missing(conditions, values)

    def _missing(self, conditions: Sequence[str], values: Sequence[Any]) -> list[Missing]:
        where = " AND ".join(["key NOT IN (SELECT key FROM landed)", "key NOT IN (SELECT key FROM gone)", *conditions])
        columns = f'key, "{self._date}", creditor_id'
        rows = self._connection.execute(f"SELECT {columns} FROM before WHERE {where} ORDER BY 2", values).fetchall()
        return [Missing(key, at.astimezone(UTC), creditor) for key, at, creditor in rows if at is not None]

    def withdrawn(self) -> list[Missing]:
        """Rows before that a file showed which no longer counts, that none shows which does, and that are not known gone."""
        return self._missing(["key IN (SELECT key FROM shown)"], [])

    def seen_before(self, window: Window, bucket: str | None, seq: int) -> set[int]:
        """Readings before `seq` that showed rows in `window` (and in `bucket`) which no reading has shown since."""
        conditions, values = _bounds("dated", window)
        if bucket is not None:
            conditions.append("bucket = ?")
            values.append(bucket)
        where = " AND ".join(["seq < ?", *conditions])
        rows = self._connection.execute(f"SELECT DISTINCT seq FROM landed WHERE {where}", [seq, *values]).fetchall()
        return {found for (found,) in rows}

    def days_by_age(self) -> list[tuple[datetime, int, datetime]]:
        """(day, rows, least recent verification) of the rows before, the longest unverified first."""
        rows = self._run(
            f"SELECT date_trunc('day', \"{self._date}\") AS day, count(*), min(_verified_at) FROM before "
            "WHERE day IS NOT NULL GROUP BY day ORDER BY 3, 1"
        ).fetchall()
        return [(day.astimezone(UTC), count, seen.astimezone(UTC)) for day, count, seen in rows]

    def per_client(self) -> dict[str, tuple[int, int]]:
        """Rows, and rows in bucket `closed`, per creditor, as the state now stands."""
        rows = self._run(
            f"SELECT creditor_id, count(*), count(*) FILTER (bucket = 'closed') FROM ({self._now()}) GROUP BY creditor_id"
        ).fetchall()
        return {creditor: (total, closed) for creditor, total, closed in rows if creditor is not None}

    def _now(self) -> str:
        return (
            f'SELECT key, "{self._date}" AS dated, bucket, usd, creditor_id FROM before '
            "WHERE key NOT IN (SELECT key FROM landed) AND key NOT IN (SELECT key FROM gone) "
            "UNION ALL SELECT key, dated, bucket, usd, creditor_id FROM landed"
        )

    def _one(self, sql: str) -> Any:
        found = self._run(sql).fetchone()
        return found[0] if found else None

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql)


def _measures(resource: str, mode: str | None) -> tuple[str, str]:
    if resource == "transactions":
        return stage_sql(mode), "referral_fee_usd"
    return CASE_BUCKET if resource == "cases" else "'all'", "CAST(0 AS DECIMAL(18,4))"


def _text(value: str) -> str:
    """A text as an SQL literal: what is exported takes no parameters."""
    return "'" + value.replace("'", "''") + "'"


def _doubtful(resource: str, mode: str | None) -> str:
    """Estimates past the first stage (commission credited, or disputed before it was paid), and rows of no stage."""
    if resource != "transactions":
        return "false"
    return f"((is_estimate AND {stage_sql(mode)} <> 'Pending') OR lower(platform_invoicing_status) = 'invoicecredited')"


def _bounds(column: str, window: Window) -> tuple[list[str], list[Any]]:
    conditions, values = [], []
    for bound, sign in ((window.start, ">="), (window.end, "<")):
        if bound is not None:
            conditions.append(f"{column} {sign} ?")
            values.append(bound)
    return conditions, values


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
