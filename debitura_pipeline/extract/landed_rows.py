"""Queries over the landed files of a sync: keys, sums by stage, rows by window, and known rows that no file contains.

Each query runs in passes over shares of the keys, so that memory does not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from debitura_pipeline.contract.stages import stage_sql, stage_totals_sql
from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.extract.windows import Window

ROWS_A_PASS = 500_000  # per pass; about 100 MB
ROWS_FOR_TWO_THREADS = 250_000  # below this, a second thread costs more CPU than it saves time
MEMORY_LIMIT = "256MB"
ZERO = Decimal(0)
# Columns of the dates of a listing, in the order of `outline.DATES`.
DATE_COLUMNS = {"clients": ("linked_at",), "cases": ("created_at",), "transactions": ("occurred_at", "paid_at")}
STAGE_COLUMNS = {
    "transactions": ("referral_fee_usd", "commission_status", "platform_invoicing_status", "referral_invoicing_status"),
}

BucketTotals = dict[str, tuple[int, Decimal]]  # rows and USD by bucket


@dataclass(frozen=True)
class UnseenRow:
    """A live row of the warehouse that no landed file contains."""

    key: str
    at: datetime | None
    creditor: str | None


@dataclass(frozen=True)
class LandedRows:
    """Rows of `files`, in any order. If several contain a key, the row with the highest `_seq` counts."""

    resource: str
    files: Sequence[Path]

    @property
    def key(self) -> str:
        """Name of the key column."""
        return TABLES[self.resource].key

    def totals(self, invoicing_mode: str | None) -> tuple[int, BucketTotals]:
        """Return the number of distinct keys and, for transactions, rows and USD by stage.

        Raises duckdb.Error if a file is damaged.
        """
        keys, stages = 0, BucketTotals()
        for connection, share in self._shares():
            if self.resource != "transactions":
                keys += _scalar(connection, f'SELECT count(DISTINCT "{self.key}") FROM {share}')
                continue
            rows = self._latest(share, STAGE_COLUMNS[self.resource])
            for stage, count, usd in connection.execute(stage_totals_sql(rows, invoicing_mode)).fetchall():
                before = stages.get(stage, (0, ZERO))
                stages[stage] = (before[0] + count, before[1] + usd)
        return keys + sum(count for count, _ in stages.values()), stages

    def by_window(self, windows: Sequence[Window], date: str, invoicing_mode: str | None) -> list[BucketTotals]:
        """Return rows and USD by stage for each window, dated by the column `date`; other resources have one bucket, `rows`."""
        found: list[BucketTotals] = [{} for _ in windows]
        is_revenue = self.resource == "transactions"
        bucket = stage_sql(invoicing_mode) if is_revenue else "'rows'"
        usd = "coalesce(sum(referral_fee_usd), 0)" if is_revenue else "0"
        for connection, share in self._shares():
            rows = self._latest(share, (date, *STAGE_COLUMNS.get(self.resource, ())))
            connection.execute("CREATE OR REPLACE TABLE cut (number INTEGER, start TIMESTAMPTZ, until TIMESTAMPTZ)")
            connection.executemany("INSERT INTO cut VALUES (?, ?, ?)", list(_bounds(windows)))
            counted = connection.execute(
                f"SELECT number, bucket, count(*), {usd} FROM (SELECT *, {bucket} AS bucket FROM {rows}) AS r "
                f'JOIN cut ON r."{date}" >= cut.start AND r."{date}" < cut.until GROUP BY number, bucket'
            )
            for number, name, count, sum_usd in counted.fetchall():
                before = found[number].get(name, (0, ZERO))
                found[number][name] = (before[0] + count, before[1] + Decimal(sum_usd))
        return found

    def missing_keys(self, keys: set[str]) -> set[str]:
        """Return the keys that no file contains."""
        return keys - set(self._of_keys(keys, self.key))

    def dates(self, keys: set[str], date: str) -> list[datetime]:
        """Return the dates of these rows, aware UTC, in no particular order; rows without a date are omitted."""
        return [at.astimezone(UTC) for at in self._of_keys(keys, date) if at is not None]

    def keys_by_creditor(self) -> dict[str | None, int]:
        """Return the number of distinct keys of each creditor."""
        found: dict[str | None, int] = {}
        for connection, share in self._shares():
            for creditor, count in connection.execute(
                f"SELECT creditor_id, count(*) FROM {self._latest(share, ('creditor_id',))} GROUP BY creditor_id"
            ).fetchall():
                found[creditor] = found.get(creditor, 0) + count
        return found

    def unseen_rows(self, baseline: Path, date: str) -> list[UnseenRow]:
        """Return rows of the file `baseline` (see `snapshot_sql`) that no landed file contains, sorted by key."""
        return self._unseen([baseline], "key", date)

    def unseen_rows_of(self, other: LandedRows, date: str) -> list[UnseenRow]:
        """Return rows that `other` contains and these files do not, sorted by key."""
        return self._unseen(other.files, self.key, date)

    def _unseen(self, files: Sequence[Path], key: str, date: str) -> list[UnseenRow]:
        found: dict[str, UnseenRow] = {}
        with _connected() as connection:
            connection.register("others", connection.read_parquet([str(file) for file in files]))
            passes = _scalar(connection, "SELECT count(*) FROM others") // ROWS_A_PASS + 1
            self._register(connection)
            landed = (
                f'SELECT 1 FROM landed AS l WHERE l."{self.key}" = o."{key}"' if self.files else "SELECT 1 WHERE false"
            )
            for number in range(passes):
                rows = connection.execute(
                    f'SELECT o."{key}", o."{date}", o.creditor_id FROM others AS o WHERE hash(o."{key}") % {passes} = {number} '
                    f"AND NOT EXISTS ({landed})"
                ).fetchall()
                for name, at, creditor in rows:
                    found[name] = UnseenRow(name, at.astimezone(UTC) if at is not None else None, creditor)
        return sorted(found.values(), key=lambda row: row.key)

    def _of_keys(self, keys: set[str], column: str) -> Iterator[Any]:
        """Read one column of the rows with these keys, file by file; cheaper than a query if there are few keys."""
        wanted = pa.array(list(keys), pa.string())
        for path in self.files:
            with pq.ParquetFile(path) as file:
                rows = file.read(list({self.key, column}), use_threads=False)
            yield from rows[column].filter(pc.is_in(rows[self.key], wanted)).to_pylist()

    def _shares(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        if not self.files:
            return
        with _connected() as connection:
            self._register(connection)
            rows = _scalar(connection, "SELECT count(*) FROM landed")
            passes = rows // ROWS_A_PASS + 1
            connection.execute(f"SET threads = {2 if rows > ROWS_FOR_TWO_THREADS else 1}")
            for number in range(passes):
                yield connection, f'(SELECT * FROM landed WHERE hash("{self.key}") % {passes} = {number})'

    def _register(self, connection: duckdb.DuckDBPyConnection) -> None:
        if self.files:
            connection.register("landed", connection.read_parquet([str(file) for file in self.files]))

    def _latest(self, share: str, columns: Sequence[str]) -> str:
        packed = ", ".join(f"{name} := {name}" for name in columns)
        return f'(SELECT unnest(arg_max(struct_pack({packed}), _seq)) FROM {share} GROUP BY "{self.key}")'


@contextmanager
def _connected() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def _scalar(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(connection.execute(sql).fetchall()[0][0])


def _bounds(windows: Sequence[Window]) -> Iterator[tuple[int, str, str]]:
    for number, window in enumerate(windows):
        start = window.start.isoformat() if window.start is not None else "-infinity"
        until = window.end.isoformat() if window.end is not None else "infinity"
        yield number, start, until
