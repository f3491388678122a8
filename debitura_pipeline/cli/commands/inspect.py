"""`debitura status`, `doctor`, `reconcile` and `watch`: commands that look and change no data."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from debitura_pipeline.cli import json_document
from debitura_pipeline.cli.exit_status import BAD_SETTINGS, DONE, FAILED, NOT_PROVEN
from debitura_pipeline.cli.options import AsJson
from debitura_pipeline.settings import load_settings

commands = typer.Typer()


@commands.command(epilog="Examples:  debitura reconcile  |  debitura reconcile --json")
def reconcile(as_json: AsJson = False) -> None:
    """Compare the warehouse with the API's own totals; changes nothing."""
    from debitura_pipeline.cli.verification import reconcile_totals

    raise typer.Exit(DONE if reconcile_totals(load_settings()) else NOT_PROVEN)


@commands.command(
    epilog="Examples:  debitura status  |  debitura status --json  |  debitura --quiet status --exit-code"
)
def status(
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="For monitoring: exit with status 1 if there are open problems or incidents."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show recent nightly runs, published data, syncs, the run queue, the request budget and open problems."""
    from debitura_pipeline.cli.status import show_status

    found = show_status(load_settings())
    json_document.give(**found)
    if exit_code and (found["problems"] or found["incidents"]):
        json_document.fail("; ".join([*found["problems"], *(one["title"] for one in found["incidents"])]))
        raise typer.Exit(FAILED)


@commands.command(epilog="Example, in a crontab:  */30 * * * * debitura --quiet watch --once")
def watch(
    once: Annotated[bool, typer.Option("--once", help="Check once and exit (currently the only mode).")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that the last good nightly run is at most 26 hours old and that the daemon, if used, is alive; for cron."""
    from debitura_pipeline.cli.watch import watch_once

    raise typer.Exit(DONE if watch_once(load_settings()) else FAILED)


@commands.command(epilog="Examples:  debitura doctor  |  debitura doctor --grant-sql > grant.sql")
def doctor(
    grant_sql: Annotated[
        bool,
        typer.Option("--grant-sql", help="Print the SQL that creates the roles of a Postgres warehouse, then exit."),
    ] = False,
    alert_test: Annotated[
        bool, typer.Option("--alert-test", help="Send one message to each address of DEBITURA_ALERTS, then exit.")
    ] = False,
    probe_writes: Annotated[
        bool,
        typer.Option(
            "--probe-writes",
            help="Test environment and sandbox only: measure, with test cases that are deleted afterwards, what the API does "
            "with repeated and unanswered requests.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check settings, API, warehouse and versions, and suggest fixes."""
    if grant_sql:
        _print_grant_sql()
        return
    if probe_writes:
        from debitura_pipeline.cli.submitting import show_probe

        show_probe(load_settings())
        return
    if alert_test:
        from debitura_pipeline.cli.watch import send_test_alerts

        raise typer.Exit(DONE if send_test_alerts(load_settings()) else BAD_SETTINGS)
    raise typer.Exit(DONE if _examine() else BAD_SETTINGS)


def _print_grant_sql() -> None:
    from debitura_pipeline.warehouse.postgres.roles import grant_sql
    from debitura_pipeline.warehouse.postgres.schemas import Schemas

    settings = load_settings()
    sql = grant_sql(Schemas(settings.warehouse.schema_prefix), settings.partner)
    sys.stdout.write(sql)
    json_document.give(grant_sql=sql)


def _examine() -> bool:
    """Print each diagnosis as soon as it is known; whether all are fine."""
    from debitura_pipeline.cli import console
    from debitura_pipeline.doctor import examine

    found = []
    for diagnosis in examine(load_settings()):
        found.append(diagnosis)
        if diagnosis.is_ok:
            console.say(f"ok   {diagnosis.what}: {diagnosis.seen}")
        else:
            console.warn(f"FAIL {diagnosis.what}: {diagnosis.seen}")
            console.warn(f"     {diagnosis.cure}")
            json_document.fail(f"{diagnosis.what}: {diagnosis.seen}")
    json_document.give(diagnoses=[diagnosis.facts() for diagnosis in found])
    return all(diagnosis.is_ok for diagnosis in found)
