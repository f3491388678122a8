"""What readers find in a published folder, told apart by the mark that each night writes into all of its tables."""

from __future__ import annotations

from pathlib import Path

import duckdb

from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.neighbours import marked_table

ROWS = 200
NAMES = {"a.parquet", "b.parquet", "warehouse.duckdb", "reports.duckdb", "partner-report.xlsx"}


def fill(settings: Settings, mark: int, rows: int = ROWS) -> None:
    """Give `reports.a` and `marts.b` rows of this mark; the statements are those that both engines know."""
    series = "range" if settings.warehouse.dsn is None else "generate_series"
    first, last = (0, rows) if series == "range" else (0, rows - 1)
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        for schema, name in (("reports", "a"), ("marts", "b")):
            warehouse.run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            warehouse.run(f"DROP TABLE IF EXISTS {schema}.{name}")
            warehouse.run(
                f"CREATE TABLE {schema}.{name} AS SELECT i, {mark} AS mark FROM {series}({first}, {last}) AS t(i)"
            )
            if settings.warehouse.dsn is not None:
                warehouse.run(marked_table(f"{schema}.{name}"))


def marks(folder: Path) -> set[int]:
    """The marks that the documented paths show; one, if they are of one night."""
    found: set[int] = set()
    for name in ("warehouse.duckdb", "reports.duckdb"):
        if (folder / name).exists():
            with duckdb.connect(str(folder / name), read_only=True) as connection:
                for table in ("reports.a", "marts.b"):
                    found |= {mark for (mark,) in connection.execute(f"SELECT DISTINCT mark FROM {table}").fetchall()}
    for path in filter(Path.exists, folder.glob("*.parquet")):  # before the first night links may lead nowhere yet
        with (
            duckdb.connect() as connection
        ):  # one engine keeps what it read of a path that leads to another file by now
            rows = connection.execute("SELECT mark, count(*) FROM read_parquet($1) GROUP BY 1", [str(path)]).fetchall()
        assert len(rows) == 1, (path, rows)
        found.add(rows[0][0])
    return found


def shown(folder: Path) -> set[str]:
    """Names that lead to a file."""
    return {path.name for path in folder.iterdir() if path.is_file()}


def nights(folder: Path) -> list[str]:
    """All that stands in the folder of nights, hidden things included."""
    return sorted(path.name for path in (folder / "nights").iterdir())
