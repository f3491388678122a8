"""Detect which of a listing's dates the API filters by, by requesting rows whose dates lie far apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from debitura_pipeline.contract.listings import Query
from debitura_pipeline.extract.behaviour import SECOND_US, to_micros
from debitura_pipeline.extract.landed_rows import DATE_COLUMNS
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.reader import Reader

PROBE_ROWS = 5  # each takes one or two requests; a row that was deleted or edited meanwhile proves nothing
SECOND = timedelta(seconds=1)


async def detect_filter_date(reader: Reader, baseline: Path) -> int | None:
    """Return the index in `COLUMNS` of the date that the API filters by, and restrict `reader.behaviour` to it.

    0 if every row of the file `baseline` has equal dates, so that any of them will do; None if no probed row decides.
    Raises ApiError, or UnprovenError if the request limit is exceeded.
    """
    columns = DATE_COLUMNS[reader.listing.resource]
    rows = _probe_rows(baseline, columns) if len(columns) > 1 else []
    if not rows:
        return 0
    for dates in rows:
        for at in dates:
            response = await reader.listing_client.fetch(Query(reader.listing, at, at + SECOND))
            found = explaining_date(response, at, len(columns))
            if found is not None:
                reader.behaviour.units = {found: reader.behaviour.units.get(found, 1)}
                return found
    return None


def explaining_date(response: PageResponse, at: datetime, kinds: int) -> int | None:
    """Return the only one of `kinds` dates by which the rows of a request for the second `at` can have been selected."""
    lower = (to_micros(at) or 0) - SECOND_US
    shown = set()
    for row in range(response.rows):
        dates = [response.outline.date(row, which) for which in range(kinds)]
        inside = [which for which, date in enumerate(dates) if date is not None and 0 <= date - lower <= 3 * SECOND_US]
        if len(inside) == 1:
            shown.add(inside[0])
    return shown.pop() if len(shown) == 1 else None


def _probe_rows(baseline: Path, columns: tuple[str, ...]) -> list[tuple[datetime, ...]]:
    """The first two dates of the rows in which they are farthest apart."""
    first, second = (f'"{column}"' for column in columns[:2])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("baseline", connection.read_parquet(str(baseline)))
        rows = connection.execute(
            f"SELECT {first}, {second} FROM baseline WHERE date_trunc('hour', {first}) <> date_trunc('hour', {second}) "
            f"ORDER BY abs(epoch({first}) - epoch({second})) DESC LIMIT {PROBE_ROWS}"
        ).fetchall()
    return [tuple(at.astimezone(UTC) for at in row) for row in rows]
