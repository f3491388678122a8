"""What the world holds at an instant, read from the sandbox by other code than the pipeline's, and compared in bulk.

Belongs here: all rows of a listing as Parquet, typed by the contract, and the differences between two tables. Does not:
what a difference means. Nothing moves while this reads, so plain pages do. Debtors' names and their keys are left out:
the pipeline replaces them by a keyed hash, which tests hold against the names row by row.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from bench import wire
from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.contract.tables import TABLES, Column, Kind

BATCH_PAGES = 250
MEMORY = "3GB"
LEFT_OUT = {Kind.DEBTOR_KEY, Kind.DEBTOR_NAME}
_ARROW = {Kind.BOOL: pa.bool_(), Kind.COUNT: pa.int64(), Kind.MONEY: pa.decimal128(38, 12)}


def columns(resource: str) -> list[Column]:
    return [column for column in TABLES[resource].columns if column.kind not in LEFT_OUT]


def take(address: str, folder: Path, resources: Iterable[str] = tuple(TABLES)) -> None:
    """Write every row of the world below `folder`, as `<resource>/*.parquet`."""
    for resource in resources:
        shutil.rmtree(folder / resource, ignore_errors=True)
        (folder / resource).mkdir(parents=True)
        asyncio.run(_take(address, resource, folder / resource))


async def _take(address: str, resource: str, folder: Path) -> None:
    listing = LISTINGS[resource]
    path = f"{listing.path}?PageSize=100&Sort={listing.sort.replace(':', '%3A')}&Page="
    first = wire.ask(address, path + "1")
    total = int(first.split(b'"totalResults":', 1)[1].split(b",", 1)[0])
    count = -(-total // 100)
    for start in range(1, count + 1, BATCH_PAGES):
        bodies = await wire.read_all(address, [f"{path}{n}" for n in range(start, min(start + BATCH_PAGES, count + 1))])
        pq.write_table(_table(resource, listing.rows_key, bodies), folder / f"{start:06d}.parquet")


def _table(resource: str, rows_key: str, bodies: Sequence[bytes]) -> pa.Table:
    """Pages as one table. Amounts are read as decimals from their text; instants stay text, DuckDB reads them."""
    schema = pa.schema([(rows_key, pa.list_(_struct([(c.path, _arrow(c.kind)) for c in columns(resource)])))])
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = pyarrow.json.ReadOptions(block_size=max(map(len, bodies)) * 4)
    pages = pyarrow.json.read_json(pa.BufferReader(b"\n".join(bodies)), read, parse)
    rows = pc.list_flatten(pages[rows_key].combine_chunks())
    found = []
    for column in columns(resource):
        values = pc.struct_field(rows, list(column.path))
        found.append(pc.utf8_lower(values) if column.kind is Kind.ID else values)
    return pa.table(found, names=[column.name for column in columns(resource)])


def _arrow(kind: Kind) -> pa.DataType:
    return _ARROW.get(kind, pa.string())


def _struct(leaves: Sequence[tuple[tuple[str, ...], pa.DataType]]) -> pa.StructType:
    """A nested type out of paths."""
    names = dict.fromkeys(path[0] for path, _ in leaves)
    fields = []
    for name in names:
        below = [(path[1:], kind) for path, kind in leaves if path[0] == name]
        fields.append((name, below[0][1] if below[0][0] == () else _struct(below)))
    return pa.struct(fields)


def truth_sql(folder: Path, resource: str) -> str:
    """The world's rows in the contract's types."""
    names = ", ".join(f'CAST("{c.name}" AS {c.kind.sql}) AS "{c.name}"' for c in columns(resource))
    return f"(SELECT {names} FROM read_parquet('{folder / resource}/*.parquet'))"


@dataclass(frozen=True)
class Difference:
    """How a table differs from the world: keys that it lacks, keys it has too many, rows that are not as they should be."""

    rows: int
    lost: int
    ghosts: int
    stale: int
    seen: int  # stale rows that states, counts or sums of the API give away
    by_column: dict[str, int]

    @property
    def is_none(self) -> bool:
        return not (self.lost or self.ghosts or self.stale)


def compare(
    connection: duckdb.DuckDBPyConnection,
    truth: str,
    ours: str,
    key: str,
    names: Sequence[str],
    seen: str = "false",
) -> Difference:
    """Two relations beside each other. `seen` is a condition on `t` (truth) and `o` (ours) for stale rows."""
    differs = {name: f't."{name}" IS DISTINCT FROM o."{name}"' for name in names if name != key}
    both = f't."{key}" IS NOT NULL AND o."{key}" IS NOT NULL'
    stale = " OR ".join(differs.values())
    counts = ", ".join(f"count(*) FILTER ({both} AND {test})" for test in differs.values())
    found = connection.execute(
        f"""SELECT count(t."{key}"), count(*) FILTER (o."{key}" IS NULL), count(*) FILTER (t."{key}" IS NULL),
            count(*) FILTER ({both} AND ({stale})), count(*) FILTER ({both} AND ({stale}) AND ({seen})), {counts}
        FROM {truth} AS t FULL JOIN {ours} AS o ON t."{key}" = o."{key}" """
    ).fetchone()
    assert found is not None
    rows, lost, ghosts, wrong, shown, *by = found
    return Difference(rows, lost, ghosts, wrong, shown, {n: c for n, c in zip(differs, by, strict=True) if c})


def connect(database: Path | None = None) -> duckdb.DuckDBPyConnection:
    """DuckDB with bounded memory; `database` attached read-only as `w`."""
    connection = duckdb.connect(config={"memory_limit": MEMORY, "threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    if database is not None:
        connection.execute(f"ATTACH '{database}' AS w (READ_ONLY)")
    return connection


CLOSED = "(lower({0}.lifecycle) = 'closed' OR lower({0}.lifecycle) LIKE 'merged%')"
SEEN = {
    "clients": "true",
    "cases": f"NOT {CLOSED.format('t')} OR NOT {CLOSED.format('o')}",
    "transactions": "t.referral_fee_usd IS DISTINCT FROM o.referral_fee_usd OR t.is_estimate IS DISTINCT FROM o.is_estimate "
    "OR t.commission_status IS DISTINCT FROM o.commission_status "
    "OR t.platform_invoicing_status IS DISTINCT FROM o.platform_invoicing_status "
    "OR coalesce(t.referral_invoicing_status, 'Pending') <> coalesce(o.referral_invoicing_status, 'Pending')",
}


def compare_warehouse(address: str, data_dir: Path, folder: Path) -> dict[str, Difference]:
    """The warehouse's live rows beside the world as it is now, every column but the debtors'."""
    take(address, folder)
    with connect(data_dir / "warehouse.duckdb") as connection:
        return {
            resource: compare(
                connection,
                truth_sql(folder, resource),
                f"(SELECT * FROM w.raw.{resource} WHERE _deleted_at IS NULL)",
                table.key,
                [column.name for column in columns(resource)],
                SEEN[resource],
            )
            for resource, table in TABLES.items()
        }


def warm(address: str) -> None:
    """Have both long listings indexed before anything is timed."""
    for resource in ("cases", "transactions"):
        listing = LISTINGS[resource]
        wire.ask(address, f"{listing.path}?Page=1&PageSize=100&Sort={listing.sort.replace(':', '%3A')}")
