"""`debitura partners …`: all partners of the partners file at once."""

from __future__ import annotations

from typing import Annotated

import typer

from debitura_pipeline.cli.exit_status import DONE, FAILED
from debitura_pipeline.cli.options import AsJson

commands = typer.Typer(help="The partners of the partners file (DEBITURA_PARTNERS).", no_args_is_help=True)


@commands.command("list")
def list_partners(as_json: AsJson = False) -> None:
    """List the partners: environment, warehouse, data directory, schedule. Reads no secret."""
    from debitura_pipeline.cli.partners import show_partners

    show_partners()


@commands.command("check", epilog="Examples:  debitura partners check  |  debitura partners check --api --json")
def check_partners(
    api: Annotated[bool, typer.Option("--api", help="Also try each key at its API: one request or two each.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check settings, secrets, folders and warehouse of each partner; exit with status 1 if one has a fault."""
    from debitura_pipeline.cli.partners import show_partner_checks

    raise typer.Exit(DONE if show_partner_checks(with_api=api) else FAILED)


@commands.command(
    "status", epilog="Examples:  debitura partners status  |  debitura --quiet partners status --exit-code"
)
def partners_status(
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="For monitoring: exit with status 1 if a partner has open problems.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a line per partner (last good nightly run, proof, next run), then all open problems. Reads small local files only."""
    from debitura_pipeline.cli.partners import show_standings

    is_fine = show_standings()
    raise typer.Exit(DONE if is_fine or not exit_code else FAILED)


@commands.command("report", epilog="Example, in a crontab:  0 5 * * * debitura --quiet partners report")
def report_partners(as_json: AsJson = False) -> None:
    """Write the page of all partners, and fleet.duckdb with the reports of all of them, from what they have published."""
    from debitura_pipeline.cli.fleet import write_fleet_report

    raise typer.Exit(DONE if write_fleet_report() else FAILED)


@commands.command(
    "fleet-sql", epilog="Example:  debitura partners fleet-sql | psql postgresql://admin@db.example.com/partners"
)
def show_fleet_sql(as_json: AsJson = False) -> None:
    """Print the SQL that creates schema fleet, views over all partners' reports, in a Postgres database that they share."""
    from debitura_pipeline.cli.fleet import print_fleet_sql

    print_fleet_sql()
