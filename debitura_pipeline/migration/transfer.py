"""Copy the tables of `raw` and `ops` from one warehouse to another, each through a Parquet file: no row passes through Python."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.errors import DebituraError, WarehouseError
from debitura_pipeline.migration.fingerprint import Side, TableDifference, difference
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.schema_version import check_version
from debitura_pipeline.warehouse.tables import SUPERSEDED, Columns, all_tables

BUILT = ("staging", "marts", "reports")  # schemas that dbt writes, and those beside them
PART_FILE = "table.parquet"

Report = Callable[[str], None]


class NotEqual(DebituraError):
    """The copy differs from its source; it was discarded."""


def copied_tables() -> list[tuple[str, str, Columns]]:
    """The tables that are copied: schema, name, columns. The version of the tables is what the target makes of them."""
    return [(schema, name, columns) for schema, name, columns in all_tables() if name != "schema_version"]


def require_copyable(source: SqlWarehouse) -> None:
    """Raises WarehouseError if the source is of a version whose tables are others than those of today."""
    check_version(source)
    for resource, table in TABLES.items():
        current, superseded = source.columns("raw", resource), source.columns("raw", resource + SUPERSEDED)
        if table.key not in current or table.key not in superseded:
            raise WarehouseError(
                "The warehouse was last written by an early version of the pipeline, or is incomplete.",
                cure="Run `debitura sync` with this version first, which upgrades it. Nothing was changed.",
            )


def not_ours(names: Collection[str]) -> set[str]:
    """Of tables and views, `raw.cases`, those that the pipeline does not write itself."""
    own = {f"{schema}.{name}" for schema, name, _ in all_tables()} | {f"raw.{resource}_history" for resource in TABLES}
    return set(names) - own


def not_copied(source: SqlWarehouse) -> Iterator[str]:
    """Tables and columns of the source that are neither the pipeline's nor dbt's."""
    yield from sorted(name for name in not_ours(source.tables()) if not name.startswith(BUILT))
    for schema, name, columns in copied_tables():
        known = {column for column, _ in columns}
        yield from (f"{schema}.{name}.{column}" for column in source.columns(schema, name) if column not in known)


def copy_tables(source: SqlWarehouse, target: SqlWarehouse, folder: Path, report: Report) -> int:
    """Fill the target's empty tables; returns the number of rows. `folder`: where one table at a time is kept."""
    part, total = folder / PART_FILE, 0
    for schema, name, columns in copied_tables():
        there = set(source.columns(schema, name))
        known = [(column, kind) for column, kind in columns if column in there]
        if not known:
            continue
        source.export(f"SELECT {', '.join(_selected(known))} FROM {schema}.{quoted(name)}", part)
        rows = target.load(schema, name, columns, part)
        part.unlink()
        total += rows
        if rows:
            report(f"copied {schema}.{name}, {rows:,} rows")
    for table in TABLES.values():
        target.check_keys(table)
    return total


def unequal_tables(source: Side, target: Side) -> Iterator[TableDifference]:
    """The tables that differ, one at a time."""
    for schema, name, columns in copied_tables():
        found = difference(source, target, schema, name, columns)
        if found is not None:
            yield found


def require_equal(source: Side, target: Side) -> None:
    """Raises NotEqual, naming the tables that differ."""
    found = list(unequal_tables(source, target))
    if found:
        raise NotEqual(f"The copy differs from its source and was discarded: {'; '.join(map(str, found))}.")


def rows_in(warehouse: SqlWarehouse) -> int:
    """Number of rows of all tables."""
    return sum(
        int(warehouse.rows(f"SELECT count(*) FROM {schema}.{quoted(name)}")[0][0])
        for schema, name, _ in copied_tables()
        if warehouse.columns(schema, name)
    )


def has_rows(warehouse: SqlWarehouse) -> bool:
    """Whether any table holds a row."""
    return any(
        warehouse.rows(f"SELECT 1 FROM {schema}.{quoted(name)} LIMIT 1")
        for schema, name, _ in copied_tables()
        if warehouse.columns(schema, name)
    )


def _selected(columns: Columns | list[tuple[str, str]]) -> Iterator[str]:
    for column, kind in columns:
        yield f"CAST({quoted(column)} AS VARCHAR) AS {quoted(column)}" if kind == "JSON" else quoted(column)
