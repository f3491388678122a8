"""`debitura clients plan|apply|links|status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debitura_pipeline.cli.exit_status import DONE, FAILED
from debitura_pipeline.cli.options import AllowSourceShrink, AsJson, PlanOut
from debitura_pipeline.settings import load_settings

Again = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TENANT", help="Register this withdrawn client again, by external tenant id; may be repeated."
    ),
]

commands = typer.Typer(help="Register the clients of the roster (DEBITURA_ROSTER).", no_args_is_help=True)


@commands.command("plan", epilog="Examples:  debitura clients plan  |  debitura clients plan --out plan.json")
def clients_plan(
    out: PlanOut = None, again: Again = None, allow_shrink: AllowSourceShrink = False, as_json: AsJson = False
) -> None:
    """Show which clients would be registered, and why the others would not. Sends no write requests."""
    from debitura_pipeline.cli.registering import show_clients_plan

    show_clients_plan(load_settings(), out, allow_shrink=allow_shrink, again=again or ())


@commands.command("apply", epilog="Examples:  debitura clients apply  |  debitura clients apply plan.json")
def clients_apply(
    kept: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="A plan that `plan --out` wrote in the last 24 hours.")
    ] = None,
    again: Again = None,
    allow_shrink: AllowSourceShrink = False,
    as_json: AsJson = False,
) -> None:
    """Register the planned clients; with PLAN, only if that plan is still valid. Needs `clients` in DEBITURA_WRITES."""
    from debitura_pipeline.cli.registering import apply_clients

    raise typer.Exit(
        DONE if apply_clients(load_settings(), kept, allow_shrink=allow_shrink, again=again or ()) else FAILED
    )


@commands.command("links", epilog="Examples:  debitura clients links  |  debitura clients links --tenant tenant-042")
def clients_links(
    tenant: Annotated[str | None, typer.Option(help="Only this client, by external tenant id.")] = None,
) -> None:
    """Print the current links where clients sign or approve. Links are never stored."""
    from debitura_pipeline.cli.registering import print_links

    print_links(load_settings(), tenant)


@commands.command("status", epilog="Examples:  debitura clients status  |  debitura clients status --json")
def clients_status(as_json: AsJson = False) -> None:
    """Show the status of each client in the roster, without calling the API."""
    from debitura_pipeline.cli.registering import show_clients_status

    show_clients_status(load_settings())
