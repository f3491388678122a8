"""The published tables as pandas DataFrames with exact types.

    from debitura_pipeline import frames

    frames.load("revenue_by_month", columns=["month", "currency", "referral_fee"], filters=[("basis", "==", "collected")])
    frames.select("SELECT revenue_stage, sum(referral_fee_usd) AS usd FROM fct_transactions GROUP BY ALL")

Columns have pandas' ArrowDtype: DECIMAL stays exact (`decimal128`, `Decimal` per value), DATE stays a day (`date32`), instants are
aware and in UTC, integers with gaps stay integers, and a null is `pd.NA`. Sums of a column and of groups stay exact.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.published_folder import PublishedNight, current_night
from debitura_pipeline.warehouse.published_reader import (
    checked_select,
    first_line,
    open_published,
    published_columns,
    published_tables,
    qualified,
)

if TYPE_CHECKING:
    import pandas as pd

Filter = tuple[str, str, Any]  # column, operator, value

OPERATORS = {
    "=": "=",
    "==": "=",
    "!=": "<>",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "in": "IN",
    "not in": "NOT IN",
}
LISTED = 3  # names that an error suggests


def load(
    name: str,
    *,
    columns: Sequence[str] | None = None,
    filters: Sequence[Filter] = (),
    folder: Path | None = None,
) -> pd.DataFrame:
    """A table of the newest published night, by name (`revenue_by_month`: reports, then marts) or with its schema
    (`raw.cases`), in the file's order of rows.

    `columns`: these, in this order; all by default. `filters`: conditions that all hold, as in `pandas.read_parquet`:
    `("month", ">=", date(2026, 1, 1))`, `("currency", "in", ["EUR", "USD"])`; `("paid_at", "==", None)` means null. `folder`: the
    published folder; that of the settings by default. The file is closed when this returns.

    Raises WarehouseError if nothing is published, or a table or column is unknown (with the nearest names); ValueError for an
    operator that is not in `OPERATORS`; SettingsError.
    """
    with open_published(_folder(folder)) as connection:
        schema, table = _find(name, published_tables(connection))
        known = published_columns(connection, schema, table)
        for column in [*(columns or ()), *(column for column, _, _ in filters)]:
            if column not in known:
                raise WarehouseError(f"{schema}.{table} has no column {column}. {_nearest(column, known)}")
        conditions, values = _where(filters)
        shown = ", ".join(map(quoted, columns)) if columns is not None else "*"
        return _frame(connection, f"SELECT {shown} FROM {qualified(schema, table)}{conditions}", values)


def select(sql: str, parameters: Sequence[Any] | dict[str, Any] = (), *, folder: Path | None = None) -> pd.DataFrame:
    """The rows of one SELECT on the newest published night. `parameters`: values of `?` and `$1`, or by name of `$name`.

    Raises WarehouseError if nothing is published, the SQL is not one SELECT, or it fails; SettingsError.
    """
    statement = checked_select(sql)
    with open_published(_folder(folder)) as connection:
        return _frame(connection, statement, parameters)


def tables(folder: Path | None = None) -> list[str]:
    """Names of all tables and views, with their schemas: reports, marts, then the rest. Raises WarehouseError, SettingsError."""
    with open_published(_folder(folder)) as connection:
        return [f"{schema}.{name}" for schema, name in published_tables(connection)]


def published_night(folder: Path | None = None) -> PublishedNight | None:
    """The newest night: `as_of` (the API's clock) and `published_at`, aware UTC. None if nothing is published. Raises
    SettingsError."""
    return current_night(_folder(folder))


def _folder(folder: Path | None) -> Path:
    return load_settings().published_dir if folder is None else folder


def _frame(connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] | dict[str, Any]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - half a second, and only those who load a frame need it

    try:
        found = connection.execute(sql, values).to_arrow_table()
    except duckdb.Error as error:
        raise WarehouseError(f"The query failed: {first_line(error)}") from error
    return found.to_pandas(types_mapper=pd.ArrowDtype)


def _find(name: str, known: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Raises WarehouseError with the nearest names."""
    for schema, table in known:
        if name in (table, f"{schema}.{table}"):
            return schema, table
    names = [table for _, table in known] if "." not in name else [f"{schema}.{table}" for schema, table in known]
    raise WarehouseError(f"There is no table {name} in the published file. {_nearest(name, names)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, list(dict.fromkeys(known)), LISTED)
    return f"Nearest: {', '.join(near)}." if near else f"There are: {', '.join(dict.fromkeys(known))}."


def _listed(column: str, count: int, *, is_null_in: bool) -> str:
    """Whether a column's value is in a list, in which null is a value like any other, as for `pandas.read_parquet`."""
    found = f"coalesce({column} IN ({', '.join('?' * count)}), false)" if count else "false"
    return f"({found} OR {column} IS NULL)" if is_null_in else f"({found})"


def _where(filters: Sequence[Filter]) -> tuple[str, list[Any]]:
    """The WHERE clause with its values. Raises ValueError."""
    conditions, values = [], []
    for column, operator, value in filters:
        if operator not in OPERATORS:
            raise ValueError(f"{operator!r} is not one of {', '.join(OPERATORS)}")
        if operator in ("in", "not in"):
            listed = [one for one in value if one is not None]
            conditions.append(_listed(quoted(column), len(listed), is_null_in=len(listed) < len(value)))
            if operator == "not in":
                conditions[-1] = f"NOT {conditions[-1]}"
            values += listed
        elif value is None:
            if OPERATORS[operator] not in ("=", "<>"):
                raise ValueError(f"{column} {operator} None: only == and != compare with null")
            conditions.append(f"{quoted(column)} IS {'NOT ' if operator == '!=' else ''}NULL")
        else:
            conditions.append(f"{quoted(column)} {OPERATORS[operator]} ?")
            values.append(value)
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values
