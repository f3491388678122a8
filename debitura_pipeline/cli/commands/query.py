"""`debitura query`: SQL on what was published last."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from debitura_pipeline.settings import load_settings

commands = typer.Typer()


class Format(StrEnum):
    """How rows are written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


@commands.command(
    epilog='Examples:  debitura query "FROM revenue_by_month"  |  debitura query "SELECT * FROM marts.fct_cases" --out cases.csv'
)
def query(
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL", help="One SELECT, in DuckDB's SQL; names without a schema are reports and marts."
        ),
    ],
    form: Annotated[
        Format | None,
        typer.Option("--format", help="How to write the rows; by default as the name of FILE ends, else a table."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to a file instead of standard output.")
    ] = None,
) -> None:
    """Run one SELECT on the published copy (warehouse.duckdb); it can read nothing else, and changes nothing."""
    from debitura_pipeline.cli import console
    from debitura_pipeline.cli.query import run_query
    from debitura_pipeline.plural import counted

    rows = run_query(load_settings(), sql, form.value if form else None, out)
    if out is not None:
        console.say(f"{counted(rows, 'row')} written to {out}")
