"""By which of a listing's dates it is filtered: asked of the API at rows whose dates lie far apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from debitura_pipeline.contract.listings import Query
from debitura_pipeline.extract.answer import Answer
from debitura_pipeline.extract.behaviour import SECOND_US, micros_of
from debitura_pipeline.extract.landed_rows import COLUMNS
from debitura_pipeline.extract.reader import Reader

ROWS_TRIED = 5  # each takes a question or two; one that was deleted or edited since tells nothing
SECOND = timedelta(seconds=1)


async def find_filter_date(reader: Reader, before: Path) -> int | None:
    """Place of that date in `COLUMNS`, 0 where the rows of the file `before` have all dates alike; None: no row tells.

    The listing is held to the date that is found from then on.
    """
    columns = COLUMNS[reader.listing.resource]
    rows = _telling_rows(before, columns) if len(columns) > 1 else []
    if not rows:
        return 0
    for dates in rows:
        for at in dates:
            answer = await reader.asker.ask(Query(reader.listing, at, at + SECOND))
            found = date_shown(answer, at, len(columns))
            if found is not None:
                reader.behaviour.units = {found: reader.behaviour.units.get(found, 1)}
                return found
    return None


def date_shown(answer: Answer, at: datetime, kinds: int) -> int | None:
    """The one date that explains why rows are shown that were asked for by the second `at`; None where none does alone."""
    lower = (micros_of(at) or 0) - SECOND_US
    shown = set()
    for row in range(answer.rows):
        dates = [answer.outline.date(row, which) for which in range(kinds)]
        inside = [which for which, date in enumerate(dates) if date is not None and 0 <= date - lower <= 3 * SECOND_US]
        if len(inside) == 1:
            shown.add(inside[0])
    return shown.pop() if len(shown) == 1 else None


def _telling_rows(before: Path, columns: tuple[str, ...]) -> list[tuple[datetime, ...]]:
    """The dates of the rows in which the first two are farthest apart."""
    first, second = (f'"{column}"' for column in columns[:2])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("before", connection.read_parquet(str(before)))
        rows = connection.execute(
            f"SELECT {first}, {second} FROM before WHERE date_trunc('hour', {first}) <> date_trunc('hour', {second}) "
            f"ORDER BY abs(epoch({first}) - epoch({second})) DESC LIMIT {ROWS_TRIED}"
        ).fetchall()
    return [tuple(at.astimezone(UTC) for at in row) for row in rows]
