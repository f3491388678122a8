"""Peer: what a competent engineer writes in an afternoon with httpx, pandas and DuckDB.

Runs in the peers' environment, imports nothing of the project. Eight requests in flight (`--in-flight`), retries with
backoff and `Retry-After`, pages flattened by `json_normalize` and inserted batch by batch so that memory stays flat; with a
large `--batch-pages` each listing is one batch, as most such scripts have it.
`full` rebuilds the tables; `nightly` reads the last 30 days by creation date and replaces rows by id.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import duckdb
import httpx
import orjson
import pandas as pd

LAG = timedelta(days=30)
BATCH_PAGES = 200
TRIES = 6
RETRIED = {429, 500, 502, 503, 504}
LISTINGS = {
    "clients": ("/clients", "clients", "client.id", "dateLinked", "DateCreatedFrom", "dateCreated:asc"),
    "cases": ("/cases", "cases", "id", "dateCreated", "FromDate", "DateCreated:asc"),
    "transactions": ("/reporting/transactions", "data", "transactionId", "date", "FromDate", "collectionDate:asc"),
}
PERSONAL = ["client.contacts", "users", "onboardingLinks", "validation.items"]


async def get(client: httpx.AsyncClient, gate: asyncio.Semaphore, path: str, params: dict[str, Any]) -> dict[str, Any]:
    """One page, tried again when that may help."""
    for number in itertools.count(1):
        wait = min(2.0 ** (number - 1), 30.0)
        try:
            async with gate:
                response = await client.get(path, params=params)
            if response.status_code not in RETRIED:
                response.raise_for_status()
                return dict(orjson.loads(response.content))
            if response.status_code == 429:
                told = response.headers.get("Retry-After") or orjson.loads(response.content).get("retryAfter")
                wait = float(told or wait)
        except httpx.TransportError:
            if number >= TRIES:
                raise
        if number >= TRIES:
            response.raise_for_status()
        await asyncio.sleep(wait)
    raise AssertionError("unreachable")


async def batches(
    client: httpx.AsyncClient, gate: asyncio.Semaphore, name: str, since: str | None, batch_pages: int
) -> AsyncIterator[pd.DataFrame]:
    """A listing's rows as data frames of some thousands."""
    path, rows, _, _, from_name, sort = LISTINGS[name]
    params: dict[str, Any] = {"PageSize": 100, "Sort": sort, **({from_name: since} if since else {})}
    first = await get(client, gate, path, {**params, "Page": 1})
    pages = first["page"]["totalPages"]
    found = list(first[rows])
    for start in range(2, pages + 1, batch_pages):
        numbers = range(start, min(start + batch_pages, pages + 1))
        bodies = await asyncio.gather(*(get(client, gate, path, {**params, "Page": number}) for number in numbers))
        for body in bodies:
            found += body[rows]
        yield flatten(found)
        found = []
    if found:
        yield flatten(found)


def flatten(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Objects as texts: of a column that has no value in this batch DuckDB would make numbers."""
    frame = pd.json_normalize(rows)
    frame = frame.drop(columns=[name for name in PERSONAL if name in frame])
    return frame.astype({name: "str" for name, kind in frame.dtypes.items() if kind == "object"})


def insert(database: duckdb.DuckDBPyConnection, name: str, frame: pd.DataFrame) -> None:
    """Rows of one batch; a nested object that no batch before had brings columns of its own."""
    known = {row[0] for row in database.execute(f"DESCRIBE {name}").fetchall()}
    for column, kind in database.execute("SELECT column_name, column_type FROM (DESCRIBE frame)").fetchall():
        if column not in known:
            database.execute(f'ALTER TABLE {name} ADD COLUMN "{column}" {kind}')
    database.execute(f"INSERT INTO {name} BY NAME SELECT * FROM frame")


async def load(options: argparse.Namespace) -> None:
    gate = asyncio.Semaphore(options.in_flight)
    limits = httpx.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
    with duckdb.connect(options.database) as database:
        known = {row[0] for row in database.execute("SELECT table_name FROM information_schema.tables").fetchall()}
        async with httpx.AsyncClient(
            base_url=options.url, headers={"XApiKey": options.key}, timeout=30, limits=limits
        ) as client:
            for name, (_, _, key, date, _, _) in LISTINGS.items():
                is_nightly = options.mode == "nightly" and name in known and name != "clients"
                since = None
                if is_nightly:
                    sql = f'SELECT max(CAST("{date}" AS TIMESTAMP)) FROM {name}'
                    ((newest,),) = database.execute(sql).fetchall()
                    since = (newest - LAG).isoformat() + "Z"
                is_first = not is_nightly
                async for frame in batches(client, gate, name, since, options.batch_pages):
                    database.register("frame", frame)
                    if is_first:
                        database.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM frame")
                        is_first = False
                    else:
                        if is_nightly:
                            database.execute(f'DELETE FROM {name} WHERE "{key}" IN (SELECT "{key}" FROM frame)')
                        insert(database, name, frame)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "key", "database", "state"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--mode", choices=("full", "nightly"), required=True)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--batch-pages", type=int, default=BATCH_PAGES)
    asyncio.run(load(parser.parse_args()))


if __name__ == "__main__":
    main()
